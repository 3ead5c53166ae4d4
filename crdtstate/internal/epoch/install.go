package epoch

import (
	"context"
	"errors"
	"fmt"

	"github.com/pinfold/pinfold/crdtstate/internal/blocklog"
	"github.com/pinfold/pinfold/crdtstate/internal/compaction"
	"github.com/pinfold/pinfold/crdtstate/internal/gate"
	"github.com/pinfold/pinfold/crdtstate/internal/kv"
	"github.com/pinfold/pinfold/crdtstate/internal/merge"
	"github.com/pinfold/pinfold/identity"
)

// Stage keeps the pieces of a genesis in a store that will be the next epoch's, in
// their order, as they are made or arrive.
type Stage struct {
	db    kv.DB
	r     *blocklog.Reader
	batch kv.Batch
	n     int
}

// NewStage begins with the pieces that are in the store already.
func NewStage(db kv.DB) (*Stage, error) {
	r, err := blocklog.NewReader(db)
	return &Stage{db: db, r: r}, err
}

// Len is the number of pieces.
func (s *Stage) Len() int { return s.n }

// stageBytes is how much is written at once.
const stageBytes = 1 << 20

// Put appends a piece.
func (s *Stage) Put(chunk bool, raw []byte) error {
	s.r.PutPiece(&s.batch, s.n, raw, chunk)
	s.n++
	if s.batch.Size() < stageBytes {
		return nil
	}
	return s.flush()
}

func (s *Stage) flush() error {
	b := s.batch
	s.batch = kv.Batch{}
	return s.db.Apply(&b, false)
}

// Install makes the staged pieces, which are all there, the beginning of an epoch.
// The store holds an epoch when it returns, synced, and none before.
func (s *Stage) Install(ctx context.Context, g *compaction.Genesis) error {
	if err := s.flush(); err != nil {
		return err
	}
	if s.n != g.Pieces() {
		return fmt.Errorf("install genesis: %d pieces of %d", s.n, g.Pieces())
	}
	sets := make([]blocklog.SetID, g.SetCount())
	var b kv.Batch
	for n := range sets {
		set, err := g.ControlSet(uint64(n))
		if err != nil {
			return err
		}
		sets[n] = setID(set)
		b.Put(append([]byte{controlKey}, sets[n][:]...), encodeSet(set))
	}
	blocklog.PutAuthors(&b, g)
	if err := s.db.Apply(&b, false); err != nil {
		return err
	}
	at, err := s.residuals(ctx, g, sets)
	if err != nil {
		return err
	}
	b = kv.Batch{}
	blocklog.PutRoot(&b, g)
	b.Put([]byte{checkpointKey}, at.encode())
	return s.db.Apply(&b, true)
}

// residuals writes what is kept of each block, and returns the checkpoint. Count and
// digest are made when the epoch is opened.
func (s *Stage) residuals(ctx context.Context, g *compaction.Genesis, sets []blocklog.SetID) (checkpoint, error) {
	at := checkpoint{Blocks: g.Len(), Round: 1, Uncounted: true}
	cells := merge.NewBuilder(s.db)
	var control []uint64
	heights := map[uint64]uint64{}
	for _, h := range g.Heads {
		heights[h] = 0
	}
	for chunk := range g.Counts {
		if err := ctx.Err(); err != nil {
			return at, err
		}
		raw, err := s.r.Piece(chunk)
		if err != nil {
			return at, err
		}
		residuals, err := g.OpenChunk(chunk, raw)
		if err != nil {
			return at, err
		}
		var b kv.Batch
		for i, res := range residuals {
			pos := g.First(chunk) + uint64(i)
			blocklog.PutResidual(&b, pos, res, sets[res.Set])
			if isControl, err := live(cells, res, pos); err != nil {
				return at, err
			} else if isControl {
				control = append(control, pos)
			}
			if _, tip := heights[pos]; tip {
				heights[pos] = res.Height
			}
		}
		cells.Write(&b)
		if err := s.db.Apply(&b, false); err != nil {
			return at, err
		}
	}
	for _, h := range g.Heads {
		at.Heads = append(at.Heads, headRef{h, heights[h]})
	}
	at.Set = setID(control)
	var b kv.Batch
	b.Put(append([]byte{controlKey}, at.Set[:]...), encodeSet(control))
	return at, s.db.Apply(&b, false)
}

// live adds the elements of a residual to the cells, after a look at their form: a
// genesis that others acknowledged is judged no more than a delta of theirs is.
func live(cells *merge.Builder, res compaction.Residual, pos uint64) (control bool, err error) {
	for _, el := range res.Live {
		if err := gate.CheckValue(el.Key, el.Value); err != nil {
			return control, fmt.Errorf("%w: %w", compaction.ErrGenesis, err)
		}
		control = control || identity.IsControl(el.Key)
		if err := cells.Add(el.Key, el.Value, pos, res.Height); err != nil {
			return control, err
		}
	}
	return control, nil
}

// Carry appends to an epoch the blocks of another one that it has not, as far as it
// can judge them, from a position on. It returns where it stopped, and calls orphan
// with each block that cannot be placed: what it is above of is not here; or, below,
// its author's number is that of a block that was folded, which it may be itself if
// that is long ago.
func (e *Epoch) Carry(ctx context.Context, from Source, pos uint64, orphan func(in gate.Inspected, below bool) error) (uint64, error) {
	end := pos
	err := from(func(old *Epoch) error { end = old.reader.Blocks(); pos = max(pos, old.reader.Folded()); return nil })
	if err != nil {
		return pos, err
	}
	for pos < end {
		if err := ctx.Err(); err != nil {
			return pos, err
		}
		var round []gate.Inspected
		err := from(func(old *Epoch) error {
			for ; pos < end && len(round) < page; pos++ {
				b, err := old.reader.Block(pos)
				if err != nil {
					return err
				}
				round = append(round, gate.Trusted(b))
			}
			return nil
		})
		if err != nil {
			return pos, err
		}
		if err := e.carry(ctx, round, orphan); err != nil {
			return pos, err
		}
	}
	return pos, nil
}

func (e *Epoch) carry(ctx context.Context, round []gate.Inspected, orphan func(in gate.Inspected, below bool) error) error {
	for _, in := range round {
		err := e.Admit(in)
		if errors.Is(err, gate.ErrKnown) {
			folded, err := e.reader.IsFolded(in.CID)
			if err != nil {
				return err
			}
			if pos, err := e.log.Position(in.CID); err != nil || folded || pos >= 0 {
				if err != nil {
					return err
				}
				continue
			}
			if err := orphan(in, true); err != nil {
				return err
			}
			continue
		}
		if errors.Is(err, gate.ErrIncomplete) || errors.Is(err, gate.ErrRefused) || errors.Is(err, gate.ErrParked) {
			err = orphan(in, false)
		}
		if err != nil {
			return err
		}
	}
	_, err := e.Settle(ctx, false)
	return err
}

// Keep takes over from the epoch before what is no part of a genesis, and flushes
// the disk: evidence of forks.
func (e *Epoch) Keep(old *Epoch) error {
	forks, err := old.reader.Forks()
	if err != nil {
		return err
	}
	var b kv.Batch
	for _, f := range forks {
		blocklog.PutFork(&b, f)
	}
	return e.db.Apply(&b, true)
}
