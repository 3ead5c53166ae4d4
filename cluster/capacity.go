package cluster

import (
	"context"
	"math"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/cluster/internal/twins"
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
	out.Shared = sum.twins.Lists()
	return out, nil
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
	twins twins.Twins
	lent  uint64 // bytes
}

// sums returns those of the present membership, computed once for each.
func (m *Members) sums() *sums {
	a := m.base.State.Authority()
	if s := m.summed.Load(); s != nil && s.of == a {
		return s
	}
	s := &sums{of: a, twins: twins.Of(a)}
	for _, r := range a.Members() {
		s.lent += min(s.counted(r), math.MaxUint64-s.lent)
	}
	m.summed.Store(s)
	return s
}

// counted is what a member adds to what all lend, in bytes.
func (s *sums) counted(r identity.Record) uint64 {
	if _, second := s.twins.Counted[r.Peer]; second {
		return 0
	}
	return twins.Offered(s.of, r)
}

// share is a member's part of what is lent, in hundredths of a percent.
func (s *sums) share(r identity.Record) uint32 {
	return uint32(float64(s.counted(r)) / float64(max(s.lent, 1)) * 10000)
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
