package cluster

import (
	"context"
	"time"

	"github.com/pinfold/pinfold/allocation"
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
	last := c.cfg.Now() // of a change: the process before may have made one
	every := growEvery
	for {
		if err := pause(ctx, every); err != nil {
			return err
		}
		m, ok := c.base.State.Authority().Member(c.self)
		now := c.cfg.Now()
		if every = shareEvery; !ok || growing(m.Phi) {
			every = growEvery
		}
		if !ok || m.State != identity.Active {
			continue
		}
		r := c.parts.Keeper.Report()
		next := nextPhi(m, r, now.Sub(last) >= shareAgain)
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

// nextPhi is the fill factor that a member should have. Settled: the last change was
// a while ago.
func nextPhi(m identity.Record, r Report, settled bool) uint32 {
	assigned := r.Bytes + r.Need
	switch {
	case !r.Ready:
		return m.Phi
	case growing(m.Phi) && (r.Missing == 0 || settled): // what nobody provides stays missing
		return allocation.SlowStart(m.Phi, m.Lent, assigned)
	case settled && !growing(m.Phi):
		return allocation.Feedback(m.Phi, m.Lent, assigned)
	}
	return m.Phi
}

// growing says whether phi is one of the steps from allocation.StartPhi to the whole
// share. What feedback makes of phi is rarely one of them; then there is room for
// a doubling, or feedback decides.
func growing(phi uint32) bool {
	return phi >= allocation.StartPhi && phi < allocation.FullPhi && phi&(phi-1) == 0
}
