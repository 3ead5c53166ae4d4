package tracker

import (
	"context"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/pinset"
)

// lingering is a node that takes its time to end a fetch that was cancelled.
type lingering struct{ Node }

func (n lingering) Pin(ctx context.Context, c cid.Cid, o pinset.PinOptions) error {
	err := n.Node.Pin(ctx, c, o)
	if ctx.Err() != nil {
		time.Sleep(2 * time.Second)
	}
	return err
}

// An item that is pinned again while its fetch is being cancelled is fetched
// again in the same run, and takes its room once.
func TestPinnedAgainWhileItsFetchEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.world.Imagine = sized(100*gb, nil)
		r.node = r.world.NodeWith(ipfsclienttest.Config{Speed: gb / 100})
		r.deps = func(d *Deps) { d.Node = lingering{r.node} }
		r.start()
		defer r.stop()
		p := pinAt(testCID(1), "x")
		p.Size = 100 * gb
		for range 3 {
			r.sets.pin(p)
			settle(time.Minute)
			r.wantStatus(p.CID, pinset.StatusPinning)
			if s := r.Stats(); s.Reserved != p.Size {
				t.Fatalf("%d bytes reserved, want %d", s.Reserved, p.Size)
			}
			r.sets.unpin(p.CID, "")
			settle(time.Second)
		}
		settle(time.Minute)
		if s := r.Stats(); s.Reserved != 0 || s.Moving != 0 {
			t.Errorf("stats %+v, want nothing under way", s)
		}
	})
}

// Before a copy goes the pinset is read, whatever was read when it was queued.
func TestPinnedAgainBeforeItIsLetGo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.Concurrency = 1
		r.start()
		defer r.stop()
		first, again := pinAt(testCID(1), "x"), pinAt(testCID(2), "x")
		r.sets.pin(first, again)
		settle(time.Second)
		slow := ipfsclienttest.On(ipfsclienttest.Slow(10*time.Second), ipfsclienttest.OpUnpin)
		r.node.Break(ipfsclienttest.Faults{Before: ipfsclienttest.OnCID(slow, first.CID)})
		r.sets.unpin(first.CID, "")
		settle(time.Second)
		r.sets.unpin(again.CID, "")
		settle(time.Second)
		r.sets.mu.Lock()
		r.sets.pins[again.Key()] = again // nobody has told the tracker yet
		r.sets.mu.Unlock()
		settle(time.Minute)
		if n := r.node.Calls("unpin"); n != 1 {
			t.Errorf("%d pins were taken off, want 1", n)
		}
		r.wantPinned(again.CID, "recursive pinfold:"+testMark+" x")
	})
}

// What was put off under a clock that was years ahead is tried again.
func TestAClockThatWasAhead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		l, err := openLedger(t.Context(), r.store, r.cfg.Cluster, &Turns{})
		if err != nil {
			t.Fatal(err)
		}
		p := pinAt(testCID(1), "x")
		r.sets.pin(p)
		e := entry{Name: marker(testMark).name("x"), State: pinset.StatusPinError, Attempts: 9, Want: wholeDAG, Seen: true}
		e.Retry = time.Now().AddDate(20, 0, 0).UnixMilli()
		if err := l.put(t.Context(), change{key: keyOf(p.CID), new: e}); err != nil {
			t.Fatal(err)
		}
		r.start()
		defer r.stop()
		settle(time.Minute)
		r.wantStatus(p.CID, pinset.StatusPinned)
	})
}

// Nor is a copy kept until those years have passed.
func TestGraceThatBeganInTheFuture(t *testing.T) {
	name := marker(testMark).name("x")
	f := facts{
		key: keyOf(testCID(1)), claims: 1, covered: true, coverBy: 7, grace: time.Hour, mark: marker(testMark), node: present{wholeDAG, name},
		entry: entry{Name: name, State: pinset.StatusPinned, Placed: wholeDAG, Seen: true, CoverBy: 7, Covered: testNow.AddDate(20, 0, 0).UnixMilli()},
	}
	if a := decide(testNow, f); a.verb != keep || !a.at.Equal(testNow.Add(f.grace)) {
		t.Errorf("%s until %s, want it kept until %s", a.verb, a.at, testNow.Add(f.grace))
	}
}

// A member that comes back has pins at its node and a pinset that still arrives.
func TestNothingIsLetGoBeforeThePinsetIsHere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).start()
		p := pinAt(testCID(1), "x")
		r.sets.pin(p)
		settle(time.Second)
		r.wantStatus(p.CID, pinset.StatusPinned)
		r.stop()
		r.sets.unpin(p.CID, "")
		caught := make(chan struct{})
		r.deps = func(d *Deps) { d.Caught = caught }
		r.start()
		defer r.stop()
		settle(3 * time.Hour)
		r.sets.pin(p)
		close(caught)
		settle(time.Minute)
		r.wantStatus(p.CID, pinset.StatusPinned)
		if n := r.node.Calls("unpin"); n != 0 || !r.Report().Ready {
			t.Errorf("%d pins were let go, report %+v", n, r.Report())
		}
	})
}

// Who adds what is being fetched here is told that the IPFS node does not take it,
// and does not wait until it does.
func TestProtectDoesNotWaitForANodeThatIsAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).start()
		defer r.stop()
		r.node.Break(ipfsclienttest.Faults{Before: ipfsclienttest.On(func(ctx context.Context, c ipfsclienttest.Call) error {
			if err := ipfsclienttest.Slow(5*time.Second)(ctx, c); err != nil {
				return err
			}
			return ipfsclienttest.Refuse(ctx, c)
		}, ipfsclienttest.OpPin)})
		p := pinAt(testCID(1), "x")
		r.sets.pin(p)
		settle(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.Protect(ctx, p.CID, "x", 0); pinset.KindOf(err) != pinset.KindUnavailable || ctx.Err() != nil {
			t.Errorf("protect: %v, want it unavailable", err)
		}
	})
}
