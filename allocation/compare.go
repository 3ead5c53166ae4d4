package allocation

import (
	"iter"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Load is an amount of copies.
type Load struct {
	Copies int
	Bytes  uint64 // items of unknown size count none
}

func (l *Load) add(size uint64) { l.Copies, l.Bytes = l.Copies+1, l.Bytes+size }

// Shift is what a change means for one member. Before and In make up After and Out.
type Shift struct {
	ID            peer.ID
	Before, After Load // copies assigned to it, as a holder or as a mirror
	In, Out       Load // to be made there, and no longer needed there
}

// Change is what becomes of items when one view takes the place of another.
type Change struct {
	Items  Load    // looked at, each of them once
	Sizes  int     // items of known size
	Moved  Load    // copies to be made at members that had none
	Shifts []Shift // by id: everyone of either view
	// ShortBefore and ShortAfter are items that never get to their minimum.
	ShortBefore, ShortAfter int
	// Thin items are below their minimum until the copies that the change asks for
	// are made, if who is gone after it goes at once; of Lost ones no copy is left.
	Thin, Lost int
	Below      []Item // the first of those that are short or thin
}

// belowListed bounds Change.Below.
const belowListed = 100

// Compare allocates items under two views. It takes the time of two calls of
// Allocate for each, and keeps nothing of them but the first few that fall below
// their minimum.
func Compare(before, after *View, items iter.Seq[Item]) Change {
	t := newTally(before, after)
	for it := range items {
		t.count(it, before.Allocate(it), after.Allocate(it))
	}
	return t.Change
}

// Least is the least that has to be copied to get from the loads before to those
// after.
func (c *Change) Least() Load {
	var out Load
	for _, s := range c.Shifts {
		out.Copies += max(0, s.After.Copies-s.Before.Copies)
		out.Bytes += max(s.After.Bytes, s.Before.Bytes) - s.Before.Bytes
	}
	return out
}

// tally counts a change. had and has are, of each member, the number of the last
// item of which it has a copy before, and after: nothing is cleared between items.
type tally struct {
	Change
	at       map[peer.ID]int // in Shifts
	had, has []int
	stays    []bool // is a member afterwards
}

func newTally(before, after *View) *tally {
	t := &tally{at: make(map[peer.ID]int)}
	for _, v := range []*View{before, after} {
		for i := range v.members {
			t.Shifts = append(t.Shifts, Shift{ID: v.members[i].ID})
		}
	}
	slices.SortFunc(t.Shifts, func(a, b Shift) int { return strings.Compare(string(a.ID), string(b.ID)) })
	t.Shifts = slices.Compact(t.Shifts)
	t.had, t.has = make([]int, len(t.Shifts)), make([]int, len(t.Shifts))
	t.stays = make([]bool, len(t.Shifts))
	for i, s := range t.Shifts {
		t.at[s.ID] = i
		m, known := after.index[s.ID]
		t.stays[i] = known && after.members[m].State != Left
	}
	return t
}

func (t *tally) count(it Item, was, is Placement) {
	t.Items.add(it.Size)
	if it.Size > 0 {
		t.Sizes++
	}
	number := t.Items.Copies
	had, has := slices.Concat(was.Holders, was.Mirrors), slices.Concat(is.Holders, is.Mirrors)
	left := 0
	for _, id := range had {
		i := t.at[id]
		t.had[i] = number
		t.Shifts[i].Before.add(it.Size)
		if t.stays[i] {
			left++
		}
	}
	for _, id := range has {
		i := t.at[id]
		t.has[i] = number
		t.Shifts[i].After.add(it.Size)
		if t.had[i] != number {
			t.Shifts[i].In.add(it.Size)
			t.Moved.add(it.Size)
		}
	}
	for _, id := range had {
		if i := t.at[id]; t.has[i] != number {
			t.Shifts[i].Out.add(it.Size)
		}
	}
	if left == 0 && len(had) > 0 {
		t.Lost++
	}
	for _, id := range is.Mirrors { // a mirror's copy is none of the minimum
		if i := t.at[id]; t.had[i] == number && t.stays[i] {
			left--
		}
	}
	t.below(it, was, is, left)
}

// below notes what an item lacks of its minimum, with so many copies left of those
// that count.
func (t *tally) below(it Item, was, is Placement, left int) {
	if was.Short > 0 {
		t.ShortBefore++
	}
	if is.Short > 0 {
		t.ShortAfter++
	}
	thin := left < is.Binding+is.Short
	if thin {
		t.Thin++
	}
	if (thin || is.Short > 0) && len(t.Below) < belowListed {
		t.Below = append(t.Below, it)
	}
}
