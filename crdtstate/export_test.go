package crdtstate

import (
	"context"
	"errors"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/crdtstate/internal/block"
	"github.com/pinfold/pinfold/crdtstate/internal/blocklog"
	"github.com/pinfold/pinfold/crdtstate/internal/epoch"
	"github.com/pinfold/pinfold/crdtstate/internal/kv"
	"github.com/pinfold/pinfold/crdtstate/internal/merge"
)

// OpenOver opens a state over a store and a disk of the test's.
func OpenOver(cfg Config, db func() (kv.DB, error), free func() (uint64, error)) (*State, error) {
	if free == nil {
		free = func() (uint64, error) { return 1 << 40, nil }
	}
	return open(context.Background(), cfg, outside{oneEpoch{&inMemory{}, db}, free, func() error { return nil }})
}

// oneEpoch is a disk for tests that begin no second epoch.
type oneEpoch struct {
	*inMemory
	db func() (kv.DB, error)
}

func (o oneEpoch) Open(uint64) (kv.DB, error) { return o.db() }

// Log returns all blocks of the log, in order.
func (s *State) LogBlocks() (out []*block.Block, err error) {
	err = s.read(func(e *epoch.Epoch) error {
		for pos := uint64(0); ; pos++ {
			b, err := e.Reader().Block(pos)
			if errors.Is(err, blocklog.ErrUnknown) {
				return nil
			}
			if err != nil {
				return err
			}
			out = append(out, b)
		}
	})
	return out, err
}

// Below is the vector of the genesis; nil for the first epoch.
func (s *State) Below() (below map[peer.ID]uint64) {
	_ = s.read(func(e *epoch.Epoch) error {
		if b := e.Reader().Base(); b != nil {
			below = b.Genesis.Below()
		}
		return nil
	})
	return below
}

// Cells returns all cells by key, the live elements as the CIDs of their blocks.
func (s *State) Cells() (values map[string][]byte, live map[string][]cid.Cid, err error) {
	values, live = map[string][]byte{}, map[string][]cid.Cid{}
	err = s.read(func(e *epoch.Epoch) error {
		var bad error
		from, to := merge.All()
		err := e.DB().Scan(from, to, func(k, _ []byte) bool {
			var key string
			if key, bad = merge.KeyText(k); bad != nil {
				return false
			}
			var c merge.Cell
			if c, bad = merge.Read(e.DB(), key); bad != nil {
				return false
			}
			if c.Value != nil {
				values[key] = c.Value
			}
			for _, pos := range c.Live {
				m, err := e.Reader().Meta(pos)
				if err != nil {
					bad = err
					return false
				}
				live[key] = append(live[key], m.CID)
			}
			return true
		})
		return errors.Join(err, bad)
	})
	return values, live, err
}

// LiveValues returns the values of all live elements of a key.
func (s *State) LiveValues(key string) (out [][]byte, err error) {
	err = s.read(func(e *epoch.Epoch) error {
		c, err := merge.Read(e.DB(), key)
		if err != nil {
			return err
		}
		for _, pos := range c.Live {
			b, err := e.Reader().Block(pos)
			if err != nil {
				return err
			}
			for _, el := range b.Delta.Elements {
				if el.Key == key {
					out = append(out, el.Value)
				}
			}
		}
		return nil
	})
	return out, err
}

// OnDisk opens a state over a disk that outlives it.
func OnDisk(cfg Config, d *MemoryDisk) (*State, error) {
	return open(context.Background(), cfg, outside{d, func() (uint64, error) { return 1 << 40, nil }, func() error { return nil }})
}

// MemoryDisk is a disk that outlives a state. Fail, if set, is asked before and after
// each of its calls that change something.
type MemoryDisk struct {
	inMemory
	Fail func(point string) error
}

func (d *MemoryDisk) do(point string, f func() error) error {
	if d.Fail == nil {
		return f()
	}
	if err := d.Fail("before " + point); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return d.Fail("after " + point)
}

func (d *MemoryDisk) Begin(n uint64) error {
	return d.do("begin", func() error { return d.inMemory.Begin(n) })
}

func (d *MemoryDisk) Save(b []byte) error {
	return d.do("save", func() error { return d.inMemory.Save(b) })
}

func (d *MemoryDisk) Clean(but uint64) error {
	return d.do("clean", func() error { return d.inMemory.Clean(but) })
}
