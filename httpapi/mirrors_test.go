package httpapi

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/pinset"
)

// fakeMirrors remembers wishes.
type fakeMirrors struct{ wishes []string }

func (f *fakeMirrors) Mirrors(context.Context) ([]pinset.Mirror, error) {
	var out []pinset.Mirror
	for _, of := range f.wishes {
		out = append(out, pinset.Mirror{Peer: testPeer("self"), Name: "home", Self: true, Of: of, Pins: 3, Bytes: 300, Behind: 1,
			Missing: 100, Changed: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)})
	}
	return out, nil
}

func (f *fakeMirrors) AddMirror(_ context.Context, of string) error {
	f.wishes = append(f.wishes, of)
	return nil
}

func (f *fakeMirrors) RemoveMirror(_ context.Context, of string) error {
	if len(f.wishes) == 0 {
		return pinset.NotFound("mirror %q: this peer has no such wish", of).WithHint("pinfold mirror ls")
	}
	f.wishes = nil
	return nil
}

func TestMirrorsThroughTheClient(t *testing.T) {
	s := serve(t, Config{})
	c := client.New(s.socket, "")
	defer c.Close()
	if _, err := c.Mirrors(t.Context()); pinset.KindOf(err) != pinset.KindConflict {
		t.Errorf("a cluster without mirrors: %v, want a conflict", err)
	}
	f := &fakeMirrors{}
	s.fake.mirrors = f
	for _, of := range []string{pinset.MirrorAll, "a b/ü"} {
		if err := c.AddMirror(t.Context(), of); err != nil {
			t.Fatal(err)
		}
		got, err := c.Mirrors(t.Context())
		want, _ := f.Mirrors(t.Context())
		if diff := cmp.Diff(want, got); diff != "" || err != nil || got[0].Of != of {
			t.Errorf("%q: %v\n%s", of, err, diff)
		}
		if err := c.RemoveMirror(t.Context(), of); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.RemoveMirror(t.Context(), "alice"); pinset.KindOf(err) != pinset.KindNotFound || !strings.Contains(pinset.HintOf(err), "mirror ls") {
		t.Errorf("remove what is not there: %v", err)
	}
}
