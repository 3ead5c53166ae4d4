package crdtstate_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/crdtstate/crdtstatetest"
	"github.com/pinfold/pinfold/pinset"
)

func TestPinsTravelBetweenMembers(t *testing.T) {
	ctx := context.Background()
	c := crdtstatetest.New(t, 3)
	s := c.All()
	p := crdtstatetest.Pin(1)
	r := c.Commit(s[0], crdtstatetest.PinOp(p))
	if r.Seq != 2 || r.Author != c.ID(0) || !r.Head.Defined() {
		t.Fatalf("receipt %+v", r)
	}
	for _, x := range s[1:] {
		c.Pull(x, s[0])
		got, err := x.Pin(ctx, p.CID, "")
		if err != nil || got.Name != p.Name {
			t.Fatalf("pin %+v, %v", got, err)
		}
		author, seq, err := x.Origin(ctx, p.Key())
		if err != nil || author != c.ID(0) || seq != 2 {
			t.Fatalf("origin %s %d, %v", author, seq, err)
		}
		if x.Summary().Digest != s[0].Summary().Digest || x.Summary().Count != 1 {
			t.Fatalf("summary %v, want %v", x.Summary(), s[0].Summary())
		}
	}
	c.Commit(s[2], crdtstatetest.UnpinOp(p))
	c.Pull(s[0], s[2])
	if _, err := s[0].Pin(ctx, p.CID, ""); pinset.KindOf(err) != pinset.KindNotFound {
		t.Fatalf("after the removal: %v", err)
	}
	if s[0].Summary().Count != 0 {
		t.Fatalf("summary %v", s[0].Summary())
	}
}

func TestBothStoresReopen(t *testing.T) {
	for _, store := range []string{"badger", "pebble"} {
		t.Run(store, func(t *testing.T) {
			ctx := context.Background()
			c := crdtstatetest.New(t, 1)
			cfg := c.Config(0)
			cfg.Store, cfg.Dir = store, t.TempDir()
			s, err := crdtstate.Open(ctx, cfg)
			if err != nil {
				t.Fatal(err)
			}
			c.Enter(s, 0)
			for i := range 30 {
				c.Commit(s, crdtstatetest.PinOp(crdtstatetest.Pin(i)))
			}
			if _, err := crdtstate.Open(ctx, cfg); pinset.KindOf(err) != pinset.KindConflict {
				t.Errorf("second open: %v, want a conflict", err)
			}
			want := s.Summary()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openOnDisk(t, cfg)
			if got := s.Summary(); got.String() != want.String() || got.Digest != want.Digest {
				t.Errorf("after reopening %v, want %v", got, want)
			}
			n := 0
			for _, err := range s.Pins(ctx, "") {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			if n != 30 {
				t.Errorf("%d pins, want 30", n)
			}
		})
	}
}

// TestACrashBeforeTheMark: a crash may leave the directory with no mark of what
// made it, or an empty one.
func TestACrashBeforeTheMark(t *testing.T) {
	c := crdtstatetest.New(t, 1)
	cfg := c.Config(0)
	cfg.Store, cfg.Dir = "pebble", t.TempDir()
	mark := filepath.Join(cfg.Dir, "epoch-0", "FORMAT")
	if err := os.MkdirAll(filepath.Dir(mark), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := openOnDisk(t, cfg)
	c.Enter(s, 0)
	if raw, err := os.ReadFile(mark); err != nil || len(raw) == 0 {
		t.Errorf("the mark is %q, %v", raw, err)
	}
}

// What was read is not what is said after it changed, whoever changed it.
func TestPinsOfAndSizeAfterAChange(t *testing.T) {
	ctx := context.Background()
	c := crdtstatetest.New(t, 2)
	s := c.All()
	p := crdtstatetest.Pin(1)
	look := func(what string, names int, size uint64) {
		t.Helper()
		for range 2 {
			pins, err := s[0].PinsOf(ctx, p.CID)
			if err != nil || len(pins) != names || names > 0 && pins[0].Name != p.Name {
				t.Errorf("%s: pins %+v, %v, want %d called %q", what, pins, err, names, p.Name)
			}
			if n, err := s[0].Size(ctx, p.CID); err != nil || n != size {
				t.Errorf("%s: size %d, %v, want %d", what, n, err, size)
			}
		}
	}
	look("before", 0, 0)
	c.Commit(s[0], crdtstatetest.PinOp(p))
	look("pinned here", 1, 0)
	c.Pull(s[1], s[0])
	p.Name = "another"
	c.Commit(s[1], crdtstatetest.PinOp(p), crdtstate.SizeOp(p.CID, 7))
	c.Pull(s[0], s[1])
	look("pinned again there", 1, 7)
	c.Commit(s[0], crdtstatetest.UnpinOp(p))
	look("unpinned", 0, 7)
}
