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
	return c.wish(ctx, id, ask.Request{What: ask.Drain})
}

// Undrain makes a member take its share again.
func (c *Cluster) Undrain(ctx context.Context, id peer.ID) error {
	return c.wish(ctx, id, ask.Request{What: ask.Undrain})
}

// wish has a member restate itself. Nobody can sign for another, so it is asked.
func (c *Cluster) wish(ctx context.Context, id peer.ID, what ask.Request) error {
	if id == c.self {
		return c.amend(ctx, stateOf(what))
	}
	if err := c.mustAdmin(id); err != nil {
		return err
	}
	if !c.reachable()[id] {
		return pinset.Errorf(pinset.KindUnavailable, "%s cannot be reached: only it can sign its record", c.nameOf(id)).
			WithHint("if it is gone for good: pinfold evict %s", c.nameOf(id))
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.AskTime)
	defer cancel()
	_, err := askOne(ctx, c.parts.Network, id, what)
	return err
}

func stateOf(what ask.Request) func(*identity.Record) error {
	return func(r *identity.Record) error {
		switch what.What {
		case ask.Drain:
			r.State = identity.Draining
		case ask.Undrain:
			r.State = identity.Active
		case ask.Replace:
			r.Seat, r.Phi = what.Peer, identity.FullPhi // the whole of it: in steps, others would hold it meanwhile
		}
		return nil
	}
}

// obey does what an admin asks of this peer's record.
func (m *Members) obey(ctx context.Context, from peer.ID, what ask.Request) error {
	a := m.base.State.Authority()
	if !a.Is(from) || a.Role(from) != identity.RoleAdmin {
		return pinset.Errorf(pinset.KindForbidden, "%s is no admin", from)
	}
	m.cfg.Log.Info("an admin changes this peer's record", "peer", from, "what", what.What)
	return m.amend(ctx, stateOf(what))
}

// Replace puts a member in the place of another, present or gone: it gets exactly
// what that one held, as far as it lends as much, and nothing else moves; the old
// one drains. KindUnavailable: the old one could not be told.
func (c *Cluster) Replace(ctx context.Context, old, by peer.ID) error {
	a := c.base.State.Authority()
	if err := c.mustAdmin(by); err != nil {
		return err
	}
	switch {
	case old == by:
		return pinset.Invalid("replace %s by itself", c.nameOf(old))
	case !a.Ever(old):
		return pinset.NotFound("%s was never a member", old).WithHint("pinfold peers")
	}
	seat := old
	if m, ok := a.Member(old); ok && m.Seat != "" {
		seat = m.Seat // it took somebody's place itself
	}
	if err := c.wish(ctx, by, ask.Request{What: ask.Replace, Peer: seat}); err != nil || !a.Is(old) {
		return err
	}
	if err := c.Drain(ctx, old); err != nil {
		return pinset.Wrap(pinset.KindOf(err), err, "%s has its place now, but it did not drain", c.nameOf(by))
	}
	return nil
}

// mustAdmin is nil if this peer may rule over another member.
func (c *Cluster) mustAdmin(over peer.ID) error {
	a := c.base.State.Authority()
	switch {
	case !a.Is(over):
		return pinset.NotFound("%s is no member", over).WithHint("pinfold peers")
	case !a.Is(c.self) || a.Role(c.self) != identity.RoleAdmin:
		return pinset.Errorf(pinset.KindForbidden, "this peer has the role %s and is no admin: it rules over itself alone", a.Role(c.self)).
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
