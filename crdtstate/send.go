package crdtstate

import (
	"context"
	"errors"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/crdtstate/internal/blocklog"
	"github.com/pinfold/pinfold/crdtstate/internal/epoch"
	"github.com/pinfold/pinfold/crdtstate/internal/gate"
	"github.com/pinfold/pinfold/pinset"
)

// Known says whether a block is admitted here.
func (s *State) Known(ctx context.Context, c cid.Cid) (known bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	err = s.read(func(e *epoch.Epoch) error {
		pos, err := e.Reader().Position(c)
		if known = pos >= 0; known || err != nil {
			return err
		}
		known, err = e.Reader().IsFolded(c)
		return err
	})
	return known, err
}

// below says whether a block is known, or its content is as far as can be told: it
// may have been folded long ago.
func (s *State) below(ctx context.Context, in gate.Inspected) (known bool, err error) {
	err = s.read(func(e *epoch.Epoch) error {
		known = e.Reader().Below(in.Author, in.Seq)
		return nil
	})
	if err != nil || known {
		return known, err
	}
	return s.Known(ctx, in.CID)
}

// Haves names what a sender may leave out: the heads, and blocks at growing
// distance from the end of the log, for who does not know the heads.
func (s *State) Haves(ctx context.Context) (haves []cid.Cid, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err = s.read(func(e *epoch.Epoch) error {
		view := s.Summary()
		haves = append(haves, view.Heads...)
		for d := uint64(1); d <= view.Blocks; d *= 2 {
			m, err := e.Reader().Meta(view.Blocks - d)
			if err != nil {
				return err
			}
			haves = append(haves, m.CID)
		}
		return nil
	})
	return haves, err
}

var errMoved = pinset.Errorf(pinset.KindUnavailable, "send: a new epoch has begun meanwhile: ask again")

// Send yields the blocks below want and not below have, every block after its
// parents. It holds nothing but two bits for each block. Blocks in have that are
// not known here are passed over; one in want is an error of KindNotFound. The
// slice that yield gets is its own.
func (s *State) Send(ctx context.Context, want, have []cid.Cid, yield func(raw []byte) error) error {
	var todo *blocklog.Missing
	var number uint64
	err := s.read(func(e *epoch.Epoch) (err error) {
		number = s.number
		todo, err = e.Reader().Missing(want, have)
		return err
	})
	if errors.Is(err, blocklog.ErrUnknown) {
		return pinset.Wrap(pinset.KindNotFound, err, "send")
	}
	if err != nil {
		return err
	}
	for pos := range todo.All() {
		if err := ctx.Err(); err != nil {
			return err
		}
		var raw []byte
		err := s.read(func(e *epoch.Epoch) (err error) {
			if s.number != number {
				return errMoved
			}
			raw, err = e.Reader().Raw(pos)
			return err
		})
		if err != nil {
			return err
		}
		if err := yield(raw); err != nil {
			return err
		}
	}
	return nil
}
