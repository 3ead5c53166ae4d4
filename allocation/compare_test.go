package allocation

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// naiveCompare recounts a change from lists of who holds what.
func naiveCompare(before, after *View, items []Item) Change {
	shifts := map[peer.ID]*Shift{}
	stays := map[peer.ID]bool{}
	for _, v := range []*View{before, after} {
		for _, m := range v.Members() {
			shifts[m.ID] = &Shift{ID: m.ID}
			stays[m.ID] = slices.ContainsFunc(after.Members(), func(o Member) bool { return o.ID == m.ID && o.State != Left })
		}
	}
	var c Change
	for _, it := range items {
		was, is := before.Allocate(it), after.Allocate(it)
		had, has := append(slices.Clone(was.Holders), was.Mirrors...), append(slices.Clone(is.Holders), is.Mirrors...)
		c.Items.add(it.Size)
		if it.Size != 0 {
			c.Sizes++
		}
		left, counted := 0, 0
		for id, s := range shifts {
			a, b := slices.Contains(had, id), slices.Contains(has, id)
			if a {
				s.Before.add(it.Size)
			}
			if b {
				s.After.add(it.Size)
			}
			if a && !b {
				s.Out.add(it.Size)
			}
			if b && !a {
				s.In.add(it.Size)
				c.Moved.add(it.Size)
			}
			if a && stays[id] {
				left++
				if !slices.Contains(is.Mirrors, id) {
					counted++
				}
			}
		}
		if was.Short > 0 {
			c.ShortBefore++
		}
		if is.Short > 0 {
			c.ShortAfter++
		}
		if left == 0 && len(had) > 0 {
			c.Lost++
		}
		thin := counted < is.Binding+is.Short
		if thin {
			c.Thin++
		}
		if thin || is.Short > 0 {
			c.Below = append(c.Below, it)
		}
	}
	for _, s := range shifts {
		c.Shifts = append(c.Shifts, *s)
	}
	slices.SortFunc(c.Shifts, func(a, b Shift) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return c
}

func TestCompareEqualsCountingByHand(t *testing.T) {
	cases(t, 60, 1, func(d *dice, members []Member, p Policy, v *View, it Item) {
		changed := append(slices.Clone(members), d.plain(d.below(3))...)
		changed = slices.Delete(changed, 0, d.below(2))
		for range d.below(3) {
			if len(changed) > 0 {
				changed[d.below(len(changed))].State = State(d.below(3))
			}
		}
		after := p
		after.Replication = pinset.Replication{Min: 3, Max: 3}
		items := []Item{it}
		for range 40 {
			items = append(items, d.item(members))
		}
		w := NewView(changed, after)
		got := Compare(v, w, slices.Values(items))
		if diff := cmp.Diff(naiveCompare(v, w, items), got); diff != "" {
			t.Fatalf("by hand against Compare:\n%s", diff)
		}
		for _, s := range got.Shifts {
			if s.Before.Copies+s.In.Copies != s.After.Copies+s.Out.Copies || s.Before.Bytes+s.In.Bytes != s.After.Bytes+s.Out.Bytes {
				t.Fatalf("before and in are not after and out: %+v", s)
			}
		}
		if least := got.Least(); least.Copies > got.Moved.Copies || least.Bytes > got.Moved.Bytes {
			t.Fatalf("moved %+v, less than the least %+v", got.Moved, least)
		}
	})
}

func TestCompareWithItselfMovesNothing(t *testing.T) {
	d := dice(4)
	members := d.motley(30)
	v := NewView(members, Policy{})
	var items []Item
	for range 300 {
		items = append(items, d.item(members))
	}
	c := Compare(v, NewView(members, Policy{}), slices.Values(items))
	if c.Moved.Copies != 0 || c.ShortBefore != c.ShortAfter || c.Least().Copies != 0 || len(c.Below) > belowListed {
		t.Errorf("%+v", c.Moved)
	}
}

func TestALeavingMemberThinsWhatItHolds(t *testing.T) {
	d := dice(5)
	members := d.flat(6)
	before := NewView(members, Policy{})
	gone := slices.Clone(members)
	gone[2].State = Left
	drained := slices.Clone(members)
	drained[2].State = Draining
	var items []Item
	held := 0
	for range 500 {
		it := Item{Hash: d.hash(), Want: pinset.Replication{Min: 2, Max: 2}, Size: 1 << 20}
		items = append(items, it)
		if before.Holds(members[2].ID, it) {
			held++
		}
	}
	if c := Compare(before, NewView(gone, Policy{}), slices.Values(items)); c.Thin != held || c.Moved.Copies < held || c.Lost != 0 || len(c.Below) != min(held, belowListed) {
		t.Errorf("it held %d: %d thin, %d lost, %d moved, %d listed", held, c.Thin, c.Lost, c.Moved.Copies, len(c.Below))
	}
	if c := Compare(before, NewView(drained, Policy{}), slices.Values(items)); c.Thin != 0 || c.Moved.Copies < held {
		t.Errorf("draining: %d thin, %d moved", c.Thin, c.Moved.Copies)
	}
	one := NewView(members[2:3], Policy{})
	if c := Compare(one, NewView(gone[2:3], Policy{}), slices.Values(items)); c.Lost != 500 || c.ShortAfter != 500 {
		t.Errorf("the only member leaves: %d lost, %d short", c.Lost, c.ShortAfter)
	}
}
