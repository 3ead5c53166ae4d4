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
	Groups  [][]peer.ID         // each with the member that counts first
	Counted map[peer.ID]peer.ID // who does not count, and by whom it is counted
}

// With returns the others on id's IPFS node.
func (t Twins) With(id peer.ID) []peer.ID {
	for _, g := range t.Groups {
		if slices.Contains(g, id) {
			return slices.DeleteFunc(slices.Clone(g), func(o peer.ID) bool { return o == id })
		}
	}
	return nil
}

// Of finds them. Of the members on one IPFS node that one counts which is
// active, lends most, and has the smallest id, in this order: the records alone
// decide it, so that everybody counts the same one.
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
		slices.SortFunc(group, func(x, y identity.Record) int {
			return cmp.Or(cmp.Compare(Offered(a, y), Offered(a, x)), cmp.Compare(x.Peer, y.Peer))
		})
		ids := make([]peer.ID, len(group))
		for i, r := range group {
			if ids[i] = r.Peer; i > 0 {
				out.Counted[r.Peer] = ids[0]
			}
		}
		out.Groups = append(out.Groups, ids)
	}
	slices.SortFunc(out.Groups, func(x, y []peer.ID) int { return cmp.Compare(x[0], y[0]) })
	return out
}
