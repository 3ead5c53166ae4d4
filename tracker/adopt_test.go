package tracker

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	ds "github.com/ipfs/go-datastore"

	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/pinset"
)

func TestAdopt(t *testing.T) {
	for _, tc := range []struct {
		name   string
		mode   pinset.Mode // of the owner's pin
		holder bool        // the cluster's pin is assigned here
		want   string      // the node's pin after it
		after  string      // and after the cluster let it go
		used   uint64
	}{
		{"recursive, assigned here", pinset.Recursive, true, "recursive ours", "", 1024},
		{"recursive, assigned to another", pinset.Recursive, false, "recursive ours", "", 1024},
		{"direct, and all of it is assigned here", pinset.Direct, true, "recursive ours", "", 1024},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, self, other).start()
				defer r.stop()
				c := testCID(1)
				r.ownerPins(c, tc.mode, "mine")
				holder := other
				if tc.holder {
					holder = self
				}
				r.sets.pin(pinAt(c, "x", holder))
				settle(time.Minute)
				if err := r.Adopt(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				if err := r.Adopt(t.Context(), c); err != nil {
					t.Errorf("a second time: %v", err)
				}
				settle(time.Minute)
				ours := map[string]string{"recursive ours": "recursive " + r.MarkName("x")}
				r.wantPinned(c, ours[tc.want])
				if l := r.wantStatus(c, pinset.StatusPinned); l.Borrowed || l.Interim == tc.holder {
					t.Errorf("%+v: want it ours, and interim only if it is another's", l)
				}
				if s := r.Stats(); s.Used != tc.used {
					t.Errorf("%d bytes used, want %d", s.Used, tc.used)
				}
				r.sets.unpin(c, "")
				settle(time.Hour)
				r.wantPinned(c, tc.after)
			})
		})
	}
}

func TestAdoptLeavesAloneWhatItCannotKeep(t *testing.T) {
	for _, tc := range []struct {
		name   string
		damage func(*rig)
		kind   pinset.Kind
	}{
		{"over the lent bytes", func(r *rig) { r.cfg.Lent = func() uint64 { return 1000 } }, pinset.KindRefused},
		{"blocks are missing", func(r *rig) {
			r.node.Break(ipfsclienttest.Faults{Before: ipfsclienttest.On(ipfsclienttest.Fail(pinset.NotFound("a block")), ipfsclienttest.OpDAGSize)})
		}, pinset.KindConflict},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t)
				r.node = r.world.Node()
				c := testCID(1)
				r.ownerPins(c, pinset.Recursive, "mine")
				tc.damage(r)
				r.start()
				defer r.stop()
				r.sets.pin(pinAt(c, "x"))
				settle(time.Minute)
				if err := r.Adopt(t.Context(), c); pinset.KindOf(err) != tc.kind {
					t.Errorf("%v, want kind %v", err, tc.kind)
				}
				settle(time.Minute)
				r.wantPinned(c, "recursive mine")
			})
		})
	}
}

// Whatever the moment at which it fails: the owner's pin is there, or ours is.
func TestAdoptThatFailsHalfway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).start()
		defer r.stop()
		c := testCID(1)
		r.ownerPins(c, pinset.Recursive, "mine")
		r.sets.pin(pinAt(c, "x"))
		settle(time.Minute)
		r.node.Break(ipfsclienttest.Faults{After: ipfsclienttest.On(ipfsclienttest.Fail(errors.New("lost answer")), ipfsclienttest.OpPin)})
		if err := r.Adopt(context.Background(), c); err == nil {
			t.Error("no error")
		}
		r.node.Break(ipfsclienttest.Faults{})
		settle(2 * time.Hour)
		r.wantPinned(c, "recursive "+r.MarkName("x"))
		r.wantStatus(c, pinset.StatusPinned)
		r.sets.unpin(c, "")
		settle(time.Hour)
		r.wantPinned(c, "")
	})
}

// blind is a ledger that cannot be read for a while.
type blind struct {
	ds.Batching
	on atomic.Bool
}

func (b *blind) Get(ctx context.Context, k ds.Key) ([]byte, error) {
	if b.on.Load() {
		return nil, errors.New("cannot be read")
	}
	return b.Batching.Get(ctx, k)
}

// A ledger that cannot be read says nothing: what is missing here stays named, and is
// looked at again.
func TestAdoptThatCannotReadTheLedger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		store := &blind{Batching: r.store}
		r.deps = func(d *Deps) { d.Ledger = store }
		r.node = r.world.Node()
		r.node.Break(ipfsclienttest.Faults{Before: ipfsclienttest.On(ipfsclienttest.Fail(errors.New("broken")), ipfsclienttest.OpPin)})
		r.start()
		defer r.stop()
		c := testCID(1)
		r.sets.pin(pinAt(c, "x"))
		settle(time.Minute)
		r.ledger.recent.mu.Lock()
		r.ledger.recent.young, r.ledger.recent.old = map[key]entry{}, nil // much else was written since
		r.ledger.recent.mu.Unlock()
		store.on.Store(true)
		if err := r.Adopt(t.Context(), c); err == nil {
			t.Error("no error")
		}
		store.on.Store(false)
		if got := r.exceptions(); len(got) != 1 {
			t.Errorf("%d are named as missing, want 1", len(got))
		}
		r.node.Break(ipfsclienttest.Faults{})
		settle(time.Minute)
		r.wantStatus(c, pinset.StatusPinned)
	})
}

func TestQueueTellsWhatRunsAndWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.Concurrency = 2
		r.world.Imagine = sized(100_000_000, nil)
		r.node = r.world.NodeWith(ipfsclienttest.Config{Speed: 1_000_000})
		r.start()
		defer r.stop()
		for n := range uint64(10) {
			p := pinAt(testCID(n), "x")
			p.Size = 100_000_000
			if n < 4 {
				p.Owner, p.Priority = "alice", pinset.PriorityBulk
			}
			r.sets.pin(p)
		}
		settle(20 * time.Second)
		q, err := r.Queue(t.Context(), 3)
		if err != nil || len(q.Running) != 2 || q.Waiting != 8 || len(q.Ready) != 3 || q.PutOff != 0 {
			t.Fatalf("%+v, %v", q, err)
		}
		for _, turn := range q.Running {
			if turn.Status != "pinning" || turn.Owner != "" || turn.Rate < 990_000 || turn.Rate > 1_010_000 || turn.Bytes < 15_000_000 ||
				turn.Blocks == 0 || turn.Size != 100_000_000 || turn.Left < 75*time.Second || turn.Left > 85*time.Second {
				t.Errorf("runs: %+v", turn)
			}
		}
		if len(q.Lanes) != 2 || q.Lanes[0] != (pinset.Lane{Name: "new", Count: 4}) || q.Lanes[1] != (pinset.Lane{Name: "bulk", Count: 4}) {
			t.Errorf("lanes %+v", q.Lanes)
		}
		if turn := q.Ready[0]; turn.Status != "pin_queued" || turn.Lane != "new" || turn.Priority != "normal" {
			t.Errorf("first in line: %+v", turn)
		}
		settle(time.Hour)
		if q, err = r.Queue(t.Context(), 3); err != nil || len(q.Running)+q.Waiting+q.PutOff != 0 {
			t.Errorf("at rest: %+v, %v", q, err)
		}
	})
}
