package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/pinfold/pinfold/pinset"
)

// collector keeps the embedded IPFS node within what is lent: what was unpinned,
// and what was only read through this peer, is garbage sooner or later. A Kubo
// belongs to its owner, who collects its garbage.
type collector struct {
	node *ipfsNode
	used func() uint64 // bytes of what pinfold placed there
	give uint64
	log  *slog.Logger
}

const (
	collectEvery = time.Minute
	muchGarbage  = 1 << 30 // bytes that are worth a collection
)

// collects decides whether garbage is collected now: when there is much of it, or
// when blocks take most of what is lent and not all of them are needed. Used
// counts shared blocks of two pins twice, so it never overstates the garbage.
func collects(stat pinset.RepoStat, used, give uint64) bool {
	if stat.Used <= used {
		return false
	}
	garbage := stat.Used - used
	return garbage > muchGarbage || garbage > give/10 || stat.Used > give-give/10
}

// Run looks every minute until ctx ends.
func (c *collector) Run(ctx context.Context) error {
	tick := time.NewTicker(collectEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := c.look(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("garbage not collected; tried again", "err", err)
		}
	}
}

func (c *collector) look(ctx context.Context) error {
	stat, err := c.node.RepoStat(ctx)
	if err != nil || !collects(stat, c.used(), c.give) {
		return err
	}
	begin, blocks := time.Now(), 0
	for _, err := range c.node.GC(ctx) {
		if err != nil {
			return err
		}
		blocks++
	}
	c.log.Info("garbage collected", "blocks", blocks, "dur", time.Since(begin))
	return nil
}
