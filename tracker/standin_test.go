package tracker

import (
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/pinset"
)

// pinFor pins a CID, from a number on, of which the allocation gives the one copy to
// a holder.
func (r *rig) pinFor(holder peer.ID, from uint64) cid.Cid {
	r.t.Helper()
	for i := from; ; i++ {
		p := pinAt(testCID(i), "x")
		if r.sets.View().Allocate(itemOf(p, 0)).Holders[0] == holder {
			r.sets.pin(p)
			return p.CID
		}
	}
}

// An outage: pins that the holder never had are held here at once, those that it
// has when it is away for long; it comes back, and they go after its word on them
// and the grace.
func TestStandInForAHolderThatIsAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, self, other).start()
		defer r.stop()
		has := map[cid.Cid]bool{}
		r.sets.cover(func(p pinset.Pin, _ peer.ID) bool { return has[p.CID] })
		old := r.pinFor(other, 100)
		has[old] = true
		before := r.pinFor(other, 200) // while it is away, and nobody knows yet
		settle(time.Minute)
		r.wantPinned(old, "")
		r.wantPinned(before, "")
		rep := r.Report()

		r.sets.absent(map[peer.ID]bool{other: false})
		settle(time.Minute)
		after := r.pinFor(other, 300)
		settle(time.Minute)
		for _, c := range []cid.Cid{before, after} {
			if l := r.wantStatus(c, pinset.StatusPinned); !l.Interim {
				t.Errorf("%s is not shown as interim", c)
			}
		}
		r.wantPinned(old, "")
		r.sets.said = map[cid.Cid]bool{old: true}
		delete(has, old)
		r.sets.setMembers(self, other) // in the same place, under other records
		settle(time.Minute)
		r.wantPinned(old, "")
		has[old] = true
		if now := r.Report(); !now.Ready || now.Items != rep.Items || now.Missing != 0 || now.View != rep.View {
			t.Errorf("the promise changed from %+v to %+v", rep, now)
		}

		r.sets.absent(map[peer.ID]bool{other: true})
		settle(time.Minute)
		r.wantStatus(old, pinset.StatusPinned)
		settle(10 * 24 * time.Hour)
		r.wantStatus(old, pinset.StatusPinned) // its old word does not count

		r.sets.absent(nil)
		settle(10 * 24 * time.Hour)
		r.wantPinned(old, "")
		r.wantStatus(before, pinset.StatusPinned) // it is back, and does not have it
		r.sets.cover(func(pinset.Pin, peer.ID) bool { return true })
		settle(20 * time.Hour)
		r.wantStatus(before, pinset.StatusPinned)
		settle(10 * time.Hour)
		for _, c := range []cid.Cid{before, after} {
			r.wantPinned(c, "")
			r.wantStatus(c, pinset.StatusRemote)
		}
	})
}

// What a holder takes up before the stand-in has it is not fetched any more.
func TestStandInThatIsLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, self, other)
		r.world.Imagine = nil // nobody provides it
		r.start()
		defer r.stop()
		r.sets.absent(map[peer.ID]bool{other: false})
		c := r.pinFor(other, 1)
		settle(10 * time.Minute)
		r.wantStatus(c, pinset.StatusWaiting)
		if n := r.Report().Missing; n > 0 {
			t.Errorf("the report names %d items that are not assigned here", n)
		}
		r.sets.absent(nil)
		r.sets.cover(func(pinset.Pin, peer.ID) bool { return true })
		settle(2 * time.Hour)
		r.wantStatus(c, pinset.StatusRemote)
		if e, err := r.ledger.get(t.Context(), keyOf(c)); err != nil || e.exists() {
			t.Errorf("the ledger still has %+v, %v", e, err)
		}
	})
}

// A pin that is gone needs no stand-in, also while it is fetched.
func TestStandInForAPinThatGoes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, self, other).start()
		defer r.stop()
		r.sets.absent(map[peer.ID]bool{other: false})
		held := r.pinFor(other, 1)
		settle(time.Minute)
		r.wantStatus(held, pinset.StatusPinned)
		r.sets.unpin(held, "")
		settle(time.Minute)
		r.wantPinned(held, "")
		r.world.Imagine = nil
		late := r.pinFor(other, 100)
		settle(time.Second) // it is being fetched, and may for three
		r.sets.unpin(late, "")
		settle(500 * time.Millisecond)
		r.wantStatus(late, pinset.StatusUnpinned)
	})
}

func TestStandInSurvivesACrash(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, self, other).start()
		r.sets.absent(map[peer.ID]bool{other: false})
		c := r.pinFor(other, 1)
		settle(time.Minute)
		r.kill()
		r.sets.absent(nil) // at a start nobody is known to be away
		r.start()
		defer r.stop()
		settle(2 * 24 * time.Hour)
		if l := r.wantStatus(c, pinset.StatusPinned); !l.Interim {
			t.Error("not interim any more")
		}
	})
}

// Who comes back may provide what nobody else does: nothing waits for its time then.
func TestAReturnEndsTheWaitForAProvider(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, self, other)
		r.world.Imagine = nil
		r.start()
		defer r.stop()
		r.sets.absent(map[peer.ID]bool{other: false})
		c := r.pinFor(self, 1)
		settle(12 * time.Hour)
		l := r.wantStatus(c, pinset.StatusWaiting)
		settle(time.Until(l.Retry) + 10*time.Minute)
		if l = r.wantStatus(c, pinset.StatusWaiting); time.Until(l.Retry) < 20*time.Minute {
			t.Fatalf("it is tried again in %v anyway", time.Until(l.Retry))
		}
		r.world.Imagine = ipfsclienttest.Everything
		settle(time.Minute)
		r.wantStatus(c, pinset.StatusWaiting)
		r.sets.absent(nil)
		settle(time.Minute)
		r.wantStatus(c, pinset.StatusPinned)
	})
}
