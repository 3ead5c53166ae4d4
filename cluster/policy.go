package cluster

import (
	"context"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/cluster/internal/roster"
	"github.com/pinfold/pinfold/cluster/internal/rules"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// Policy lists what the admins have ruled, key by key.
func (c *Cluster) Policy(context.Context) ([]pinset.Rule, error) {
	return rules.Of(c.base.State.Authority().Policy()), nil
}

// SetPolicy changes keys of the policy for everyone, all or none. KindForbidden:
// this peer is no admin. KindInvalid names key and value.
func (c *Cluster) SetPolicy(ctx context.Context, changes map[string]string) error {
	if err := c.mustAdmin(c.self); err != nil {
		return err
	}
	p, err := rules.Change(c.base.State.Authority().Policy(), changes)
	if err != nil {
		return err
	}
	value, err := p.Encode()
	if err != nil {
		return pinset.Wrap(pinset.KindInvalid, err, "change policy")
	}
	_, err = c.base.State.Commit(ctx, Op{Key: identity.PolicyKey, Value: value})
	return err
}

// SetRole rules what a member may do: admin, writer, keeper, observer, or default,
// which is what the policy says. KindConflict: nobody would be an admin any more.
func (c *Cluster) SetRole(ctx context.Context, id peer.ID, role string) error {
	if err := c.mustAdmin(id); err != nil {
		return err
	}
	want, err := identity.ParseRole(role)
	if err != nil {
		e := pinset.Invalid("%v", err)
		if near := pinset.Nearest(role, []string{"admin", "writer", "keeper", "observer", "default"}); near != "" {
			return e.WithHint("did you mean %s?", near)
		}
		return e
	}
	a := c.base.State.Authority()
	value, err := want.Encode()
	if err != nil {
		return err
	}
	op := Op{Key: identity.RoleKey(id), Value: value}
	if !roster.HasAdmin(a.With(identity.Entry{Author: c.self, Priority: 1 << 62, Key: op.Key, Value: op.Value})) {
		return pinset.Errorf(pinset.KindConflict, "%s is the only admin: nobody could rule any more", c.nameOf(id)).
			WithHint("make another member an admin first: pinfold role NAME admin")
	}
	_, err = c.base.State.Commit(ctx, op)
	return err
}
