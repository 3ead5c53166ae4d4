package crdtstate

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-ds-crdt/pb"

	"github.com/pinfold/pinfold/crdtstate/internal/block"
	"github.com/pinfold/pinfold/crdtstate/internal/blocklog"
	"github.com/pinfold/pinfold/crdtstate/internal/kv"
	"github.com/pinfold/pinfold/crdtstate/internal/lthash"
	"github.com/pinfold/pinfold/crdtstate/internal/merge"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// epoch is the state in one directory: the log, its merge, and what is known about
// both. One writer at a time works on it in rounds: admit blocks, then settle.
// After an error from settle it must be closed and opened again.
type epoch struct {
	number   uint64
	db       kv.DB
	reader   *blocklog.Reader
	log      *blocklog.Log
	merger   *merge.Merger
	controls *controls
	agree    *agreement
	at       checkpoint
	heads    []head // of at, by CID
}

// head is a tip of the DAG of deltas.
type head struct {
	cid  cid.Cid
	pos  uint64
	meta blocklog.Meta
}

// openEpoch opens the state in db, and merges again what a crash cut off.
func openEpoch(ctx context.Context, db kv.DB, number uint64, none *identity.Authority) (*epoch, error) {
	e := &epoch{number: number, db: db}
	var err error
	if e.at, err = readCheckpoint(db); err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	if e.reader, err = blocklog.NewReader(db); err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	if e.log, err = blocklog.NewLog(e.reader, e.at.Blocks); err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	e.controls = newControls(db, e.log, none, e.at.Set)
	if err := e.loadHeads(); err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	heights := make(map[cid.Cid]uint64, len(e.heads))
	for _, h := range e.heads {
		heights[h.cid] = h.meta.Height
	}
	if e.merger, err = merge.New(db, e.log, heights, e.at.Blocks); err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	if e.log.Torn() || e.at.Uncounted {
		err = e.mend(ctx)
	} else {
		e.agree, err = readAgreement(db, e.at.Round)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open state: %w", err), e.merger.Close())
	}
	return e, nil
}

// mend merges the blocks that stand in the log beyond the checkpoint: a batch was
// written in part. Merging a delta again changes nothing that it did already; only
// the set hash must be made anew, since old values are gone.
func (e *epoch) mend(ctx context.Context) error {
	e.agree = &agreement{}
	for pos := e.at.Blocks; ; pos++ {
		raw, err := e.reader.Raw(pos)
		if errors.Is(err, blocklog.ErrUnknown) {
			break
		}
		if err != nil {
			return err
		}
		b, err := block.Read(raw)
		if err != nil {
			return err
		}
		if err := e.admit(inspected{Block: b, elems: elements(b)}); err != nil {
			return fmt.Errorf("merge block %d again: %w", pos, err)
		}
		if _, err := e.settle(ctx, false); err != nil {
			return err
		}
	}
	e.log.Mended()
	return e.recount()
}

func elements(b *block.Block) []identity.Element {
	in := inspected{Block: b}
	if err := in.rules(b.Epoch); err != nil {
		return nil
	}
	return in.elems
}

// recount makes digest and count anew from the cells, and writes them.
func (e *epoch) recount() error {
	e.agree = &agreement{}
	e.at.Pins, e.at.Uncounted = 0, false
	var bad error
	from, to := merge.All()
	err := e.db.Scan(from, to, func(k, record []byte) bool {
		var value []byte
		var key string
		if value, bad = merge.ValueOf(record); bad != nil || value == nil {
			return bad == nil
		}
		if key, bad = merge.KeyText(k); bad != nil {
			return false
		}
		e.agree.sum.Add(lthash.Of(key, value))
		if strings.HasPrefix(key, pinset.PinPrefix) {
			e.at.Pins++
		}
		return true
	})
	if err := errors.Join(err, bad); err != nil {
		return fmt.Errorf("count the state again: %w", err)
	}
	var b kv.Batch
	e.at.Round++
	e.agree.write(&b, e.at.Round, nil, nil)
	b.Put([]byte{checkpointKey}, e.at.encode())
	return e.db.Apply(&b, true)
}

func (e *epoch) loadHeads() error {
	e.heads = make([]head, 0, len(e.at.Heads))
	for _, h := range e.at.Heads {
		m, err := e.log.Meta(h.Pos)
		if err != nil {
			return fmt.Errorf("read head: %w", err)
		}
		e.heads = append(e.heads, head{m.CID, h.Pos, m})
	}
	slices.SortFunc(e.heads, func(a, b head) int { return strings.Compare(a.cid.KeyString(), b.cid.KeyString()) })
	return nil
}

var errKnown = errors.New("admitted already")

// admit judges a block by itself and its ancestors, and appends it to the round.
// It returns errKnown, or an error that wraps ErrRefused, ErrParked or
// ErrIncomplete; any other is a failure of the store.
func (e *epoch) admit(in inspected) error {
	if pos, err := e.log.Position(in.CID); err != nil || pos >= 0 {
		return errors.Join(err, known(pos))
	}
	m := blocklog.Meta{Height: 1, Parents: make([]uint64, len(in.Parents))}
	parents := make([]blocklog.Meta, len(in.Parents))
	for i, c := range in.Parents {
		pos, err := e.log.Position(c)
		if err != nil {
			return err
		}
		if pos < 0 {
			return fmt.Errorf("block %s: parent %s: %w", in.CID, c, ErrIncomplete)
		}
		m.Parents[i] = uint64(pos)
		if parents[i], err = e.meta(uint64(pos)); err != nil {
			return err
		}
		m.Height = max(m.Height, parents[i].Height+1)
	}
	set, err := e.controls.join(parents)
	if err != nil {
		return err
	}
	auth, err := e.controls.authority(set)
	if err != nil {
		return err
	}
	if err := judge(in, m.Height, auth); err != nil {
		return err
	}
	return e.append(in, m, set)
}

func known(pos int64) error {
	if pos >= 0 {
		return errKnown
	}
	return nil
}

// judge is the verdict on a block, given the authority at its ancestors.
func judge(in inspected, height uint64, auth *identity.Authority) error {
	if auth.Level() > identity.OwnLevel {
		return fmt.Errorf("block %s: feature level %d: %w", in.CID, auth.Level(), ErrParked)
	}
	err := in.rule
	if err == nil && in.Delta.Priority != height {
		err = fmt.Errorf("priority %d, want %d", in.Delta.Priority, height)
	}
	if err == nil {
		err = auth.Check(in.Author, in.elems)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, identity.ErrNewer):
		return fmt.Errorf("block %s: %w: %w", in.CID, ErrParked, err)
	}
	return fmt.Errorf("block %s: %w: %w", in.CID, ErrRefused, err)
}

func (e *epoch) append(in inspected, m blocklog.Meta, set blocklog.SetID) error {
	m.Set = set
	pos := e.log.Len()
	control := slices.ContainsFunc(in.elems, func(el identity.Element) bool { return identity.IsControl(el.Key) })
	if control {
		now, err := e.controls.extend(e.controls.current, pos)
		if err != nil {
			return err
		}
		if m.Set, err = e.controls.extend(set, pos); err != nil {
			return err
		}
		e.controls.current = now
	}
	e.log.Append(in.Block, m)
	return nil
}

// meta reads a parent's; the heads', which nearly all parents are, from memory.
func (e *epoch) meta(pos uint64) (blocklog.Meta, error) {
	for i := range e.heads {
		if e.heads[i].pos == pos {
			return e.heads[i].meta, nil
		}
	}
	return e.log.Meta(pos)
}

// outcome is what a round changed.
type outcome struct {
	blocks  int
	changed []merge.Change
	control bool
	forks   []blocklog.Fork
}

// heavy says that the round is big enough for one batch of the store.
func (e *epoch) heavy() bool {
	return e.log.RoundBytes() > 512<<10 || e.log.RoundChanges() > 4000
}

// settle ends the round: the library merges it, and everything reaches the store
// in one batch, the checkpoint last. With durable, the disk is flushed.
func (e *epoch) settle(ctx context.Context, durable bool) (outcome, error) {
	cids := e.log.Round()
	out := outcome{blocks: len(cids), control: e.controls.current != e.at.Set, forks: e.log.Forks()}
	var b kv.Batch
	if len(cids) == 0 {
		e.merger.Settle()
		if !durable {
			return out, nil
		}
		return out, e.db.Apply(&b, true)
	}
	if err := e.merger.Merge(ctx, cids); err != nil {
		return out, err
	}
	next := checkpoint{
		Blocks: e.log.Len(), Round: e.at.Round + 1, Pins: e.at.Pins, Set: e.controls.current,
		Uncounted: e.at.Uncounted || e.log.Torn(),
	}
	for c, height := range e.merger.Heads() {
		pos, err := e.log.Position(c)
		if err != nil || pos < 0 {
			return out, errors.Join(err, fmt.Errorf("head %s is not in the log", c))
		}
		next.Heads = append(next.Heads, headRef{uint64(pos), height})
	}
	e.log.Write(&b)
	e.controls.write(&b)
	e.merger.Write(&b)
	var added, removed []lthash.Seed
	for c := range e.merger.Changes() {
		out.changed = append(out.changed, c)
		pin := strings.HasPrefix(c.Key, pinset.PinPrefix)
		if c.Old != nil {
			removed = append(removed, lthash.Of(c.Key, c.Old))
			if pin {
				next.Pins--
			}
		}
		if c.New != nil {
			added = append(added, lthash.Of(c.Key, c.New))
			if pin {
				next.Pins++
			}
		}
	}
	e.agree.write(&b, next.Round, added, removed)
	b.Put([]byte{checkpointKey}, next.encode())
	if err := e.db.Apply(&b, durable); err != nil {
		return out, err
	}
	e.log.Settle()
	e.controls.settle()
	e.merger.Settle()
	e.at = next
	return out, e.loadHeads()
}

func (e *epoch) close() error {
	return errors.Join(e.merger.Close(), e.db.Close())
}

// summary of the last round.
func (e *epoch) summary() Summary {
	s := Summary{Count: e.at.Pins, Digest: e.agree.sum.Digest(), Blocks: e.at.Blocks}
	for _, h := range e.heads {
		s.Heads = append(s.Heads, h.cid)
		s.Height = max(s.Height, h.meta.Height)
	}
	return s
}

// Summary is what peers compare to see whether they agree.
type Summary struct {
	Heads  []cid.Cid // tips of the DAG of deltas, sorted
	Count  uint64    // live pins
	Digest [32]byte  // of all live keys and values, whatever their history
	Height uint64    // of the highest head
	Blocks uint64    // deltas in the log
}

// String is short enough for a log line.
func (s Summary) String() string {
	return fmt.Sprintf("%d pins, digest %s, %d heads at height %d", s.Count, hex.EncodeToString(s.Digest[:4]), len(s.Heads), s.Height)
}

// carries says whether the delta at pos gives a key a value.
func (e *epoch) carries(pos uint64, key string, value []byte) (bool, error) {
	raw, err := e.reader.Raw(pos)
	if err != nil {
		return false, err
	}
	b, err := block.Read(raw)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(b.Delta.Elements, func(el *pb.Element) bool {
		return el.Key == key && bytes.Equal(el.Value, value)
	}), nil
}
