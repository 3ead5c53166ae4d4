package tracker

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/pinset"
)

const other = peer.ID("other")

// M1: on node A the user pins X. Somebody cluster-pins X with B as holder. The
// incumbent then unpins X at A.
func TestM1UsersPinSurvivesAPinForSomebodyElse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, self, other).start()
		defer r.stop()
		c := testCID(1)
		r.ownerPins(c, pinset.Recursive, "mine")
		r.sets.pin(pinAt(c, "theirs", other))
		settle(3 * time.Hour)
		r.wantPinned(c, "recursive mine")
		r.wantStatus(c, pinset.StatusRemote)
	})
}

// M2: the same by unpinning in the cluster what the user had pinned himself.
func TestM2UsersPinSurvivesAnUnpinInTheCluster(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).start()
		defer r.stop()
		c := testCID(1)
		r.ownerPins(c, pinset.Recursive, "mine")
		r.sets.pin(pinAt(c, "ours"))
		settle(time.Minute)
		if l := r.wantStatus(c, pinset.StatusPinned); !l.Borrowed {
			t.Error("the owner's pin is not shown as borrowed")
		}
		if s := r.Stats(); s.Used != 0 || s.Borrowed != 1 {
			t.Errorf("stats %+v: the owner's bytes are not ours", s)
		}
		r.sets.unpin(c, "")
		settle(3 * time.Hour)
		r.wantPinned(c, "recursive mine")
		r.wantStatus(c, pinset.StatusUnpinned)
	})
}

func TestOwnersDirectPinIsNotReplaced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).start()
		defer r.stop()
		c := testCID(1)
		r.ownerPins(c, pinset.Direct, "root only")
		r.sets.pin(pinAt(c, "all of it"))
		settle(time.Hour)
		l := r.wantStatus(c, pinset.StatusRefused)
		if !strings.Contains(l.Error, "owner") {
			t.Errorf("refused without the reason: %q", l.Error)
		}
		r.wantPinned(c, "direct root only")
		if got := r.exceptions(); len(got) != 1 || got[0] != c {
			t.Errorf("exceptions %v, want %s", got, c)
		}
		r.node.Forget(c) // the owner makes way
		settle(2 * time.Hour)
		r.wantPinned(c, "recursive "+r.MarkName("all of it"))
	})
}

func TestBorrowedPinThatItsOwnerDropsIsReplacedByOurs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).start()
		defer r.stop()
		c := testCID(1)
		r.ownerPins(c, pinset.Recursive, "mine")
		r.sets.pin(pinAt(c, "ours"))
		settle(time.Minute)
		r.node.Forget(c)
		settle(2 * time.Hour) // the next sweep
		r.wantPinned(c, "recursive "+r.MarkName("ours"))
		if l := r.wantStatus(c, pinset.StatusPinned); l.Borrowed {
			t.Error("still borrowed")
		}
	})
}

func TestPinTakenOverByTheOwnerIsLeftAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).start()
		defer r.stop()
		c := testCID(1)
		r.sets.pin(pinAt(c, "ours"))
		settle(time.Minute)
		r.ownerPins(c, pinset.Recursive, "") // ipfs pin add, which renames
		r.sets.unpin(c, "")
		settle(2 * time.Hour)
		r.wantPinned(c, "recursive ")
	})
}

func TestMarkWithoutLedgerIsNotTouched(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).start()
		defer r.stop()
		c := testCID(1)
		r.ownerPins(c, pinset.Recursive, r.MarkName("from an earlier life"))
		r.sets.pin(pinAt(c, "ours"))
		settle(2 * time.Hour)
		r.wantStatus(c, pinset.StatusPinned)
		found := false
		for _, h := range r.Health() {
			found = found || h.Code == "marked-unknown"
		}
		if !found {
			t.Errorf("health does not mention it: %+v", r.Health())
		}
		r.sets.unpin(c, "")
		settle(2 * time.Hour)
		r.wantPinned(c, "recursive "+r.MarkName("from an earlier life"))
	})
}

func TestUnexpectedlyUnpinnedIsFoundNamedAndRepaired(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		var nobody atomic.Bool
		r.world.Imagine = sized(1024, func(cid.Cid) bool { return nobody.Load() })
		r.start()
		defer r.stop()
		for n := range uint64(10) {
			r.sets.pin(pinAt(testCID(n), "x"))
		}
		settle(time.Minute)
		r.node.Forget(testCID(3))
		nobody.Store(true) // provides it now
		settle(2 * time.Hour)
		l := r.status(testCID(3))
		if l.Status == pinset.StatusPinned {
			t.Errorf("status %s of a lost pin", l.Status)
		}
		if got := r.exceptions(); len(got) != 1 || got[0] != testCID(3) {
			t.Errorf("exceptions %v, want the lost one", got)
		}
	})
}

func TestLostPinIsFetchedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).start()
		defer r.stop()
		c := testCID(1)
		r.sets.pin(pinAt(c, "x"))
		settle(time.Minute)
		r.node.Forget(c)
		if err := r.RecoverAll(context.Background()); err != nil {
			t.Fatal(err)
		}
		settle(time.Second)
		r.wantPinned(c, "recursive "+r.MarkName("x"))
		r.wantStatus(c, pinset.StatusPinned)
		if s := r.Stats(); s.Used != 1024 {
			t.Errorf("used %d after a repair, want 1024", s.Used)
		}
	})
}

func TestModes(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(r *rig, p pinset.Pin)
		want string // the node's pin at the end
	}{
		{"direct", func(r *rig, p pinset.Pin) {
			p.Mode = pinset.Direct
			r.sets.pin(p)
		}, "direct ours"},
		{"direct, then recursive by a second owner", func(r *rig, p pinset.Pin) {
			p.Mode = pinset.Direct
			r.sets.pin(p)
			settle(time.Minute)
			p.Mode, p.Owner = pinset.Recursive, "second"
			r.sets.pin(p)
		}, "recursive ours"},
		{"recursive covers direct", func(r *rig, p pinset.Pin) {
			r.sets.pin(p)
			settle(time.Minute)
			p.Mode, p.Owner = pinset.Direct, "second"
			r.sets.pin(p)
		}, "recursive ours"},
		{"recursive goes, direct stays", func(r *rig, p pinset.Pin) {
			second := p
			second.Mode, second.Owner = pinset.Direct, "second"
			r.sets.pin(p, second)
			settle(time.Minute)
			r.sets.unpin(p.CID, "")
		}, "direct ours"},
		{"one of two owners goes", func(r *rig, p pinset.Pin) {
			second := p
			second.Owner = "second"
			r.sets.pin(p, second)
			settle(time.Minute)
			r.sets.unpin(p.CID, "")
		}, "recursive ours"},
		{"both owners go", func(r *rig, p pinset.Pin) {
			second := p
			second.Owner = "second"
			r.sets.pin(p, second)
			settle(time.Minute)
			r.sets.unpin(p.CID, "")
			r.sets.unpin(p.CID, "second")
		}, ""},
		{"unpinned and pinned again", func(r *rig, p pinset.Pin) {
			r.sets.pin(p)
			settle(time.Minute)
			r.sets.unpin(p.CID, "")
			r.sets.pin(p)
		}, "recursive ours"},
		{"the owner's direct pin is enough for a direct one", func(r *rig, p pinset.Pin) {
			r.ownerPins(p.CID, pinset.Direct, "mine")
			p.Mode = pinset.Direct
			r.sets.pin(p)
		}, "direct mine"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t).start()
				defer r.stop()
				tc.do(r, pinAt(testCID(1), "ours"))
				settle(50 * time.Hour)
				want := strings.Replace(tc.want, "ours", r.MarkName("ours"), 1)
				r.wantPinned(testCID(1), want)
				if want != "" {
					r.wantStatus(testCID(1), pinset.StatusPinned)
				}
			})
		})
	}
}

// Two clusters of one daemon over one node: what one lets go and the other
// claims stays, in whatever order they came.
func TestClustersOfOneDaemonShareAPin(t *testing.T) {
	for _, first := range []string{"a", "b"} {
		t.Run("let go by "+first, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				turns := &Turns{}
				a := newRig(t)
				a.deps = func(d *Deps) { d.Turns = turns }
				a.cfg.Cluster = "a"
				a.start()
				defer a.stop()
				b := newRig(t)
				b.deps, b.node, b.store, b.cfg.Cluster = a.deps, a.node, a.store, "b"
				b.start()
				defer b.stop()
				c := testCID(1)
				a.sets.pin(pinAt(c, "in a"))
				settle(time.Minute)
				b.sets.pin(pinAt(c, "in b"))
				settle(time.Minute)
				if l := b.wantStatus(c, pinset.StatusPinned); l.Borrowed {
					t.Error("a pin of the same daemon is shown as the owner's")
				}
				a.wantPinned(c, "recursive "+a.MarkName("in a"))
				rest := b
				if first == "a" {
					a.sets.unpin(c, "")
				} else {
					rest = a
					b.sets.unpin(c, "")
				}
				settle(2 * time.Hour)
				a.wantPinned(c, "recursive "+a.MarkName("in a"))
				if n := a.node.Calls(ipfsclienttest.OpUnpin); n > 0 {
					t.Errorf("unpinned %d times while the other cluster held on to it", n)
				}
				rest.wantStatus(c, pinset.StatusPinned)
				rest.sets.unpin(c, "")
				settle(2 * time.Hour)
				a.wantPinned(c, "")
			})
		})
	}
}

func TestMarkName(t *testing.T) {
	m := marker(testMark)
	for _, tc := range []struct{ name, in, want string }{
		{"short", "holiday", "pinfold:" + testMark + " holiday"},
		{"empty", "", "pinfold:" + testMark + " "},
		{"just fits", strings.Repeat("x", 230), "pinfold:" + testMark + " " + strings.Repeat("x", 230)},
		{"cut", strings.Repeat("x", 300), "pinfold:" + testMark + " " + strings.Repeat("x", 230)},
		{"cut before a rune", strings.Repeat("x", 229) + "é", "pinfold:" + testMark + " " + strings.Repeat("x", 229)},
		{"cut before a long rune", strings.Repeat("x", 227) + "𝄞x", "pinfold:" + testMark + " " + strings.Repeat("x", 227)},
		{"not UTF-8", "a\xffb", "pinfold:" + testMark + " ab"},
	} {
		got := m.name(tc.in)
		if got != tc.want || len(got) > 255 || !utf8.ValidString(got) {
			t.Errorf("%s: name(%q) = %q (%d bytes), want %q", tc.name, tc.in, got, len(got), tc.want)
		}
	}
	if len(fmt.Sprint(m.name(""))) != 25 || m.on("pinfold:somebodyelse1234 x") {
		t.Error("the mark of another daemon is taken for ours")
	}
}
