package ipfsnode

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// What came from a member, and what it was given, is told from what others did.
func TestExchangedIsToldByPartner(t *testing.T) {
	a, b := testNode(t), testNode(t)
	connect(t, b, a)
	root := add(t, a, file(noise(50, 3<<20)), pinset.AddOptions{CIDVersion: 1}, "x")
	if err := b.Pin(t.Context(), root, pinset.PinOptions{Name: "y"}); err != nil {
		t.Fatal(err)
	}
	is := func(n *Node, who string, friends []peer.ID, members, others [2]uint64) {
		t.Helper()
		x, err := n.Exchanged(t.Context(), friends)
		near := func(got, want uint64) bool { return got >= want && got <= want+want/50 } // and the root's block
		if err != nil || !near(x.FromMembers, members[0]) || !near(x.ToMembers, members[1]) || !near(x.FromOthers, others[0]) || !near(x.ToOthers, others[1]) {
			t.Errorf("%s: %+v, %v", who, x, err)
		}
	}
	const size = 3 << 20
	idA, idB := a.swarm.host.ID(), b.swarm.host.ID()
	is(b, "got from a member", []peer.ID{idA, idA, idB}, [2]uint64{size, 0}, [2]uint64{})
	is(b, "got from a stranger", nil, [2]uint64{}, [2]uint64{size, 0})
	is(a, "given to a member", []peer.ID{idB}, [2]uint64{0, size}, [2]uint64{})
	is(a, "given to a stranger", []peer.ID{"another"}, [2]uint64{}, [2]uint64{0, size})
}

// Partners beyond the bound count together, as others.
func TestExchangesAreBounded(t *testing.T) {
	e := &exchanges{with: map[peer.ID]flow{}}
	for i := range mostPartners + 10 {
		e.add(peer.ID([]byte{byte(i), byte(i >> 8)}), flow{in: 1})
	}
	if len(e.with) != mostPartners || e.rest.in != 10 {
		t.Errorf("%d partners, %d bytes of others", len(e.with), e.rest.in)
	}
}
