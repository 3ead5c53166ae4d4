package ipfsnode

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/ipfsnode/store"
	"github.com/pinfold/pinfold/pinset"
)

// GC deletes every block that no pin needs and yields it, as a raw CIDv1. Adds and
// pins under way keep what they have; they wait at most while a few blocks are
// deleted. If a pinned block cannot be read, nothing is deleted: what hangs below it
// is not known.
func (n *Node) GC(ctx context.Context) iter.Seq2[cid.Cid, error] {
	return n.store.Collect(ctx, n.mark)
}

func (n *Node) mark(ctx context.Context) (*store.Seen, error) {
	live := store.NewSeen(n.tmp)
	for r, err := range n.pins.all(ctx) {
		if err == nil {
			err = n.markPin(ctx, live, r)
		}
		if err != nil {
			live.Close()
			return nil, fmt.Errorf("mark pins: %w", err)
		}
	}
	return live, nil
}

func (n *Node) markPin(ctx context.Context, live *store.Seen, r pinRecord) error {
	if r.mode == pinset.Direct {
		// Only its bytes: a reading of its links must still happen if a recursive pin needs it.
		_, _, err := live.Add(cid.NewCidV1(cid.Raw, r.cid.Hash()))
		return err
	}
	w := walk{
		workers: localWorkers(),
		tmp:     n.tmp,
		note: func(c cid.Cid) (bool, bool, error) {
			_, descend, err := live.Add(c)
			return false, descend, err
		},
		load: n.local,
	}
	if err := w.run(ctx, r.cid); err != nil {
		return fmt.Errorf("pin %s: %w", r.cid, err)
	}
	return nil
}

// collector decides when to collect without being asked: when the blocks take nine
// tenths of what they may, and something has happened since the last time that may
// have left garbage.
type collector struct {
	unpinned, used uint64 // at the end of the last collection
}

func (c *collector) due(n *Node) bool {
	used := n.store.Used()
	room := n.cfg.StorageMax
	if free, err := n.store.Free(); err == nil && free > 0 { // of the disk, less what is spared
		if most := used + free - min(free, n.cfg.Spare); room == 0 || most < room {
			room = most
		}
	}
	if room == 0 || used < room-room/10 {
		return false
	}
	return n.unpinned.Load() != c.unpinned || used > c.used+room/100
}

func (c *collector) tidy(ctx context.Context, n *Node) error {
	if !c.due(n) {
		return nil
	}
	start, unpinned, count := time.Now(), n.unpinned.Load(), 0
	for _, err := range n.GC(ctx) {
		if err != nil {
			if ctx.Err() == nil {
				n.cfg.Log.Error("cannot collect garbage", "err", err)
			}
			break
		}
		count++
	}
	c.unpinned, c.used = unpinned, n.store.Used()
	n.cfg.Log.Info("collected garbage", "blocks", count, "used", c.used, "dur", time.Since(start))
	return nil
}
