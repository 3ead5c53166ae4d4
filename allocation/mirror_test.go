package allocation

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// following makes some of the members mirror others by name, themselves and
// strangers among them.
func (d *dice) following(members []Member) []Member {
	out := slices.Clone(members)
	for i := range out {
		if !d.chance(30) {
			continue
		}
		for range 1 + d.below(3) {
			of := members[d.below(len(members))].ID
			if d.chance(10) {
				of = "nobody"
			}
			out[i].Mirrors = append(out[i].Mirrors, of)
		}
	}
	return out
}

func TestMirrorsOfMembersEqualTheTwin(t *testing.T) {
	some := 0
	for seed := range 300 {
		d := dice(seed)
		members := d.following(d.motley(2 + d.below(12)))
		p := Policy{MirrorsCount: seed%4 == 1}
		v := NewView(members, p)
		for range 8 {
			it := d.item(members)
			got := v.Allocate(it)
			if diff := cmp.Diff(naiveAllocate(members, p, it), got, samePlacement); diff != "" {
				t.Fatalf("seed %d, item %+v: twin against package:\n%s", seed, it, diff)
			}
			checkHolds(t, v, it, v.Members())
			some += len(got.Mirrors)
		}
	}
	if some == 0 {
		t.Error("nobody ever mirrored anything")
	}
}

func TestAMirrorOfAMemberHoldsWhatItHoldsAndNothingElse(t *testing.T) {
	var d dice
	members := d.plain(8)
	for i := range members {
		members[i].Cap, members[i].InCap, members[i].Phi = 1<<20, 0, FullPhi
	}
	members[0].Mirrors = []peer.ID{members[1].ID}
	members[2].Mirrors = []peer.ID{members[0].ID} // of a mirror
	v := NewView(members, Policy{})
	held := 0
	for range 500 {
		it := Item{Hash: d.hash(), Want: pinset.Replication{Min: 2, Max: 2}}
		pl := v.Allocate(it)
		var want []peer.ID
		if slices.Contains(pl.Holders, members[1].ID) {
			want = sortedSet([]peer.ID{members[0].ID, members[2].ID})
			held++
		}
		if !slices.Equal(pl.Mirrors, want) || len(pl.Holders) != 2 || slices.Contains(pl.Holders, members[0].ID) {
			t.Fatalf("holders %v, mirrors %v, want the mirrors %v beside two holders", pl.Holders, pl.Mirrors, want)
		}
	}
	if held < 100 || held > 240 {
		t.Errorf("the mirrored one of six equal members holds %d of 500 items with two copies", held)
	}
}

// TestTwoThatMirrorEachOtherHoldNothing: a wish alone brings nothing into the world.
func TestTwoThatMirrorEachOtherHoldNothing(t *testing.T) {
	var d dice
	members := d.plain(4)
	members[0].Mirrors, members[1].Mirrors = []peer.ID{members[1].ID}, []peer.ID{members[0].ID}
	if pl := NewView(members, Policy{}).Allocate(Item{Hash: d.hash()}); len(pl.Mirrors) != 0 {
		t.Errorf("mirrors %v, want none", pl.Mirrors)
	}
}
