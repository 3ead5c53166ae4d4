package twins

import (
	"cmp"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/identity"
)

// Offered is what a member lends for new items, in bytes.
func Offered(a *identity.Authority, r identity.Record) uint64 {
	if r.State != identity.Active || a.Role(r.Peer) == identity.RoleObserver {
		return 0
	}
	return r.Lent
}

// Twins are members whose records name one IPFS node: two copies there are one.
type Twins struct {
	Groups  []Group
	Counted map[peer.ID]peer.ID // who does not count, and by whom it is counted
}

// Group is the members on one IPFS node, who counts first. Unproven: the node
// vouched for none of them, so nobody can tell who uses it; all of them count.
type Group struct {
	Members  []peer.ID
	Unproven bool
}

// With returns the others on id's IPFS node.
func (t Twins) With(id peer.ID) []peer.ID {
	for _, g := range t.Groups {
		if slices.Contains(g.Members, id) {
			return slices.DeleteFunc(slices.Clone(g.Members), func(o peer.ID) bool { return o == id })
		}
	}
	return nil
}

// Of finds them. Of the members on one IPFS node that one counts for which the node
// has signed, which is active, lends most, and has the smallest id, in this order:
// the records alone decide it, so that everybody counts the same one, and nobody
// takes away another's share by naming its node.
func Of(a *identity.Authority) Twins {
	nodes := map[peer.ID][]identity.Record{}
	for _, r := range a.Members() {
		if r.IPFSPeer != "" {
			nodes[r.IPFSPeer] = append(nodes[r.IPFSPeer], r)
		}
	}
	out := Twins{Counted: map[peer.ID]peer.ID{}}
	for _, group := range nodes {
		if len(group) < 2 {
			continue
		}
		proven := map[peer.ID]int{}
		for _, r := range group {
			if r.ProvesNode(a.Cluster()) {
				proven[r.Peer] = 1
			}
		}
		slices.SortFunc(group, func(x, y identity.Record) int {
			return cmp.Or(cmp.Compare(proven[y.Peer], proven[x.Peer]), cmp.Compare(Offered(a, y), Offered(a, x)), cmp.Compare(x.Peer, y.Peer))
		})
		g := Group{Unproven: len(proven) == 0}
		for i, r := range group {
			g.Members = append(g.Members, r.Peer)
			if i > 0 && !g.Unproven {
				out.Counted[r.Peer] = group[0].Peer
			}
		}
		out.Groups = append(out.Groups, g)
	}
	slices.SortFunc(out.Groups, func(x, y Group) int { return cmp.Compare(x.Members[0], y.Members[0]) })
	return out
}

// Lists are the groups' members.
func (t Twins) Lists() [][]peer.ID {
	var out [][]peer.ID
	for _, g := range t.Groups {
		out = append(out, g.Members)
	}
	return out
}
