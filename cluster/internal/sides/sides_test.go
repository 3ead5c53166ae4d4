package sides

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

func TestSides(t *testing.T) {
	now := time.Unix(1e9, 0).UTC()
	fresh, old := now.Add(-time.Second), now.Add(-time.Hour)
	ours, theirs, third := [32]byte{1}, [32]byte{2}, [32]byte{3}
	h := Here{Self: "me", Digest: ours, Count: 5, Now: now, Lately: time.Minute}
	since := func(peer.ID) time.Time { return old }
	for _, tc := range []struct {
		name  string
		words []Word
		want  [][]peer.ID
		agree int
		heard int
	}{
		{"alone", []Word{{Peer: "me"}}, [][]peer.ID{{"me"}}, 1, 1},
		{"all agree", []Word{{Peer: "ann", Heard: fresh, Digest: ours}, {Peer: "me"}}, [][]peer.ID{{"ann", "me"}}, 2, 2},
		{"larger sides first, the silent last", []Word{{Peer: "a", Heard: fresh, Digest: third}, {Peer: "b", Heard: fresh, Digest: theirs}, {Peer: "c", Heard: fresh, Digest: theirs},
			{Peer: "d", Heard: old, Digest: ours}, {Peer: "e"}, {Peer: "me"}}, [][]peer.ID{{"me"}, {"b", "c"}, {"a"}, {"d", "e"}}, 1, 4},
	} {
		var got [][]peer.ID
		for _, s := range h.Sides(tc.words, since) {
			got = append(got, s.Members)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tc.name, diff)
		}
		if a := h.Agreement(tc.words); a.Agree != tc.agree || a.Heard != tc.heard || a.Members != len(tc.words) || a.Heard+len(a.Silent) != a.Members {
			t.Errorf("%s: %+v", tc.name, a)
		}
	}
	got := h.Sides([]Word{{Peer: "a", Heard: fresh, Digest: theirs, Count: 7, Lacks: 3}, {Peer: "b", Heard: fresh, Digest: theirs, Count: 7, Unknown: 1}, {Peer: "me"}}, since)[1]
	if got.Count != 7 || got.Lacks != 3 || got.Unknown != 1 || got.Since != old || !got.Heard {
		t.Errorf("a side: %+v", got)
	}
}

func TestSinceWhenMembersAreApart(t *testing.T) {
	w := NewWatch(time.Minute)
	start := time.Unix(1e9, 0)
	odd := pinset.Agreement{Behind: []peer.ID{"bob"}}
	for _, tc := range []struct {
		name  string
		at    time.Duration
		look  pinset.Agreement
		since time.Duration // -1: not
		apart bool
	}{
		{"it begins", 0, odd, 0, false},
		{"deltas are on their way", 30 * time.Second, odd, 0, false},
		{"it lasts", 2 * time.Minute, odd, 0, true},
		{"it ends", 3 * time.Minute, pinset.Agreement{}, -1, true},
		{"a moment later", 4 * time.Minute, pinset.Agreement{}, -1, true},
		{"long after", 9 * time.Minute, pinset.Agreement{}, -1, false},
		{"silence counts the same", 10 * time.Minute, pinset.Agreement{Silent: []peer.ID{"bob"}}, 10 * time.Minute, false},
		{"a short one", 10*time.Minute + 5*time.Second, pinset.Agreement{}, -1, false},
	} {
		now := start.Add(tc.at)
		w.Look(now, tc.look)
		want := time.Time{}
		if tc.since >= 0 {
			want = start.Add(tc.since)
		}
		if got := w.Since("bob"); !got.Equal(want) {
			t.Errorf("%s: since %v, want %v", tc.name, got, want)
		}
		if got := w.Apart("bob", now); got != tc.apart {
			t.Errorf("%s: apart %v, want %v", tc.name, got, tc.apart)
		}
	}
	if w.Apart("ann", start) {
		t.Error("who was never away is apart")
	}
}
