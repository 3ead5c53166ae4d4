package cluster

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/cluster/internal/fill"
	"github.com/pinfold/pinfold/cluster/internal/whatif"
	"github.com/pinfold/pinfold/pinset"
)

// Balance tells how evenly the members are filled, what keeps them from being more
// so, and what would help. It walks the pinset, and asks the members what they
// use.
func (c *Cluster) Balance(ctx context.Context) (pinset.Balance, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.StreamTime)
	defer cancel()
	used := map[peer.ID]uint64{}
	for p, err := range c.Peers(ctx) {
		if err != nil {
			return pinset.Balance{}, err
		}
		used[p.ID] = p.Used
	}
	view, wishes := c.View(), fill.Wishes{}
	var err error
	ch := allocation.Compare(view, view, func(yield func(allocation.Item) bool) {
		err = c.eachItem(ctx, func(p pinset.Pin, it allocation.Item) bool {
			wishes.Note(p, it)
			return yield(it)
		})
	})
	if err != nil {
		return pinset.Balance{}, err
	}
	a := c.base.State.Authority()
	b := pinset.Balance{
		Pins: uint64(ch.Items.Copies), Bytes: ch.Items.Bytes, Unsized: uint64(ch.Items.Copies - ch.Sizes), Usable: whatif.Usable(view, view),
	}
	for _, s := range ch.Shifts {
		if m, ok := a.Member(s.ID); ok {
			b.Members = append(b.Members, fill.Of(a, m, whatif.Amount(s.Before), used[s.ID]))
		}
	}
	slices.SortFunc(b.Members, func(x, y pinset.Fill) int {
		return cmp.Or(cmp.Compare(y.Fill, x.Fill), strings.Compare(x.Name, y.Name), cmp.Compare(x.Peer, y.Peer))
	})
	b.Spread = fill.SpreadOf(b.Members)
	b.Limits = fill.Limits(a, view, b, wishes)
	return b, nil
}
