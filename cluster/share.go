package cluster

import (
	"context"
	"time"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/cluster/internal/fill"
	"github.com/pinfold/pinfold/cluster/internal/twins"
	"github.com/pinfold/pinfold/identity"
)

const (
	growEvery  = 2 * time.Second  // looks whether everything has come, while a share grows
	shareEvery = time.Minute      // looks at what is assigned here
	shareAgain = 10 * time.Minute // between two changes: each moves something everywhere
)

// keepShare keeps what is assigned to this peer below what it lends, by asking for
// less of its share, and for more when there is room again. Who has just joined
// begins with a small part and doubles it each time when everything has come, or has
// had its time.
func (c *Cluster) keepShare(ctx context.Context) error {
	last, every := c.cfg.Now(), growEvery // last change: the process before may have made one
	for {
		if err := pause(ctx, every); err != nil {
			return err
		}
		m, ok := c.base.State.Authority().Member(c.self)
		now := c.cfg.Now()
		if every = shareEvery; !ok || fill.Growing(m.Phi) {
			every = growEvery
		}
		if !ok || m.State != identity.Active {
			continue
		}
		r := c.parts.Keeper.Report()
		next := fill.NextPhi(m, heldOf(r), c.crowd(r), now.Sub(last) >= shareAgain)
		if next == m.Phi {
			continue
		}
		err := c.amend(ctx, func(own *identity.Record) error { own.Phi = next; return nil })
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			c.cfg.Log.Warn("this peer's share was not changed; tried again", "err", err)
			continue
		}
		c.cfg.Log.Info("this peer asks for another share", "phi", next, "before", m.Phi, "assigned", r.Bytes+r.Need, "lent", m.Lent)
		last = now
	}
}

func heldOf(r Report) fill.Held {
	return fill.Held{Known: r.Ready, Assigned: r.Bytes + r.Need, Missing: r.Missing}
}

// crowd is how full the members are that are rather full, by the last word of each.
func (c *Cluster) crowd(own Report) uint32 {
	var all []allocation.Filling
	a := c.base.State.Authority()
	for _, r := range a.Members() {
		f := allocation.Filling{Lent: twins.Offered(a, r)}
		if r.Peer == c.self {
			f.Held = own.Bytes + own.Need
		} else if s := c.book.Latest(r.Peer); s != nil {
			f.Held = s.Bytes
		}
		all = append(all, f)
	}
	return allocation.Crowd(all)
}
