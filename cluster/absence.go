package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/cluster/internal/silence"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// attest looks after absence: this peer's word on others that were silent for the
// time that the policy names, and its own return where others gave theirs on it.
func (c *Cluster) attest(ctx context.Context) error {
	last := c.cfg.Now()
	for {
		every := attestEvery(c.base.State.Authority().Policy().Absent)
		if err := pause(ctx, every); err != nil {
			return err
		}
		now := c.cfg.Now()
		passed := min(now.Sub(last), 2*every) // a machine that slept heard nobody
		last = now
		err := c.lookForAbsence(ctx, max(passed, 0))
		if err != nil && ctx.Err() == nil {
			c.cfg.Log.Warn("absence of members not attested; tried again", "err", err)
		}
	}
}

// attestEvery follows the time that the policy names: a minute does for hours.
func attestEvery(absent time.Duration) time.Duration {
	return min(max(absent/10, time.Second), time.Minute)
}

// lookForAbsence is one look, after so much time.
func (c *Cluster) lookForAbsence(ctx context.Context, passed time.Duration) error {
	a, agreement := c.base.State.Authority(), c.agreement()
	if !a.Is(c.self) {
		return nil
	}
	if err := c.comeBack(ctx, a); err != nil {
		return err
	}
	heard := map[peer.ID]bool{}
	for _, m := range a.Members() {
		if m.Peer != c.self {
			heard[m.Peer] = true
		}
	}
	for _, id := range agreement.Silent {
		heard[id] = false
	}
	if agreement.Heard < 2 {
		passed = 0 // who hears nobody may be the one that is absent
	}
	if err := c.silence.Pass(ctx, passed, heard); err != nil {
		return err
	}
	for _, id := range silence.Absentees(a, c.self, c.silence.For) {
		e, err := a.Absence(id, c.self)
		if err != nil {
			return err
		}
		if _, err := c.base.State.Commit(ctx, Op{Key: e.Key, Value: e.Value}); err != nil {
			return err
		}
		c.cfg.Log.Info("attested that a member is absent", "peer", id, "silent", c.silence.For(id))
	}
	return nil
}

// lookForAway notes who cannot be reached now. For how long a member is silent
// before it counts as gone is the policy's; 0: it never does.
func (c *Cluster) lookForAway() {
	a, states := c.base.State.Authority(), c.states()
	heard := map[peer.ID]time.Time{}
	for _, m := range a.Members() {
		if m.Peer != c.self {
			heard[m.Peer] = states[m.Peer].LastHeard
		}
	}
	limit := a.Policy().Absent
	c.away.Look(c.cfg.Now(), heard, func(id peer.ID) bool { return limit > 0 && c.silence.For(id) >= limit })
}

// comeBack voids what others attested of this peer: it is here. In the next
// incarnation it is given exactly what it was given before.
func (c *Cluster) comeBack(ctx context.Context, a *identity.Authority) error {
	if have, _, _ := a.Attested(c.self, c.self); have == 0 {
		return nil
	}
	return c.amend(ctx, func(r *identity.Record) error {
		if have, _, _ := c.base.State.Authority().Attested(c.self, c.self); have > 0 {
			r.Incarnation++
		}
		return nil
	})
}

// absenceFaults tells of whom members attest that they are absent.
func (c *Cluster) absenceFaults() []pinset.HealthEntry {
	a := c.base.State.Authority()
	var out []pinset.HealthEntry
	for _, m := range a.Members() {
		if have, active, _ := a.Attested(m.Peer, c.self); have > 0 {
			out = append(out, pinset.HealthEntry{
				Code: "member-absent", Severity: pinset.SeverityWarning,
				Title:  fmt.Sprintf("%d of %d members say that %s is absent", have, active, m.Name),
				Detail: "more than half of them end its membership; others then make the copies that are missing",
				Do:     "start it, if it is to stay: it comes back by itself",
			})
		}
	}
	return out
}
