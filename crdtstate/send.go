package crdtstate

import (
	"context"
	"errors"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/crdtstate/internal/blocklog"
	"github.com/pinfold/pinfold/crdtstate/internal/epoch"
	"github.com/pinfold/pinfold/pinset"
)

// Known says whether a block is admitted here.
func (s *State) Known(ctx context.Context, c cid.Cid) (known bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	err = s.read(func(e *epoch.Epoch) error {
		pos, err := e.Reader().Position(c)
		known = pos >= 0
		return err
	})
	return known, err
}

// Haves names what a sender may leave out: the heads, and blocks at growing
// distance from the end of the log, for who does not know the heads.
func (s *State) Haves(ctx context.Context) (haves []cid.Cid, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	view := s.Summary()
	haves = append(haves, view.Heads...)
	err = s.read(func(e *epoch.Epoch) error {
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

// Send yields the blocks below want and not below have, every block after its
// parents. It holds nothing but two bits for each block. Blocks in have that are
// not known here are passed over; one in want is an error of KindNotFound. The
// slice that yield gets is its own.
func (s *State) Send(ctx context.Context, want, have []cid.Cid, yield func(raw []byte) error) error {
	var todo *blocklog.Missing
	err := s.read(func(e *epoch.Epoch) (err error) {
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
