package tracker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/pinset"
)

// effects are what a tracker does to the world.
var effects = []string{"ledger", "pin", "unpin"}

// bomb strikes at the n-th effect of a kind, before or after it. A killing one
// lets nothing happen from then on, until defused.
type bomb struct {
	kind, when string
	n          int64
	kills      bool
	count      atomic.Int64
	struck     atomic.Bool
	dead       atomic.Bool
}

func (b *bomb) at(kind, when string) error {
	if b.dead.Load() {
		return errors.New("dead")
	}
	if kind != b.kind || when != b.when || b.count.Add(1) != b.n {
		return nil
	}
	b.struck.Store(true)
	b.dead.Store(b.kills)
	return pinset.Errorf(pinset.KindUnavailable, "%s fails %s it happens", kind, when)
}

func (b *bomb) arm(r *rig) {
	r.store.(*disk).strike = func(when string) error { return b.at("ledger", when) }
	fault := func(when string) ipfsclienttest.Fault {
		return func(_ context.Context, c ipfsclienttest.Call) error {
			if c.Op != ipfsclienttest.OpPin && c.Op != ipfsclienttest.OpUnpin {
				if b.dead.Load() {
					return errors.New("dead")
				}
				return nil
			}
			return b.at(string(c.Op), when)
		}
	}
	r.node.Break(ipfsclienttest.Faults{Before: fault("before"), After: fault("after")})
}

// script is a life with every kind of step in it. After each step, pause is called.
func script(r *rig, pause func()) {
	mine, root := testCID(101), testCID(102)
	r.ownerPins(mine, pinset.Recursive, "mine")
	r.ownerPins(root, pinset.Direct, "root")
	pause()
	r.sets.pin(pinAt(testCID(1), "stays", self), pinAt(testCID(2), "goes", self), pinAt(testCID(3), "moves", self),
		pinAt(mine, "borrowed", self), pinAt(root, "refused", self))
	pause()
	for range 20 { // as a user does
		if r.Protect(context.Background(), testCID(4), r.MarkName("added"), 1024) == nil {
			break
		}
		pause()
	}
	r.sets.pin(pinAt(testCID(4), "added", other))
	pause()
	r.sets.unpin(testCID(2), "")
	r.sets.pin(pinAt(testCID(3), "moves", other))
	pause()
	r.sets.cover(func(pinset.Pin, peer.ID) bool { return true })
	pause()
	r.sets.unpin(mine, "")
	pause()
}

// audit says what must be true after the script, however it went.
func audit(r *rig, t *testing.T) {
	t.Helper()
	want := map[string]string{
		"stays": "recursive " + r.MarkName("stays"), "mine": "recursive mine", "root": "direct root",
		"goes": "", "moves": "", "added": "",
	}
	cids := map[string]uint64{"stays": 1, "goes": 2, "moves": 3, "added": 4, "mine": 101, "root": 102}
	for _, name := range slices.Sorted(maps.Keys(cids)) {
		if got := r.pinned(testCID(cids[name])); got != want[name] {
			t.Errorf("%s: pinned as %q, want %q", name, got, want[name])
		}
	}
	consistent(r, t)
	if rep := r.Report(); !rep.Ready || rep.Missing != 1 || rep.Items != 1 {
		t.Errorf("report %+v, want 1 item held and 1 missing", rep)
	}
}

// consistent compares ledger, node and account.
func consistent(r *rig, t *testing.T) {
	t.Helper()
	var used uint64
	counts := map[pinset.Status]uint64{}
	for it, err := range r.ledger.all(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		e := it.entry
		counts[e.State]++
		if e.Placed > nothing {
			used += e.Size
		}
		if e.held() > nothing {
			if got, want := r.pinned(e.form(it.key)), fmt.Sprintf("%s %s", e.held().mode(), e.nodeName()); got != want {
				t.Errorf("%s: the ledger says %q, the node %q", it.key.cid(), want, got)
			}
		}
	}
	if s := r.Stats(); s.Used != used || s.Reserved != 0 || !maps.Equal(s.Items, counts) {
		t.Errorf("account %+v; the ledger has %d bytes, items %v", s, used, counts)
	}
	for p, err := range r.node.Pins(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if e, _ := r.ledger.get(context.Background(), keyOf(p.CID)); r.mark.on(p.Name) && e.Name != p.Name {
			t.Errorf("%s: pinned as %q, and the ledger has %q", p.CID, p.Name, e.Name)
		}
	}
}

// Every effect fails before it happens, and after it with the answer lost; the
// process lives on, or dies there and starts again.
func TestEveryEffectFailsBeforeAndAfter(t *testing.T) {
	for _, kind := range effects {
		for _, when := range []string{"before", "after"} {
			for _, kills := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %s kills=%v", kind, when, kills), func(t *testing.T) {
					for n := int64(1); ; n++ {
						if struck := failAt(t, &bomb{kind: kind, when: when, n: n, kills: kills}); !struck || t.Failed() {
							if n < 3 || t.Failed() {
								t.Errorf("last at effect %d", n)
							}
							return
						}
					}
				})
			}
		}
	}
}

func failAt(t *testing.T, b *bomb) (struck bool) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, self, other)
		r.node = r.world.Node()
		armed := false
		r.cfg.Grace = anHour
		life := func(d time.Duration) {
			settle(d)
			if !armed { // the owner's pins are there
				b.arm(r)
				armed = true
			}
			if b.kills && b.dead.Load() {
				r.kill()
				r.node.Break(ipfsclienttest.Faults{})
				b.dead.Store(false)
				r.start()
				settle(d)
			}
		}
		r.start()
		script(r, func() { life(10 * time.Second) })
		life(5 * time.Hour)
		defer func() { r.stop() }()
		audit(r, t)
	})
	return b.struck.Load()
}
