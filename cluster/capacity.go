package cluster

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// usableUpTo is the replication up to which capacity is told.
const usableUpTo = 5

// Capacity tells what all members together lend, hold and can keep. Members on
// one IPFS node are counted once.
func (c *Cluster) Capacity(context.Context) (pinset.Capacity, error) {
	a, view := c.base.State.Authority(), c.View()
	sum := c.sums()
	out := pinset.Capacity{Members: len(a.Members()), Lent: sum.lent}
	nodes := map[peer.ID]uint64{} // used, by IPFS node
	for _, r := range a.Members() {
		used := c.lastUsed(r.Peer)
		if node := r.IPFSPeer; node != "" {
			nodes[node] = max(nodes[node], used)
			continue
		}
		out.Used += used
	}
	for _, used := range nodes {
		out.Used += used
	}
	highest := min(max(a.Policy().Max, usableUpTo), out.Members)
	for r := 1; r <= highest; r++ {
		out.Usable = append(out.Usable, pinset.Fit{Replication: r, Bytes: view.Usable(r) << 20})
	}
	out.Shared = sum.twins.groups
	return out, nil
}

// offered is what a member lends for new items, in bytes.
func offered(a *identity.Authority, r identity.Record) uint64 {
	if r.State != identity.Active || a.Role(r.Peer) == identity.RoleObserver {
		return 0
	}
	return r.Lent
}

func (c *Cluster) lastUsed(id peer.ID) uint64 {
	if id == c.self {
		return c.parts.Keeper.Usage().Used
	}
	if s := c.book.Latest(id); s != nil {
		return s.Bytes
	}
	return 0
}

// sums are what a membership adds up to.
type sums struct {
	of    *identity.Authority
	twins twins
	lent  uint64 // bytes
}

// sums returns those of the present membership, computed once for each.
func (m *Members) sums() *sums {
	a := m.base.State.Authority()
	if s := m.summed.Load(); s != nil && s.of == a {
		return s
	}
	s := &sums{of: a, twins: twinsOf(a)}
	for _, r := range a.Members() {
		s.lent += min(s.counted(r), math.MaxUint64-s.lent)
	}
	m.summed.Store(s)
	return s
}

// counted is what a member adds to what all lend, in bytes.
func (s *sums) counted(r identity.Record) uint64 {
	if _, second := s.twins.counted[r.Peer]; second {
		return 0
	}
	return offered(s.of, r)
}

// share is a member's part of what is lent, in hundredths of a percent.
func (s *sums) share(r identity.Record) uint32 {
	return uint32(float64(s.counted(r)) / float64(max(s.lent, 1)) * 10000)
}

// twins are members whose records name one IPFS node: two copies there are one.
type twins struct {
	groups  [][]peer.ID         // each with the member that counts first
	counted map[peer.ID]peer.ID // who does not count, and by whom it is counted
}

// with returns the others on id's IPFS node.
func (t twins) with(id peer.ID) []peer.ID {
	for _, g := range t.groups {
		if slices.Contains(g, id) {
			return slices.DeleteFunc(slices.Clone(g), func(o peer.ID) bool { return o == id })
		}
	}
	return nil
}

// twinsOf finds them. Of the members on one IPFS node that one counts which is
// active, lends most, and has the smallest id, in this order: the records alone
// decide it, so that everybody counts the same one.
func twinsOf(a *identity.Authority) twins {
	nodes := map[peer.ID][]identity.Record{}
	for _, r := range a.Members() {
		if r.IPFSPeer != "" {
			nodes[r.IPFSPeer] = append(nodes[r.IPFSPeer], r)
		}
	}
	out := twins{counted: map[peer.ID]peer.ID{}}
	for _, group := range nodes {
		if len(group) < 2 {
			continue
		}
		slices.SortFunc(group, func(x, y identity.Record) int {
			return cmp.Or(cmp.Compare(offered(a, y), offered(a, x)), cmp.Compare(x.Peer, y.Peer))
		})
		ids := make([]peer.ID, len(group))
		for i, r := range group {
			if ids[i] = r.Peer; i > 0 {
				out.counted[r.Peer] = ids[0]
			}
		}
		out.groups = append(out.groups, ids)
	}
	slices.SortFunc(out.groups, func(x, y []peer.ID) int { return cmp.Compare(x[0], y[0]) })
	return out
}

// behind counts the changes known here that a member has not said it knows.
func (c *Cluster) behind(id peer.ID, agrees bool) uint64 {
	s := c.book.Latest(id)
	if agrees || s == nil {
		return 0
	}
	theirs, n := s.Vector, uint64(0)
	for author, seq := range c.base.State.Vector() {
		n += seq - min(seq, theirs[author])
	}
	return n
}
