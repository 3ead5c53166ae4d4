package crdtstate

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/crdtstate/internal/epoch"
	"github.com/pinfold/pinfold/crdtstate/internal/gate"
	"github.com/pinfold/pinfold/crdtstate/internal/merge"
	"github.com/pinfold/pinfold/pinset"
)

// Get returns the value of a key, or an error of KindNotFound.
func (s *State) Get(ctx context.Context, key string) ([]byte, error) {
	c, err := s.cell(ctx, key)
	if err == nil && c.Value == nil {
		err = pinset.NotFound("key %s: not in the state", key)
	}
	return c.Value, err
}

func (s *State) cell(ctx context.Context, key string) (c merge.Cell, err error) {
	if err := ctx.Err(); err != nil {
		return c, err
	}
	if err := gate.CheckKey(key); err != nil {
		return c, pinset.Wrap(pinset.KindInvalid, err, "read state")
	}
	return s.own(ctx, key)
}

// own is cell for a key that was made here, of valid parts.
func (s *State) own(ctx context.Context, key string) (c merge.Cell, err error) {
	if err := ctx.Err(); err != nil {
		return c, err
	}
	err = s.read(func(e *epoch.Epoch) error {
		c, err = merge.Read(e.DB(), key)
		return err
	})
	return c, err
}

// Pin returns one owner's pin of a CID, or an error of KindNotFound. It keeps
// fields that this version does not know, so it can be changed and written back.
func (s *State) Pin(ctx context.Context, c cid.Cid, owner string) (pinset.Pin, error) {
	if err := pinset.ValidateOwner(owner); err != nil {
		return pinset.Pin{}, err
	}
	key := pinset.Key(c, owner)
	cell, err := s.own(ctx, key)
	switch {
	case err != nil:
		return pinset.Pin{}, err
	case cell.Value == nil && owner == "":
		return pinset.Pin{}, pinset.NotFound("%s is not pinned", c)
	case cell.Value == nil:
		return pinset.Pin{}, pinset.NotFound("%s is not pinned by %s", c, owner)
	}
	return pinset.Check(key, cell.Value)
}

// PinsOf returns all owners' pins of a CID, in the order of their keys. The caller
// must not change them.
func (s *State) PinsOf(ctx context.Context, c cid.Cid) ([]pinset.Pin, error) {
	c = pinset.V1(c)
	have, round := s.lookups.get(c)
	if have.pinned {
		return have.pins, ctx.Err()
	}
	from, to, err := merge.PinsOf(c)
	if err != nil {
		return nil, pinset.Wrap(pinset.KindInvalid, err, "read pins of %s", c)
	}
	var out []pinset.Pin
	err = s.scan(ctx, from, to, func(k, record []byte) error {
		p, ok, err := readPin(k, record)
		if ok {
			out = append(out, p)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	out = slices.Clip(out)
	s.lookups.keep(c, round, func(l *looked) { l.pins, l.pinned = out, true })
	return out, nil
}

// scan calls f for each record of a range, while no write replaces the epoch.
func (s *State) scan(ctx context.Context, from, to []byte, f func(k, record []byte) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.read(func(e *epoch.Epoch) error {
		var bad error
		err := e.DB().Scan(from, to, func(k, record []byte) bool {
			bad = f(k, record)
			return bad == nil
		})
		return errors.Join(err, bad)
	})
}

// readPin decodes a record; false when the key is not in the set.
func readPin(k, record []byte) (pinset.Pin, bool, error) {
	value, err := merge.ValueOf(record)
	if err != nil || value == nil {
		return pinset.Pin{}, false, err
	}
	c, segment, err := merge.ParsePin(k)
	if err != nil {
		return pinset.Pin{}, false, err
	}
	owner, err := pinset.ParseOwner(segment)
	if err != nil {
		return pinset.Pin{}, false, err
	}
	p, err := pinset.DecodeFor(c, owner, value)
	return p, err == nil, err
}

// pinPage is how many pins Pins reads before it hands them out: nothing of the
// store is held while the caller works.
const pinPage = 1024

// Pins yields all pins in the order of their keys, beginning after a key ("" for
// all). It streams: memory does not grow with the pinset. Pins that change
// meanwhile may or may not be seen; those that do not are seen exactly once.
func (s *State) Pins(ctx context.Context, after string) iter.Seq2[pinset.Pin, error] {
	return func(yield func(pinset.Pin, error) bool) {
		from, to, err := merge.Pins(after)
		if err != nil {
			yield(pinset.Pin{}, pinset.Wrap(pinset.KindInvalid, err, "list pins"))
			return
		}
		page := make([]pinset.Pin, 0, pinPage)
		for from != nil {
			page, from, err = s.pinPage(ctx, page[:0], from, to)
			for _, p := range page {
				if !yield(p, nil) {
					return
				}
			}
			if err != nil {
				yield(pinset.Pin{}, err)
				return
			}
		}
	}
}

// errPage ends a scan when the page is full.
var errPage = errors.New("page is full")

// pinPage reads one page and returns where the next one begins, nil at the end.
func (s *State) pinPage(ctx context.Context, page []pinset.Pin, from, to []byte) ([]pinset.Pin, []byte, error) {
	var next []byte
	err := s.scan(ctx, from, to, func(k, record []byte) error {
		if len(page) == pinPage {
			next = bytes.Clone(k)
			return errPage
		}
		p, ok, err := readPin(k, record)
		if ok {
			page = append(page, p)
		}
		return err
	})
	if next != nil {
		return page, next, nil
	}
	return page, nil, err
}

// Size is the number of bytes of the distinct blocks of a DAG, as a holder
// recorded it; 0 when nobody did.
func (s *State) Size(ctx context.Context, c cid.Cid) (uint64, error) {
	c = pinset.V1(c)
	have, round := s.lookups.get(c)
	if have.sized {
		return have.size, ctx.Err()
	}
	cell, err := s.own(ctx, gate.SizeKey(c))
	var size uint64
	if err == nil && cell.Value != nil {
		size, err = gate.DecodeSize(cell.Value)
	}
	if err != nil {
		return 0, err
	}
	s.lookups.keep(c, round, func(l *looked) { l.size, l.sized = size, true })
	return size, nil
}

// Origin says which delta the value of a key is from: its author and the author's
// sequence number. Errors: KindNotFound.
func (s *State) Origin(ctx context.Context, key string) (author peer.ID, seq uint64, err error) {
	if err := gate.CheckKey(key); err != nil {
		return "", 0, pinset.Wrap(pinset.KindInvalid, err, "read state")
	}
	if err := ctx.Err(); err != nil {
		return "", 0, err
	}
	err = s.read(func(e *epoch.Epoch) error { // in one go: a cell's positions are those of its epoch
		c, err := merge.Read(e.DB(), key)
		if err != nil {
			return err
		}
		if c.Value == nil {
			return pinset.NotFound("key %s: not in the state", key)
		}
		author, seq, err = e.Origin(key, c)
		return err
	})
	return author, seq, err
}
