package daemon_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/ipfsclient/kubotest"
	"github.com/pinfold/pinfold/pinset"
)

// TestRemovedPinsComeBack: a removal of too much is refused as a whole, a forced one
// can be undone, at another peer than where it was made, pin for pin as it was.
func TestRemovedPinsComeBack(t *testing.T) {
	const pins = 30
	r := newRig(t, 2, nil)
	ann, bob := r.peers[0], r.peers[1]
	before := map[string]pinset.Pin{}
	for i := range pins {
		p, _, err := ann.Pin(t.Context(), pinNumber(i), client.Wait{})
		if err != nil {
			t.Fatal(err)
		}
		before[p.Key()] = p
	}
	r.all(pins)
	unpin := func(i int, together uint64, force bool) error {
		_, _, err := ann.Unpin(t.Context(), pinset.Removal{CID: imagined(i), Together: together, Force: force})
		return err
	}
	if err := unpin(0, pins, false); pinset.KindOf(err) != pinset.KindRefused || pinset.HintOf(err) == "" {
		t.Fatalf("to remove everything: %v", err)
	}
	r.all(pins)
	for i := range 20 {
		if err := unpin(i, 0, false); err != nil {
			t.Fatalf("removal %d: %v", i+1, err)
		}
	}
	if err := unpin(20, 0, false); pinset.KindOf(err) != pinset.KindRefused {
		t.Fatalf("the 21st removal within a moment: %v", err)
	}
	for i := 20; i < pins; i++ {
		if err := unpin(i, 0, true); err != nil {
			t.Fatalf("a forced removal: %v", err)
		}
	}
	r.all(0)
	self, err := ann.Self(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kubotest.Eventually(t, rigPatience, "the other peer knows what was removed, and by whom", func() error {
		n := 0
		for g, err := range bob.Removed(t.Context(), pinset.RemovedFilter{}) {
			if err != nil {
				return err
			}
			if n++; g.By != self.ID || g.At.IsZero() || !g.Until.After(g.At) {
				t.Fatalf("%+v", g)
			}
		}
		if n != pins {
			return fmt.Errorf("it knows %d removed pins", n)
		}
		return nil
	})
	restoreAll(t, r, before)
}

// restoreAll brings back at the second peer what the first removed, piece by piece.
func restoreAll(t *testing.T, r *rig, before map[string]pinset.Pin) {
	t.Helper()
	pins := len(before)
	restore := func(f pinset.RemovedFilter) (n int) {
		for p, err := range r.peers[1].Restore(t.Context(), f) {
			if err != nil {
				t.Fatal(err)
			}
			if was := before[p.Key()]; p.Name != was.Name || !p.Created.Equal(was.Created) {
				t.Errorf("restored %+v, was %+v", p, was)
			}
			n++
		}
		return n
	}
	if n := restore(pinset.RemovedFilter{Name: "pin number 3"}); n != 1 {
		t.Errorf("by name: %d restored", n)
	}
	if n := restore(pinset.RemovedFilter{Name: "pin number 2*", Since: time.Now().Add(-time.Hour)}); n != 11 { // 2, 20 to 29
		t.Errorf("by the beginning of the name: %d restored", n)
	}
	if n := restore(pinset.RemovedFilter{}); n != pins-12 {
		t.Errorf("all: %d restored", n)
	}
	r.all(pins)
	if n := restore(pinset.RemovedFilter{}); n != 0 {
		t.Errorf("once more: %d restored", n)
	}
	a, err := r.peers[0].Agreement(t.Context())
	if err != nil || len(a.Sides) == 0 || len(a.Sides[0].Members) == 0 {
		t.Errorf("agreement %+v, %v", a, err)
	}
}
