package crdtstate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/crdtstate/internal/gate"
	"github.com/pinfold/pinfold/identity"
)

// Receive takes in blocks that another peer hands over: heads, and below them what
// is not known here, every block after its parents. next returns one block after
// the other, and io.EOF after the last; it is called from this goroutine only.
//
// It returns how many blocks were new and admitted. They are kept, also when an
// error is returned: every prefix that arrived is, so a later call goes on from
// there. The disk has them soon, or after Sync; until then a crash may cut off the
// last ones. Blocks are verified in parallel and admitted in order.
//
// A head must be signed by a current member or be the first of a new one; blocks
// by others are admitted only below such a block, and in a delivery that fits into
// memory everything must be below one of the heads.
//
// Errors wrap ErrRefused (with or without ErrUnvouched), ErrParked or ErrIncomplete, or are that of next, or of
// KindUnavailable when nothing can be written here.
func (s *State) Receive(ctx context.Context, heads []cid.Cid, next func() ([]byte, error)) (admitted int, err error) {
	d := &delivery{s: s, heads: heads, staged: map[cid.Cid]int{}, parked: map[cid.Cid]struct{}{}}
	p := newPipeline(string(s.cfg.Founding.ID()))
	var taken sync.WaitGroup
	var failed atomic.Bool
	var admitErr error
	taken.Go(func() {
		for b := range p.ordered {
			<-b.done
			if admitErr != nil {
				continue
			}
			for _, in := range b.inspected {
				if admitErr = d.take(ctx, in); admitErr != nil {
					failed.Store(true)
					break
				}
			}
		}
	})
	readErr := p.read(ctx, next, &failed)
	taken.Wait()
	p.wait()
	return d.end(ctx, admitErr, readErr)
}

// pipeline verifies blocks in parallel and keeps their order.
type pipeline struct {
	cluster string
	work    chan *bundle
	ordered chan *bundle
	workers sync.WaitGroup
}

// bundle is some blocks that one worker looks at.
type bundle struct {
	raws      [][]byte
	size      int
	inspected []gate.Inspected
	done      chan struct{}
}

const (
	bundleBlocks = 64
	bundleBytes  = 256 << 10
	bundles      = 4 // waiting for admission
)

func newPipeline(cluster string) *pipeline {
	p := &pipeline{cluster: cluster, work: make(chan *bundle), ordered: make(chan *bundle, bundles)}
	for range min(runtime.GOMAXPROCS(0), bundles) {
		p.workers.Go(func() {
			for b := range p.work {
				b.inspect(cluster)
			}
		})
	}
	return p
}

func (b *bundle) inspect(cluster string) {
	for _, raw := range b.raws {
		b.inspected = append(b.inspected, gate.Inspect(cluster, history, raw))
	}
	close(b.done)
}

func (p *pipeline) wait() { p.workers.Wait() }

// read bundles what next returns until it ends or failed is set. It returns nil at
// io.EOF.
func (p *pipeline) read(ctx context.Context, next func() ([]byte, error), failed *atomic.Bool) error {
	defer close(p.ordered)
	defer close(p.work)
	b := &bundle{done: make(chan struct{})}
	pass := func() {
		if len(b.raws) > 0 {
			p.ordered <- b
			p.work <- b
		}
		b = &bundle{done: make(chan struct{})}
	}
	for !failed.Load() {
		raw, err := next()
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			pass()
			if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			}
			return err
		}
		b.raws = append(b.raws, raw)
		b.size += len(raw)
		if len(b.raws) >= bundleBlocks || b.size >= bundleBytes {
			pass()
		}
	}
	return nil
}

// delivery is one call of Receive. Blocks are staged until somebody vouches for
// them: a block by a current member, which is one itself or has them below it.
type delivery struct {
	s        *State
	heads    []cid.Cid
	blocks   []*gate.Inspected // staged, in order; nil: admitted or dropped
	staged   map[cid.Cid]int
	bytes    int
	fresh    int // bytes and blocks staged since the last advance
	freshN   int
	parked   map[cid.Cid]struct{}
	streamed bool // too big to wait for its heads: admitted as it comes
	halted   bool // a vouched block was refused, or nothing can be written
	admitted int
	refused  error // the first one that does not end the delivery
}

// A delivery below these limits is looked at as a whole before any of it is
// admitted.
const (
	stageBlocks = 1024
	stageBytes  = 4 << 20
	stageLimit  = 64 << 20 // of a removed member's blocks that nobody vouches for yet
)

// take stages a verified block.
func (d *delivery) take(ctx context.Context, in gate.Inspected) error {
	if in.Form != nil {
		return d.malformed(in)
	}
	if _, twice := d.staged[in.CID]; twice {
		return nil
	}
	if known, err := d.s.below(ctx, in); err != nil || known {
		return err
	}
	for _, p := range in.Parents {
		if _, parked := d.parked[p]; parked {
			d.park(in.CID)
			return nil
		}
		if _, ok := d.staged[p]; ok {
			continue
		}
		if known, err := d.s.Known(ctx, p); err != nil {
			return err
		} else if !known {
			return fmt.Errorf("block %s: parent %s: %w", in.CID, p, ErrIncomplete)
		}
	}
	d.staged[in.CID] = len(d.blocks)
	d.blocks = append(d.blocks, &in)
	d.bytes += len(in.Raw)
	d.fresh, d.freshN = d.fresh+len(in.Raw), d.freshN+1
	if d.freshN < stageBlocks && d.fresh < stageBytes {
		return nil
	}
	d.streamed = true
	return d.advance(ctx)
}

// malformed judges what is no block: below a newer feature level it may well be
// one that this peer cannot read.
func (d *delivery) malformed(in gate.Inspected) error {
	if d.s.Authority().Level() > identity.OwnLevel {
		d.park(in.CID)
		return nil
	}
	err := fmt.Errorf("block %s: %w: %w", in.CID, ErrRefused, in.Form)
	d.s.health.refuse(in.Author, err)
	return err
}

func (d *delivery) park(c cid.Cid) {
	d.parked[c] = struct{}{}
	d.s.health.park(c)
}

// advance admits what is vouched for among the staged blocks, in rounds; between
// two of them own writes get their turn.
func (d *delivery) advance(ctx context.Context) error {
	for i := 0; i < len(d.blocks); {
		var err error
		if i, err = d.round(ctx, i); err != nil {
			d.halted = true
			return err
		}
	}
	return d.restage()
}

// restage keeps what waits for somebody to vouch for it: only blocks of those who
// were members once can hope for that.
func (d *delivery) restage() error {
	auth := d.s.Authority()
	rest := d.blocks[:0]
	clear(d.staged)
	d.bytes, d.fresh, d.freshN = 0, 0, 0
	for _, b := range d.blocks {
		if b == nil {
			continue
		}
		if !auth.Ever(b.Author) {
			return d.refuse(b, "its author was never a member")
		}
		d.staged[b.CID] = len(rest)
		rest = append(rest, b)
		d.bytes += len(b.Raw)
	}
	clear(d.blocks[len(rest):])
	if d.blocks = rest; d.bytes > stageLimit {
		return d.refuse(rest[0], "too much below no member's block")
	}
	return nil
}

// round admits from the i-th staged block on, as much as makes one round, and
// returns where to go on.
func (d *delivery) round(ctx context.Context, i int) (int, error) {
	s := d.s
	s.write.Lock()
	defer s.write.Unlock()
	if err := s.ready(ctx); err != nil {
		return i, err
	}
	var refused error
	for ; i < len(d.blocks) && refused == nil && !s.epoch.Heavy(); i++ {
		ok, err := d.vouched(d.blocks[i])
		if err == nil && ok {
			err = d.admit(d.blocks[i].CID)
		}
		if errors.Is(err, ErrRefused) || errors.Is(err, ErrIncomplete) {
			refused = err
		} else if err != nil {
			return i, s.broke(err)
		}
	}
	out, err := s.epoch.Settle(ctx, false)
	if err == nil {
		d.admitted += out.Blocks
		err = s.publish(out)
	}
	if err != nil {
		return i, s.broke(err)
	}
	if out.Blocks > 0 {
		s.flusher.received()
	}
	s.adoptIfDue()
	return i, refused
}

// vouched says whether a block may be a head: it is by a current member, or it is
// the first of somebody whose record would be admitted on top of everything here.
func (d *delivery) vouched(in *gate.Inspected) (bool, error) {
	if in == nil {
		return false, nil
	}
	auth, err := d.s.epoch.Authority()
	if err != nil {
		return false, err
	}
	if auth.Is(in.Author) {
		return true, nil
	}
	key := identity.MemberKey(in.Author)
	for _, el := range in.Elems {
		if el.Key == key && !el.Tombstone {
			_, err := auth.CheckRecord(el.Value)
			return err == nil, nil
		}
	}
	return false, nil
}

// admit admits a staged block, and before it those below it.
func (d *delivery) admit(c cid.Cid) error {
	for _, c := range d.below(c) {
		in := d.blocks[d.staged[c]]
		err := d.s.epoch.Admit(*in)
		switch {
		case err == nil, errors.Is(err, gate.ErrKnown):
		case errors.Is(err, ErrParked):
			d.park(c)
		case errors.Is(err, ErrIncomplete) && d.onParked(in):
			d.park(c)
		case errors.Is(err, ErrRefused):
			d.s.health.refuse(in.Author, err)
			return err
		default:
			return err
		}
		d.blocks[d.staged[c]] = nil
		delete(d.staged, c)
	}
	return nil
}

func (d *delivery) onParked(in *gate.Inspected) bool {
	for _, p := range in.Parents {
		if _, parked := d.parked[p]; parked {
			return true
		}
	}
	return false
}

// below returns a staged block and all staged ones in its closure, in order.
func (d *delivery) below(top ...cid.Cid) []cid.Cid {
	marked := map[int]struct{}{}
	last := -1
	for _, c := range top {
		if i, ok := d.staged[c]; ok {
			marked[i] = struct{}{}
			last = max(last, i)
		}
	}
	var rising []int
	for i := last; i >= 0 && len(marked) > 0; i-- {
		if _, ok := marked[i]; !ok {
			continue
		}
		delete(marked, i)
		rising = append(rising, i)
		for _, p := range d.blocks[i].Parents {
			if j, ok := d.staged[p]; ok {
				marked[j] = struct{}{}
			}
		}
	}
	out := make([]cid.Cid, len(rising))
	for k, i := range rising {
		out[len(rising)-1-k] = d.blocks[i].CID
	}
	return out
}

// end admits what is left and says how it went.
func (d *delivery) end(ctx context.Context, admitErr, readErr error) (int, error) {
	err := admitErr
	if err == nil && readErr == nil {
		err = d.complete(ctx)
	}
	if !d.halted {
		// Cut short perhaps: what arrived whole is kept.
		if e := d.advance(ctx); err == nil {
			err = e
		}
	}
	if err == nil && readErr == nil {
		d.leftOver()
	}
	err = errors.Join(err, readErr, d.refused)
	if err == nil && len(d.parked) > 0 {
		err = fmt.Errorf("%d blocks: %w", len(d.parked), ErrParked)
	}
	return d.admitted, err
}

// complete drops, at the end of a whole delivery, what is not below its heads.
func (d *delivery) complete(ctx context.Context) error {
	if d.streamed || len(d.heads) == 0 {
		return nil
	}
	for _, h := range d.heads {
		if _, ok := d.staged[h]; ok {
			continue
		}
		if _, ok := d.parked[h]; ok {
			continue
		}
		if known, err := d.s.Known(ctx, h); err != nil {
			return err
		} else if !known {
			return fmt.Errorf("head %s: %w", h, ErrIncomplete)
		}
	}
	keep := map[cid.Cid]struct{}{}
	for _, c := range d.below(d.heads...) {
		keep[c] = struct{}{}
	}
	for i, b := range d.blocks {
		if _, ok := keep[b.CID]; !ok {
			_ = d.refuse(b, "not below a head") // the rest of the delivery goes on
			delete(d.staged, b.CID)
			d.blocks[i] = nil
		}
	}
	return nil
}

// refuse counts a block that nobody vouches for.
func (d *delivery) refuse(b *gate.Inspected, why string) error {
	err := fmt.Errorf("block %s by %s: %w: %w: %s", b.CID, b.Author, ErrRefused, ErrUnvouched, why)
	d.s.health.refuse(b.Author, err)
	if d.refused == nil {
		d.refused = err
	}
	return err
}

// leftOver refuses what nobody vouched for.
func (d *delivery) leftOver() {
	for _, b := range d.blocks {
		if b != nil {
			_ = d.refuse(b, "its author is no member now, and no member's block is above it")
		}
	}
}
