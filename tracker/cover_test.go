package tracker

import (
	"context"
	"testing"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

const third = peer.ID("third")

// A copy that is assigned to others by now stays until all whose copies count
// cover it, and for the grace time.
func TestCopyOutlivesItsCoverByTheGrace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, self, other, third).start()
		defer r.stop()
		c := testCID(1)
		r.sets.pin(pinAt(c, "x", self))
		settle(time.Minute)
		r.sets.pin(pinAt(c, "x", other, third))
		settle(10 * 24 * time.Hour)
		if l := r.wantStatus(c, pinset.StatusPinned); !l.Interim {
			t.Error("not shown as interim")
		}
		r.sets.cover(func(_ pinset.Pin, by peer.ID) bool { return by == other })
		settle(10 * 24 * time.Hour)
		r.wantStatus(c, pinset.StatusPinned) // one of two is not all
		r.sets.cover(func(pinset.Pin, peer.ID) bool { return true })
		settle(23 * time.Hour)
		r.wantStatus(c, pinset.StatusPinned)
		settle(2 * time.Hour)
		r.wantStatus(c, pinset.StatusRemote)
		r.wantPinned(c, "")
	})
}

func TestCoverThatIsLostStartsTheGraceAnew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, self, other).start()
		defer r.stop()
		c := testCID(1)
		r.sets.pin(pinAt(c, "x", self))
		settle(time.Minute)
		all := func(pinset.Pin, peer.ID) bool { return true }
		r.sets.cover(all)
		r.sets.pin(pinAt(c, "x", other))
		settle(20 * time.Hour)
		r.sets.cover(func(pinset.Pin, peer.ID) bool { return false })
		// The look at the end of the grace sees that it is gone.
		settle(10 * time.Hour)
		r.wantStatus(c, pinset.StatusPinned)
		r.sets.cover(all)
		settle(20 * time.Hour)
		r.wantStatus(c, pinset.StatusPinned)
		settle(6 * time.Hour)
		r.wantStatus(c, pinset.StatusRemote)
	})
}

func TestGraceSurvivesARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, self, other).start()
		c := testCID(1)
		r.sets.pin(pinAt(c, "x", self))
		settle(time.Minute)
		r.sets.cover(func(pinset.Pin, peer.ID) bool { return true })
		r.sets.pin(pinAt(c, "x", other))
		settle(12 * time.Hour)
		r.kill()
		settle(6 * time.Hour)
		r.start()
		defer r.stop()
		settle(5 * time.Hour)
		r.wantStatus(c, pinset.StatusPinned)
		settle(2 * time.Hour)
		r.wantPinned(c, "")
	})
}

func TestMembershipMovesItemsAndBackMovesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, self).start()
		defer r.stop()
		const n = 200
		for i := range uint64(n) {
			r.sets.pin(pinAt(testCID(i), "x"))
		}
		settle(time.Minute)
		digest := r.Report().View
		r.sets.setMembers(self, other)
		settle(time.Hour)
		rep, s := r.Report(), r.Stats()
		if !rep.Ready || rep.View == digest || rep.Missing != 0 || rep.Items >= n*3/4 || rep.Items <= n/4 {
			t.Errorf("report after a join: %+v", rep)
		}
		if s.Interim+s.Assigned != n {
			t.Errorf("%d interim and %d assigned, want %d together", s.Interim, s.Assigned, n)
		}
		before := r.node.Calls("pin")
		r.sets.setMembers(self)
		settle(time.Hour)
		if got := r.node.Calls("pin"); got != before || r.Report().Items != n {
			t.Errorf("%d fetches after a leave, and %d items held, want 0 and %d", got-before, r.Report().Items, n)
		}
	})
}

// add brings a file in as `add` does.
func (r *rig) add(name, text string) cid.Cid {
	r.t.Helper()
	var c cid.Cid
	dir := files.NewMapDirectory(map[string]files.Node{name: files.NewBytesFile([]byte(text))})
	for a, err := range r.node.Add(context.Background(), dir, pinset.AddOptions{CIDVersion: 1}, r.MarkName(name)) {
		if err != nil {
			r.t.Fatal(err)
		}
		c = a.CID
	}
	return c
}

func TestAddedDataIsKeptUntilEnoughHaveIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, self, other, third).start()
		defer r.stop()
		r.world.Imagine = nil
		c := r.add("file", "some text")
		if err := r.Protect(context.Background(), c, r.MarkName("file"), 9); err != nil {
			t.Fatal(err)
		}
		if l := r.wantStatus(c, pinset.StatusPinned); !l.Interim || l.Size != 9 {
			t.Errorf("protected: %+v", l)
		}
		p := pinAt(c, "file", other, third)
		p.Replication.Min = 1
		r.sets.pin(p)
		settle(10 * 24 * time.Hour)
		r.wantPinned(c, "recursive "+r.MarkName("file"))
		// One of two holders is the minimum.
		r.sets.cover(func(_ pinset.Pin, by peer.ID) bool { return by == max(other, third) })
		settle(24 * time.Hour)
		r.wantPinned(c, "recursive "+r.MarkName("file"))
		settle(2 * time.Hour)
		r.wantPinned(c, "")
	})
}

func TestProtect(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(r *rig, c cid.Cid)
		kind pinset.Kind // of the error; ok: none
		ok   bool
		pin  string
		at   pinset.Status // after two days
	}{
		{"and assigned here", func(r *rig, c cid.Cid) { r.sets.pin(pinAt(c, "file", self)) }, 0, true, "recursive M", pinset.StatusPinned},
		{"and never pinned in the cluster", func(*rig, cid.Cid) {}, 0, true, "", pinset.StatusUnpinned},
		{"what came in unpinned", func(r *rig, c cid.Cid) {
			r.node.Forget(c)
			r.sets.pin(pinAt(c, "file", self))
		}, 0, true, "recursive M", pinset.StatusPinned},
		{"what the owner has", func(r *rig, c cid.Cid) {
			r.ownerPins(c, pinset.Recursive, "mine")
			r.sets.pin(pinAt(c, "file", self))
		}, 0, true, "recursive mine", pinset.StatusPinned},
		{"what the owner has directly", func(r *rig, c cid.Cid) {
			r.node.Forget(c)
			r.ownerPins(c, pinset.Direct, "mine")
		}, pinset.KindConflict, false, "direct mine", pinset.StatusUnpinned},
		{"beyond the lent bytes", func(r *rig, c cid.Cid) { r.cfg.Lent = func() uint64 { return 5 } }, pinset.KindRefused, false, "", pinset.StatusUnpinned},
		{"while the node is away", func(r *rig, c cid.Cid) { r.node.Stop() }, pinset.KindUnavailable, false, "recursive M", pinset.StatusUnpinned},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, self, other)
				r.node = r.world.Node()
				r.world.Imagine = nil
				r.Tracker = &Tracker{mark: testMark}
				c := r.add("file", "some text")
				tc.do(r, c)
				r.start()
				defer r.stop()
				err := r.Protect(context.Background(), c, r.MarkName("file"), 9)
				if (err == nil) != tc.ok || !tc.ok && pinset.KindOf(err) != tc.kind {
					t.Errorf("Protect: %v (kind %v), want ok %v, kind %v", err, pinset.KindOf(err), tc.ok, tc.kind)
				}
				settle(50 * time.Hour)
				r.node.Start()
				want := tc.pin
				if want == "recursive M" {
					want = "recursive " + r.MarkName("file")
				}
				r.wantPinned(c, want)
				r.wantStatus(c, tc.at)
			})
		})
	}
}
