package crdtstate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/crdtstate/crdtstatetest"
	"github.com/pinfold/pinfold/pinset"
)

// history reads everything from a place on, for people.
func history(t *testing.T, s *crdtstate.State, names map[string]string, from crdtstate.Place) (lines []string, next crdtstate.Place) {
	t.Helper()
	next = from
	for e, err := range s.History(t.Context(), from) {
		if err != nil {
			t.Fatal(err)
		}
		next = e.Next
		line := names[string(e.Author)]
		if e.Beside {
			line += " beside"
		}
		for _, k := range e.Set {
			line += " +" + names[k]
		}
		for _, g := range e.Gone {
			p, err := pinset.Check(g.Key, g.Value)
			if err != nil {
				t.Fatalf("removed %s: %v", g.Key, err)
			}
			line += fmt.Sprintf(" -%s(%s)", names[g.Key], p.Name)
		}
		for what, rivals := range map[string][]crdtstate.Rivalry{"rivals": e.Rivals, "stays": e.Outcome} {
			for _, r := range rivals {
				line += fmt.Sprintf(" %s:%s by %s", what, names[r.Key], names[string(r.Author)])
				for _, o := range r.Others {
					line += " not " + names[string(o)]
				}
			}
		}
		lines = append(lines, line)
	}
	return lines, next
}

// TestHistoryTellsWhatBothSidesDid: removals with what they took out, and what
// became of keys that two sides changed at the same time.
func TestHistoryTellsWhatBothSidesDid(t *testing.T) {
	c := crdtstatetest.New(t, 2)
	s := c.All()
	names := map[string]string{string(c.ID(0)): "ann", string(c.ID(1)): "bob"}
	pin := func(i int, name string) pinset.Pin {
		p := crdtstatetest.Pin(i)
		p.Name = name
		names[p.Key()] = fmt.Sprint("p", i)
		return p
	}
	both, gone, repinned := pin(1, "old"), pin(2, "gone"), pin(3, "again")
	c.Commit(s[0], crdtstatetest.PinOp(both), crdtstatetest.PinOp(gone), crdtstatetest.PinOp(repinned))
	c.Pull(s[1], s[0])
	_, place := history(t, s[0], names, crdtstate.Place{})

	// Split: both rename p1; ann removes p2 and p3, bob pins p3 anew.
	c.Commit(s[0], crdtstatetest.PinOp(pin(1, "aaa")))
	c.Commit(s[0], crdtstatetest.UnpinOp(gone), crdtstatetest.UnpinOp(repinned))
	c.Commit(s[1], crdtstatetest.PinOp(pin(1, "zzz")))
	c.Commit(s[1], crdtstatetest.PinOp(pin(3, "again")))
	c.Pull(s[1], s[0])
	c.Pull(s[0], s[1])
	agree(t, s...)

	lines, place := history(t, s[0], names, place)
	want := []string{"ann +p1", "ann -p2(gone) -p3(again)", "bob beside +p1 rivals:p1 by bob not ann", "bob beside +p3"}
	if !slices.Equal(lines, want) {
		t.Errorf("at ann's:\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	lines, _ = history(t, s[1], names, crdtstate.Place{})
	want = []string{"ann beside +p1 rivals:p1 by bob not ann", "ann beside -p2(gone) -p3(again) stays:p3 by bob"}
	if tail := lines[len(lines)-2:]; !slices.Equal(tail, want) {
		t.Errorf("at bob's:\n%s\nwant\n%s", strings.Join(tail, "\n"), strings.Join(want, "\n"))
	}
	// Whoever writes next has seen both, and an update is no removal.
	c.Commit(s[0], crdtstatetest.PinOp(pin(1, "after")))
	if lines, _ = history(t, s[0], names, place); !slices.Equal(lines, []string{"ann +p1"}) {
		t.Errorf("after the merge: %q", lines)
	}
	if yes, err := s[0].Follows(t.Context(), place.Block, place.Block-1); err != nil || !yes {
		t.Errorf("the merge follows what it merged: %v, %v", yes, err)
	}
	if yes, err := s[0].Follows(t.Context(), place.Block-1, place.Block-3); err != nil || yes {
		t.Errorf("bob's follows ann's: %v, %v", yes, err)
	}
}
