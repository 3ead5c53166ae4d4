package cluster

import (
	"context"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/cluster/internal/ask"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// Drain has a member take nothing new and hand over what it holds: this peer, or,
// for an admin, another one that can be reached.
func (c *Cluster) Drain(ctx context.Context, id peer.ID) error {
	return c.wish(ctx, id, ask.Drain)
}

// Undrain makes a member take its share again.
func (c *Cluster) Undrain(ctx context.Context, id peer.ID) error {
	return c.wish(ctx, id, ask.Undrain)
}

// wish has a member restate itself. Nobody can sign for another, so it is asked.
func (c *Cluster) wish(ctx context.Context, id peer.ID, what string) error {
	if id == c.self {
		return c.amend(ctx, stateOf(what))
	}
	if err := c.mustAdmin(id); err != nil {
		return err
	}
	if !c.reachable()[id] {
		return pinset.Errorf(pinset.KindUnavailable, "%s cannot be reached: only it can sign that it drains", c.nameOf(id)).
			WithHint("if it is gone for good: pinfold evict %s", c.nameOf(id))
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.AskTime)
	defer cancel()
	_, err := askOne(ctx, c.parts.Network, id, ask.Request{What: what})
	return err
}

func stateOf(what string) func(*identity.Record) error {
	return func(r *identity.Record) error {
		if r.State = identity.Active; what == ask.Drain {
			r.State = identity.Draining
		}
		return nil
	}
}

// obey does what an admin asks of this peer's record.
func (m *Members) obey(ctx context.Context, from peer.ID, what string) error {
	a := m.base.State.Authority()
	if !a.Is(from) || a.Role(from) != identity.RoleAdmin {
		return pinset.Errorf(pinset.KindForbidden, "%s is no admin", from)
	}
	m.cfg.Log.Info("an admin changes this peer's state", "peer", from, "what", what)
	return m.amend(ctx, stateOf(what))
}

// mustAdmin is nil if this peer may rule over another member.
func (c *Cluster) mustAdmin(over peer.ID) error {
	a := c.base.State.Authority()
	switch {
	case !a.Is(over):
		return pinset.NotFound("%s is no member", over).WithHint("pinfold peers")
	case !a.Is(c.self) || a.Role(c.self) != identity.RoleAdmin:
		return pinset.Errorf(pinset.KindForbidden, "this peer is %s and no admin: it rules over itself alone", a.Role(c.self)).
			WithHint("ask an admin of the cluster; pinfold peers lists the roles")
	}
	return nil
}

// nameOf is how people call a member.
func (c *Cluster) nameOf(id peer.ID) string {
	if m, ok := c.base.State.Authority().Member(id); ok {
		return m.Name
	}
	return id.String()
}
