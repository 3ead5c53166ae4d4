package allocation

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/libp2p/go-libp2p/core/peer"
)

func TestExplainAgreesWithAllocate(t *testing.T) {
	cases(t, 120, 5, func(d *dice, members []Member, p Policy, v *View, it Item) {
		var ranked, holders, mirrors []peer.ID
		binding, seen, last := 0, map[peer.ID]bool{}, Row{}
		for _, r := range v.Explain(it) {
			if seen[r.ID] || r.Why == "" || r.Rank > 0 && r.Rank != len(ranked)+1 {
				t.Fatalf("row %+v", r)
			}
			seen[r.ID] = true
			if r.Rank > 0 {
				ranked = append(ranked, r.ID)
			}
			switch r.Role {
			case Named, Binding, BestEffort:
				holders = append(holders, r.ID)
			case Mirroring:
				mirrors = append(mirrors, r.ID)
			}
			if r.Role == Binding || r.Role == Named && r.Rank <= v.Allocate(it).Binding {
				binding++
			}
			if !p.SoftSpread && r.Why == last.Why && r.Role == last.Role && r.Rank > 0 && r.Score < last.Score && r.Why != whySure && r.Why != whySecond {
				t.Fatalf("%+v stands after %+v", r, last)
			}
			last = r
		}
		if !slices.Equal(ranked, v.Ranked(it)) {
			t.Fatalf("rows in line %v, Ranked %v", ranked, v.Ranked(it))
		}
		pl := v.Allocate(it)
		slices.Sort(pl.Mirrors)
		slices.Sort(mirrors)
		if diff := cmp.Diff([][]peer.ID{pl.Holders, pl.Mirrors}, [][]peer.ID{holders, mirrors}, cmpopts.EquateEmpty()); diff != "" || binding != pl.Binding {
			t.Fatalf("binding %d, want %d: %s", binding, pl.Binding, diff)
		}
		for _, m := range v.Members() {
			if seen[m.ID] == (m.State == Left) {
				t.Fatalf("%s is %v and has a row: %v", m.ID, m.State, seen[m.ID])
			}
		}
	})
}

func TestScoresAreTheLogarithmOverTheRate(t *testing.T) {
	d := dice(3)
	v := NewView(d.flat(30), Policy{})
	for range 100 {
		it := Item{Hash: d.hash()}
		for _, r := range v.Explain(it) {
			q := v.query(&it)
			p := v.plan(&q)
			c := p.candidate(key(itemDomain, it.Hash), int(p.at[v.index[r.ID]]))
			want := float64(c.log) / (1 << fracBits) / (float64(c.rate) / (1 << rateBits)) * 1e6
			if math.Abs(float64(r.Score)-want) > 1+want/1e9 {
				t.Fatalf("score %d, want %.3f", r.Score, want)
			}
		}
	}
}

func TestExplainSaysWhy(t *testing.T) {
	var d dice
	members := d.flat(12)
	for i := range members {
		members[i].Cap, members[i].Domains = 1<<20, []string{string(rune('a' + i/2))}
	}
	members[0].State, members[1].Mirror, members[2].Phi = Draining, true, 0
	members[4].Cap = 4096
	members[6].Cap, members[7].Cap = 1<<21, 1<<21 // site d: half of all
	it := Item{Hash: d.hash(), Size: 1 << 30, Include: []peer.ID{members[8].ID}}
	v := NewView(members, Policy{})
	got := map[string]int{}
	for _, r := range v.Explain(it) {
		got[string(r.Role)+": "+r.Why]++
		if (r.Why == whySure || r.Why == whySecond) && !slices.Equal(r.Site, []string{"d"}) && r.Role != Spare {
			t.Errorf("%+v", r)
		}
	}
	want := map[string]int{
		"named: the pin names it": 1, "binding: " + whySure: 1, "spare: " + whySecond: 2, "best effort: drawn by its share": 1,
		"spare: next in line": 2, "mirror: mirrors everything": 1, "out: draining": 1, "out: lending nothing": 1,
		"out: in the domain of a member that the pin names":     1,
		"out: lending less than 8 GiB, too little for its size": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	alien := NewView(members, Policy{Algo: 9}).Explain(it)
	if alien[len(alien)-1].Role != Out || alien[len(alien)-1].Rank != 0 {
		t.Errorf("%+v", alien)
	}
}
