package crdtstate

import (
	"context"
	"errors"

	"github.com/ipfs/go-cid"

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
	return open(context.Background(), cfg, outside{db, free, func() error { return nil }})
}

// Log returns all blocks of the log, in order.
func (s *State) LogBlocks() (out []*block.Block, err error) {
	err = s.read(func(e *epoch.Epoch) error {
		for pos := uint64(0); ; pos++ {
			raw, err := e.Reader().Raw(pos)
			if errors.Is(err, blocklog.ErrUnknown) {
				return nil
			}
			if err != nil {
				return err
			}
			b, err := block.Read(raw)
			if err != nil {
				return err
			}
			out = append(out, b)
		}
	})
	return out, err
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
