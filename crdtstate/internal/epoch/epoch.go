package epoch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/crdtstate/internal/block"
	"github.com/pinfold/pinfold/crdtstate/internal/blocklog"
	"github.com/pinfold/pinfold/crdtstate/internal/gate"
	"github.com/pinfold/pinfold/crdtstate/internal/kv"
	"github.com/pinfold/pinfold/crdtstate/internal/lthash"
	"github.com/pinfold/pinfold/crdtstate/internal/merge"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// Epoch is the state in one directory: the log, its merge, and what is known about
// both. One writer at a time works on it in rounds: Admit blocks, then Settle.
// After an error from Settle, or one of Admit that is not a verdict, it must be
// closed and opened again. DB and Reader may be used by others meanwhile: they see
// what was settled.
type Epoch struct {
	number   uint64
	db       kv.DB
	reader   *blocklog.Reader
	log      *blocklog.Log
	merger   *merge.Merger
	controls *controls
	agree    *agreement
	at       checkpoint
	heads    []Head // of at, by CID
}

// Head is a tip of the DAG of deltas.
type Head struct {
	CID    cid.Cid
	Height uint64
	Author peer.ID
	pos    uint64
	meta   blocklog.Meta
}

// Open opens the state in db, and merges again what a crash cut off.
func Open(ctx context.Context, db kv.DB, number uint64, none *identity.Authority) (*Epoch, error) {
	e := &Epoch{number: number, db: db}
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
		heights[h.CID] = h.Height
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
func (e *Epoch) mend(ctx context.Context) error {
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
		if err := e.Admit(gate.Trusted(b)); err != nil {
			return fmt.Errorf("merge block %d again: %w", pos, err)
		}
		if _, err := e.Settle(ctx, false); err != nil {
			return err
		}
	}
	e.log.Mended()
	return e.recount()
}

// recount makes digest and count anew from the cells, and writes them.
func (e *Epoch) recount() error {
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

func (e *Epoch) loadHeads() error {
	e.heads = make([]Head, 0, len(e.at.Heads))
	for _, h := range e.at.Heads {
		m, err := e.log.Meta(h.Pos)
		if err != nil {
			return fmt.Errorf("read head: %w", err)
		}
		e.heads = append(e.heads, Head{m.CID, m.Height, e.log.AuthorID(m.Author), h.Pos, m})
	}
	slices.SortFunc(e.heads, func(a, b Head) int { return strings.Compare(a.CID.KeyString(), b.CID.KeyString()) })
	return nil
}

// Admit judges a block by itself and its ancestors, and appends it to the round.
// Verdicts wrap gate.ErrKnown, gate.ErrRefused, ErrParked or ErrIncomplete; any
// other error is a failure of the store.
func (e *Epoch) Admit(in gate.Inspected) error {
	if pos, err := e.log.Position(in.CID); err != nil || pos >= 0 {
		return errors.Join(err, known(pos))
	}
	if e.reader.Below(in.Author, in.Seq) {
		return gate.ErrKnown // its content is in the genesis, or was never below a member's head
	}
	m := blocklog.Meta{Height: 1, Parents: make([]uint64, 0, len(in.Parents))}
	parents := make([]blocklog.Meta, len(in.Parents))
	for i, c := range in.Parents {
		pos, err := e.log.Position(c)
		if err != nil {
			return err
		}
		if pos >= 0 {
			m.Parents = append(m.Parents, uint64(pos))
			parents[i], err = e.meta(uint64(pos))
		} else {
			parents[i], err = e.stub(c)
		}
		if err != nil {
			return fmt.Errorf("block %s: parent %s: %w", in.CID, c, err)
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

// stub is what is known of a parent that was folded, or ErrIncomplete.
func (e *Epoch) stub(c cid.Cid) (blocklog.Meta, error) {
	height, set, found, err := e.reader.Stub(c)
	if err == nil && !found {
		err = gate.ErrIncomplete
	}
	return blocklog.Meta{CID: c, Height: height, Set: setID(set)}, err
}

func known(pos int64) error {
	if pos >= 0 {
		return gate.ErrKnown
	}
	return nil
}

// judge is the verdict on a block, given the authority at its ancestors.
func judge(in gate.Inspected, height uint64, auth *identity.Authority) error {
	if auth.Level() > identity.OwnLevel {
		return fmt.Errorf("block %s: feature level %d: %w", in.CID, auth.Level(), gate.ErrParked)
	}
	err := in.Rule
	if err == nil && in.Delta.Priority != height {
		err = fmt.Errorf("priority %d, want %d", in.Delta.Priority, height)
	}
	if err == nil {
		err = auth.Check(in.Author, in.Elems)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, identity.ErrNewer):
		return fmt.Errorf("block %s: %w: %w", in.CID, gate.ErrParked, err)
	}
	return fmt.Errorf("block %s: %w: %w", in.CID, gate.ErrRefused, err)
}

func (e *Epoch) append(in gate.Inspected, m blocklog.Meta, set blocklog.SetID) error {
	m.Set = set
	pos := e.log.Len()
	control := slices.ContainsFunc(in.Elems, func(el identity.Element) bool { return identity.IsControl(el.Key) })
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
func (e *Epoch) meta(pos uint64) (blocklog.Meta, error) {
	for i := range e.heads {
		if e.heads[i].pos == pos {
			return e.heads[i].meta, nil
		}
	}
	return e.log.Meta(pos)
}

// Outcome is what a round changed.
type Outcome struct {
	Blocks  int
	Changed []merge.Change
	Control bool // a control block was among them
	Forks   []blocklog.Fork
}

// Heavy says that the round is big enough for one batch of the store.
func (e *Epoch) Heavy() bool {
	return e.log.RoundBytes() > 512<<10 || e.log.RoundChanges() > 4000
}

// Settle ends the round: the library merges it, and everything reaches the store
// in one batch, the checkpoint last. With durable, the disk is flushed.
func (e *Epoch) Settle(ctx context.Context, durable bool) (Outcome, error) {
	cids := e.log.Round()
	out := Outcome{Blocks: len(cids), Control: e.controls.current != e.at.Set, Forks: e.log.Forks()}
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
	out.Changed = e.tally(&b, &next)
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

// Close stops the merge and closes the store.
func (e *Epoch) Close() error {
	return errors.Join(e.merger.Close(), e.db.Close())
}

// tally counts what the round changed, into the set hash and the number of pins.
func (e *Epoch) tally(b *kv.Batch, next *checkpoint) (changed []merge.Change) {
	var added, removed []lthash.Seed
	for c := range e.merger.Changes() {
		changed = append(changed, c)
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
	e.agree.write(b, next.Round, added, removed)
	return changed
}
