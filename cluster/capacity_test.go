package cluster

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/pinset"
)

func TestCapacityOfUnequalMembers(t *testing.T) {
	r := newRigWith(t, 4, identity.DefaultPolicy(), func(i int, rec *identity.Record) { rec.Lent = 1 << (30 + i) }) // 1, 2, 4, 8 GiB
	for i, p := range r.peers {
		if i > 0 {
			p.says()
		}
	}
	got, err := r.peers[0].Capacity(context.Background())
	want := pinset.Capacity{Members: 4, Lent: 15 << 30, Used: 42 + 3*300, Usable: []pinset.Fit{
		{Replication: 1, Bytes: 15 << 30}, {Replication: 2, Bytes: 7 << 30}, {Replication: 3, Bytes: 3 << 30}, {Replication: 4, Bytes: 1 << 30},
	}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for i, share := range []uint32{666, 1333, 2666, 5333} {
		if p := r.peers[0].recorded(r.ids.ID(i)); p.Share != share {
			t.Errorf("share of member %d is %d, want %d", i, p.Share, share)
		}
	}
	r.rewrite(3, func(rec *identity.Record) { rec.State = identity.Draining })
	r.setRole(2, identity.RoleObserver)
	if got, err := r.peers[0].Capacity(context.Background()); err != nil || got.Lent != 3<<30 {
		t.Errorf("with one that drains and an observer, %d MiB are lent, %v", got.Lent>>20, err)
	}
}

// TestTwoMembersOnOneIPFSNode: their capacity and their copies count once, and
// everybody says so.
func TestTwoMembersOnOneIPFSNode(t *testing.T) {
	r := newRig(t, 4)
	for _, i := range []int{1, 2} {
		r.uses(i, r.peers[1].node)
	}
	first, second := r.ids.ID(1), r.ids.ID(2)
	if second < first {
		first, second = second, first
	}
	c := r.peers[0]
	sum, err := c.Capacity(context.Background())
	if err != nil || sum.Lent>>20 != 3*(uint64(1e12)>>20) || !cmp.Equal(sum.Shared, [][]peer.ID{{first, second}}) {
		t.Errorf("capacity %+v, %v", sum, err)
	}
	for i := range 50 {
		if holders := c.Allocate(pinset.Pin{CID: cidN(i)}); slices.Contains(holders, second) {
			t.Fatalf("item %d is given to the second member on one IPFS node: %v", i, holders)
		}
	}
	if p := c.recorded(second); p.Share != 0 || !slices.Equal(p.Twins, []peer.ID{first}) {
		t.Errorf("the second one's row: %+v", p)
	}
	var codes []string
	for _, e := range c.Health(context.Background()) {
		codes = append(codes, e.Code)
	}
	if !slices.Contains(codes, "shared-ipfs-node") {
		t.Errorf("health says %v", codes)
	}
	r.rewrite(1, func(rec *identity.Record) { rec.Lent /= 2 })
	if sum, err := c.Capacity(context.Background()); err != nil || sum.Shared[0][0] != r.ids.ID(2) {
		t.Errorf("who lends more counts: %+v, %v", sum, err)
	}
}

// uses has the record of member i name a node that vouches for it.
func (r *rig) uses(i int, node *ipfsclienttest.Fake) {
	r.t.Helper()
	sig, err := node.Sign(r.t.Context(), identity.NodeClaim(r.ids.Founding.ID(), r.ids.ID(i)))
	if err != nil {
		r.t.Fatal(err)
	}
	r.rewrite(i, func(rec *identity.Record) { rec.IPFSPeer, rec.IPFSProof = node.ID(), sig })
}

// TestNamingAnothersIPFSNodeTakesNothingAway: whoever names the node of another
// member, lends more than it and has the smaller id, but is not vouched for by that
// node, does not count; and where the node vouches for nobody all count.
func TestNamingAnothersIPFSNodeTakesNothingAway(t *testing.T) {
	r := newRig(t, 4)
	honest, liar := r.ids.ID(1), r.ids.ID(2)
	node := r.peers[1].node
	var copied []byte
	for _, vouched := range []bool{false, true} {
		name := fmt.Sprintf("the node vouches for its member: %v", vouched)
		if vouched {
			r.uses(1, node)
			rec, _ := r.log.authority.Member(honest)
			copied = rec.IPFSProof
		} else {
			r.rewrite(1, func(rec *identity.Record) { rec.IPFSPeer = node.ID() })
		}
		r.rewrite(2, func(rec *identity.Record) {
			rec.IPFSPeer, rec.IPFSProof, rec.Lent = node.ID(), copied, 100*rec.Lent
		})
		held := map[peer.ID]int{}
		for i := range 200 {
			for _, id := range r.peers[0].Allocate(pinset.Pin{CID: cidN(i)}) {
				held[id]++
			}
		}
		if held[honest] == 0 {
			t.Errorf("%s: who uses it is given nothing, as another claims its node: %v", name, held)
		}
		if vouched == (held[liar] > 0) {
			t.Errorf("%s: who claims it is given %d items", name, held[liar])
		}
	}
}

func TestCopiesOnOneIPFSNodeAreOne(t *testing.T) {
	r := newRig(t, 4)
	pin := r.pin0(pinset.Replication{Min: 2, Max: 2})
	for _, i := range []int{1, 2} {
		r.rewrite(i, func(rec *identity.Record) { rec.IPFSPeer = r.peers[1].node.ID() })
		r.peers[i].tracker.set(pinset.Local{CID: pin.CID, Status: pinset.StatusPinned})
	}
	s, err := r.peers[0].Status(context.Background(), pin.CID, false)
	if err != nil || s.Copies != 1 || s.Short != 1 {
		t.Errorf("%d copies, %d short, %v; want one of each", s.Copies, s.Short, err)
	}
}

// pin0 pins an item by the first peer.
func (r *rig) pin0(want pinset.Replication) pinset.Pin {
	return r.peers[0].pin(pinset.Pin{CID: cidN(1), Replication: want})
}

func TestBehindCountsWhatAMemberHasNotSaidItKnows(t *testing.T) {
	r := newRig(t, 3)
	r.peers[1].says()
	r.split(1)
	r.pin0(pinset.Replication{})
	r.peers[0].pin(pinset.Pin{CID: cidN(2)})
	got := peersOf(t, r.peers[0])
	if p := got[r.ids.ID(1)]; p.Agrees || p.Behind != 2 {
		t.Errorf("who is cut off: agrees %v, behind by %d; want 2", p.Agrees, p.Behind)
	}
	if p := got[r.ids.ID(2)]; !p.Agrees || p.Behind != 0 {
		t.Errorf("who is there: agrees %v, behind by %d", p.Agrees, p.Behind)
	}
}
