package allocation

import (
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// naiveStandIns walks the whole line.
func naiveStandIns(v *View, it Item, away map[peer.ID]bool) []peer.ID {
	pl := v.Allocate(it)
	q := v.query(&it)
	near := 0
	if v.policy.MirrorsCount {
		for _, id := range pl.Mirrors {
			if v.members[v.index[id]].Mirror && !away[id] {
				near++
			}
		}
	}
	var out []peer.ID
	for at, id := range v.Ranked(it) {
		if near < q.min && !away[id] && !q.every {
			near++
			if at >= len(pl.Holders) {
				out = append(out, id)
			}
		}
	}
	return out
}

func TestStandInsAreTheNextInLine(t *testing.T) {
	some := 0
	cases(t, 150, 8, func(d *dice, members []Member, p Policy, v *View, it Item) {
		away := map[peer.ID]bool{}
		for _, m := range members {
			away[m.ID] = d.chance(50)
		}
		got := v.StandIns(it, away)
		some += len(got)
		if diff := cmp.Diff(naiveStandIns(v, it, away), got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%d members, item %+v: %s", len(members), it, diff)
		}
		if got := v.StandIns(it, map[peer.ID]bool{}); len(got) > 0 {
			t.Fatalf("nobody is away, and %v stand in", got)
		}
	})
	if some < 200 {
		t.Errorf("only %d stand-ins: nothing was tested", some)
	}
}

// A network of 100 is cut 60 to 40 for a day while both sides go on pinning, and
// healed. Every peer keeps what Allocate gives it, or StandIns while the cut lasts.
func TestASplitMovesNothing(t *testing.T) {
	d := dice(60)
	members := shuffled(&d, d.plain(100))
	v, other := NewView(members, Policy{}), NewView(shuffled(&d, members), Policy{})
	away := [2]map[peer.ID]bool{{}, {}} // of each side: who is on the other
	for i, m := range members {
		side := min(1, i/60)
		away[1-side][m.ID] = true
	}
	var canonical, interim, uncovered int
	for n := range 6000 {
		it := Item{Hash: d.hash(), Want: pinset.Replication{Min: 2, Max: 3}}
		before := v.Allocate(it)
		samePlaces(t, "the cut", before, other.Allocate(it)) // both sides know all records
		side := n % 2                                        // where a new pin is made
		stands := v.StandIns(it, away[side])
		reachable := len(stands)
		for _, id := range before.Holders {
			if away[side][id] {
				uncovered++
			} else {
				reachable++
			}
		}
		for _, id := range stands {
			if away[side][id] || slices.Contains(before.Holders, id) {
				t.Fatalf("%v stands in on side %d for %v", id, side, before.Holders)
			}
		}
		if reachable < before.Binding || len(stands) > 0 && reachable != before.Binding {
			t.Fatalf("%d copies on side %d, %d of them interim: want %d", reachable, side, len(stands), before.Binding)
		}
		canonical, interim = canonical+len(before.Holders), interim+len(stands)
		if left := v.StandIns(it, nil); len(left) > 0 { // healed
			t.Fatalf("%v go on standing in", left)
		}
	}
	t.Logf("6000 new pins in a cut of 60 to 40: %d copies, %d out of reach of their side, %d interim; 0 moved, all interim ones released",
		canonical, uncovered, interim)
	if interim < 1000 {
		t.Error("too few interim copies: nothing was tested")
	}
}

// Who can be reached is an argument of StandIns alone: neither records, items and
// policies, nor any other method have a place for it.
func TestBeingReachableIsNoInput(t *testing.T) {
	fields := func(v any) (out []string) {
		for typ, i := reflect.TypeOf(v), 0; i < typ.NumField(); i++ {
			out = append(out, typ.Field(i).Name)
		}
		return out
	}
	got := [][]string{fields(Member{}), fields(Item{}), fields(Policy{})}
	want := [][]string{
		{"ID", "Cap", "InCap", "Phi", "Domains", "Tags", "Mirror", "Mirrors", "State", "Incarnation", "Seat"},
		{"Hash", "Want", "Tags", "Include", "Size"},
		{"Algo", "FillDays", "StrictShare", "MirrorsCount", "SoftSpread", "Replication"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("an input that is none of the function's?\n%s", diff)
	}
	view := reflect.TypeFor[*View]()
	for i := range view.NumMethod() {
		m := view.Method(i)
		for in := 1; in < m.Type.NumIn(); in++ {
			kind := m.Type.In(in)
			if m.Name != "StandIns" && kind != reflect.TypeFor[Item]() && kind != reflect.TypeFor[peer.ID]() && kind.Kind() != reflect.Int {
				t.Errorf("%s takes a %v", m.Name, kind)
			}
		}
	}
}
