package cluster

import (
	"context"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/cluster/internal/reach"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

const (
	invitePeers = 6 // in one invite, this one included
	inviteAddrs = 4 // of each
)

// Invite makes an invite to this cluster. It names this peer and some that are
// connected, with addresses that answered; those that did not are named too, last,
// since a home router often hides an address from its own inside. It is a secret.
func (c *Cluster) Invite(ctx context.Context) (pinset.Invite, error) {
	a := c.base.State.Authority()
	if !a.Is(c.self) {
		return pinset.Invite{}, c.mayWrite()
	}
	found := []peer.AddrInfo{{ID: c.self, Addrs: c.parts.Network.Addrs()}}
	for _, s := range c.parts.Network.Peers() {
		if s.Connected && a.Is(s.ID) && len(found) < invitePeers {
			found = append(found, peer.AddrInfo{ID: s.ID, Addrs: s.Addrs})
		}
	}
	invite := identity.Invite{Cluster: c.cfg.Founding.ID(), Name: c.cfg.Founding.Name(), Secret: c.cfg.Secret}
	var out pinset.Invite
	for i, tested := range reach.Test(ctx, found) {
		info := found[i]
		if tested = tested[:min(len(tested), inviteAddrs)]; len(tested) == 0 {
			continue
		}
		row := peer.AddrInfo{ID: info.ID}
		for _, t := range tested {
			row.Addrs = append(row.Addrs, t.Addr)
			out.Addresses = append(out.Addresses, pinset.TestedAddress{
				Address: t.Addr.String() + "/p2p/" + info.ID.String(), Public: t.Public, Error: t.Err,
			})
		}
		invite.Peers = append(invite.Peers, row)
	}
	if len(invite.Peers) == 0 {
		return pinset.Invite{}, pinset.Errorf(pinset.KindUnavailable, "invite: this peer has no address at which others could reach it").
			WithHint("see network.listen in `pinfold config show`")
	}
	if out.Text = invite.String(); out.Text == "" {
		return pinset.Invite{}, pinset.Errorf(pinset.KindInternal, "invite: does not fit")
	}
	return out, nil
}

// Remove takes a member out of the cluster. Only an admin can.
func (c *Cluster) Remove(ctx context.Context, id peer.ID) error {
	a := c.base.State.Authority()
	if id == c.self {
		return c.Leave(ctx)
	}
	if !a.Is(id) {
		return pinset.NotFound("%s is no member", id).WithHint("pinfold peers")
	}
	if a.Role(c.self) != identity.RoleAdmin || !a.Is(c.self) {
		have, active, _ := a.Attested(id, c.self)
		return pinset.Errorf(pinset.KindForbidden, "this peer is no admin and cannot remove members").
			WithHint("ask an admin; or wait: members evict together who was silent for %s (%s: %s here, attested by %d of %d)",
				a.Policy().Absent, c.nameOf(id), c.silence.For(id).Round(time.Second), have, active)
	}
	_, err := c.remove(ctx, id)
	return err
}

func (c *Cluster) remove(ctx context.Context, id peer.ID) (pinset.Receipt, error) {
	e, err := c.base.State.Authority().Removal(id, c.self)
	if err != nil {
		return pinset.Receipt{}, pinset.Wrap(pinset.KindConflict, err, "remove member")
	}
	return c.base.State.Commit(ctx, Op{Key: e.Key, Value: e.Value})
}

const (
	leaveTime = 10 * time.Second // in which somebody should hear of a leave
	leaveLook = 100 * time.Millisecond
)

// Leave takes this peer out of the cluster, waits a little until another member
// knows, and closes Left. KindConflict: there is nobody else to leave it to,
// or no other admin.
func (c *Cluster) Leave(ctx context.Context) error {
	a := c.base.State.Authority()
	if len(a.Members()) < 2 && a.Is(c.self) {
		return pinset.Errorf(pinset.KindConflict, "this peer is the last member: with it the cluster would end").
			WithHint("stop pinfold, and remove its directory if the pinset is not needed any more")
	}
	if a.Role(c.self) == identity.RoleAdmin && !slices.ContainsFunc(a.Members(), func(m identity.Record) bool {
		return m.Peer != c.self && a.Role(m.Peer) == identity.RoleAdmin
	}) {
		return pinset.Errorf(pinset.KindConflict, "%s is the only admin: nobody could rule any more", c.nameOf(c.self)).
			WithHint("make another member an admin first: pinfold role NAME admin")
	}
	if a.Is(c.self) {
		if _, err := c.remove(ctx, c.self); err != nil {
			return err
		}
		c.waitHeard(ctx)
	}
	c.leaving.Do(func() { close(c.left) })
	return nil
}

// waitHeard returns when a connected member has this peer's pinset, or after a
// while: the record of the leave is durable here, but this peer stops.
func (c *Cluster) waitHeard(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	for {
		digest, some := c.base.State.Summary().Digest, false
		for _, s := range c.parts.Network.Peers() {
			if s.Connected && s.Digest == digest {
				return
			}
			some = some || s.Connected
		}
		if !some || pause(ctx, leaveLook) != nil {
			return
		}
	}
}
