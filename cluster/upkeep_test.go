package cluster

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// run starts the chores of some peers and ends them with the test's bubble.
func (r *rig) run(t *testing.T, peers ...int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, len(peers))
	for _, i := range peers {
		go func() { done <- r.peers[i].Run(ctx) }()
	}
	return func() {
		cancel()
		for range peers {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
}

// removals counts the deltas since n that remove keys, and the keys.
func (r *rig) removals(n int) (deltas, keys int) {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	for _, ops := range r.log.commits[n:] {
		removes := 0
		for _, op := range ops {
			if op.Value == nil {
				removes++
			}
		}
		if keys += removes; removes > 0 {
			deltas++
		}
	}
	return deltas, keys
}

func (r *rig) commitsNow() int {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	return len(r.log.commits)
}

// What expires is unpinned soon after, by one member, and nothing else is.
func TestExpiredPinsAreUnpinnedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 5)
		began := time.Now()
		for n := range 300 {
			p := pinset.Pin{CID: cidN(n)}
			switch n % 3 {
			case 0:
				p.ExpireAt = began.Add(time.Duration(1+n) * time.Minute)
			case 1:
				p.ExpireAt = began.Add(1000 * time.Hour)
			}
			r.peers[0].pin(p)
		}
		n := r.commitsNow()
		stop := r.run(t, 0, 1, 2, 3, 4)
		time.Sleep(301*time.Minute + time.Minute)
		if _, keys := r.removals(n); keys != 100 {
			t.Errorf("%d pins removed, want 100", keys)
		}
		left := 0
		for p, err := range r.peers[0].Pins(t.Context()) {
			must(t, 0, err)
			if left++; p.Expired(time.Now()) {
				t.Errorf("%s is still there", p.CID)
			}
		}
		if left != 200 {
			t.Errorf("%d pins left", left)
		}
		stop()
	})
}

// If the member whose turn it is is away, the next one takes over.
func TestExpiryIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		for n := range 30 {
			r.peers[0].pin(pinset.Pin{CID: cidN(n), ExpireAt: time.Now().Add(time.Hour)})
		}
		n := r.commitsNow()
		stop := r.run(t, 2) // alone
		defer stop()
		time.Sleep(time.Hour + time.Minute)
		if _, keys := r.removals(n); keys == 0 || keys == 30 {
			t.Errorf("%d of 30 removed in its own turn", keys)
		}
		time.Sleep(2 * r.peers[2].cfg.ExpirySlot)
		if _, keys := r.removals(n); keys != 30 {
			t.Errorf("%d of 30 removed after all turns", keys)
		}
	})
}

func TestExpiryFollowsChanges(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(r *rig)
		keys   int  // removed after two hours
		twice  bool // maybe: both had their turn when it could be done
	}{
		{"nothing changes", func(*rig) {}, 1, false},
		{"it is prolonged", func(r *rig) { r.peers[1].pin(pinset.Pin{CID: cidN(1), ExpireAt: time.Now().Add(1000 * time.Hour)}) }, 0, false},
		{"it never expires now", func(r *rig) { r.peers[1].pin(pinset.Pin{CID: cidN(1)}) }, 0, false},
		{"another owner's does not expire", func(r *rig) { r.peers[1].pin(pinset.Pin{CID: cidN(1), Owner: "bob"}) }, 1, false},
		{"another one comes in that expires sooner", func(r *rig) {
			r.peers[1].pin(pinset.Pin{CID: cidN(2), ExpireAt: time.Now().Add(10 * time.Minute)})
		}, 2, false},
		{"it was unpinned", func(r *rig) { must2(unpin(r.peers[1], 1)) }, 0, false},
		{"nobody may write any more", func(r *rig) {
			for i := range r.peers {
				r.setRole(len(r.peers)-1-i, identity.RoleKeeper)
			}
		}, 0, false},
		{"the disk is full for a while", func(r *rig) {
			r.log.mu.Lock()
			r.log.fail = fmt.Errorf("disk full")
			r.log.mu.Unlock()
			time.AfterFunc(80*time.Minute, func() {
				r.log.mu.Lock()
				r.log.fail = nil
				r.log.mu.Unlock()
			})
		}, 1, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 2)
				r.peers[0].pin(pinset.Pin{CID: cidN(1), ExpireAt: time.Now().Add(time.Hour)})
				stop := r.run(t, 0, 1)
				time.Sleep(30 * time.Minute)
				tc.change(r)
				n := r.commitsNow()
				time.Sleep(2 * time.Hour)
				if _, keys := r.removals(n); keys != tc.keys && !(tc.twice && keys == 2*tc.keys) {
					t.Errorf("%d removed, want %d", keys, tc.keys)
				}
				stop()
			})
		})
	}
}

func unpin(p *rigPeer, n int) (pinset.Receipt, error) {
	_, r, err := p.Unpin(context.Background(), pinset.Removal{CID: cidN(n)})
	return r, err
}

// More pins than are kept in memory expire all the same, in groups.
func TestExpiryOfManyPins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		for n := range 5000 {
			must2(r.log.commit(r.ids.ID(0), pinOpOf(pinset.Pin{CID: cidN(n), ExpireAt: time.Now().Add(time.Hour)})))
		}
		n := r.commitsNow()
		stop := r.run(t, 0)
		time.Sleep(time.Hour + 10*time.Minute)
		if deltas, keys := r.removals(n); keys != 5000 || deltas > 11 {
			t.Errorf("%d removed in %d deltas", keys, deltas)
		}
		stop()
	})
}

func pinOpOf(p pinset.Pin) Op {
	p.Normalise()
	return Op{Key: p.Key(), Value: must2(p.Encode())}
}

// Sizes are published once, by the first holder at once, by the next an hour
// later, in groups.
func TestSizesArePublishedOnce(t *testing.T) {
	for _, tc := range []struct {
		name  string
		found func(r *rig)
		after time.Duration // by then it is there
		want  uint64
		ops   int
	}{
		{"by the first", func(r *rig) { r.peers[0].Found(cidN(1), 100, 0); r.peers[1].Found(cidN(1), 100, 1) }, time.Minute, 100, 1},
		{"by the second", func(r *rig) { r.peers[1].Found(cidN(1), 100, 1) }, time.Hour + time.Minute, 100, 1},
		{"by no rank at all", func(r *rig) { r.peers[1].Found(cidN(1), 100, -1) }, time.Minute, 100, 1},
		{"by who is the first after all", func(r *rig) {
			r.peers[0].Found(cidN(1), 100, 1) // each knew of another member that came before it
			r.peers[1].Found(cidN(1), 100, 1)
			must(r.t, 0, r.peers[2].amend(context.Background(), func(own *identity.Record) error { own.InPerDay++; return nil }))
		}, time.Minute, 100, 1},
		{"the greater one", func(r *rig) { r.peers[0].Found(cidN(1), 100, 0); r.peers[1].Found(cidN(1), 200, 1) }, 2 * time.Hour, 200, 2},
		{"not the smaller one", func(r *rig) { r.peers[0].Found(cidN(1), 100, 0); r.peers[1].Found(cidN(1), 50, 1) }, 2 * time.Hour, 100, 1},
		{"not what the pin says itself", func(r *rig) { r.peers[0].Found(cidN(2), 5, 0) }, 2 * time.Hour, 0, 0},
		{"not of what nobody pins", func(r *rig) { r.peers[0].Found(cidN(3), 5, 0) }, 2 * time.Hour, 0, 0},
		{"not by who has left", func(r *rig) { must(r.t, 0, r.peers[1].Leave(context.Background())); r.peers[1].Found(cidN(1), 5, 0) }, 2 * time.Hour, 0, 0},
		{"after a full disk", func(r *rig) {
			r.log.fail = fmt.Errorf("disk full")
			time.AfterFunc(time.Minute/2, func() {
				r.log.mu.Lock()
				r.log.fail = nil
				r.log.mu.Unlock()
			})
			r.peers[0].Found(cidN(1), 100, 0)
		}, 3 * time.Minute, 100, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 3)
				r.peers[0].pin(pinset.Pin{CID: cidN(1)})
				r.peers[0].pin(pinset.Pin{CID: cidN(2), Size: 5})
				stop := r.run(t, 0, 1)
				tc.found(r)
				time.Sleep(tc.after)
				size := uint64(0)
				for n := 1; n < 4; n++ {
					size = max(size, must2(r.peers[2].state.Size(t.Context(), cidN(n))))
				}
				if ops := r.sizeOps(); size != tc.want || ops != tc.ops {
					t.Errorf("size %d in %d writes, want %d in %d", size, ops, tc.want, tc.ops)
				}
				stop()
			})
		})
	}
}

func (r *rig) sizeOps() (n int) {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	for _, ops := range r.log.commits {
		for _, op := range ops {
			if op.Key[:3] == identity.SizePrefix {
				n++
			}
		}
	}
	return n
}

func TestSizesAreGrouped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		for n := range 1200 {
			must2(r.log.commit(r.ids.ID(0), pinOpOf(pinset.Pin{CID: cidN(n)})))
		}
		before := r.commitsNow()
		for n := range 1200 {
			r.peers[0].Found(cidN(n), 7, 0)
		}
		stop := r.run(t, 0)
		time.Sleep(time.Second)
		if n := r.commitsNow() - before; n != 1 {
			t.Errorf("%d deltas at once", n)
		}
		time.Sleep(2 * r.peers[0].cfg.SizeEvery)
		if n := r.commitsNow() - before; n != 3 || r.sizeOps() != 1200 {
			t.Errorf("%d deltas, %d sizes", n, r.sizeOps())
		}
		stop()
	})
}

// A peer speaks when its report changes, and is quiet when it does not.
func TestSpeakingKeepsItsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		p := r.peers[0]
		p.reports()
		stop := r.run(t, 0)
		time.Sleep(time.Hour)
		if n := p.net.shares(); n != 1 {
			t.Errorf("%d statements in a quiet hour", n)
		}
		for n := range 100 { // in 10 seconds
			p.reports(cidN(n))
			time.Sleep(100 * time.Millisecond)
		}
		if n := p.net.shares(); n < 5 || n > 7 {
			t.Errorf("%d statements in ten busy seconds, want about 5 more", n)
		}
		stop()
	})
}

// A statement that cannot be kept is tried again, and shown.
func TestAStatementThatCannotBeSaidIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		p := r.peers[0]
		p.reports()
		p.tracker.report.Vector = map[pid]uint64{}
		for i := range 9000 { // more authors than a statement may name: it cannot be read by others
			p.tracker.report.Vector[pid(fmt.Sprintf("%08d%064d", i, i))] = 1
		}
		stop := r.run(t, 0)
		time.Sleep(time.Minute)
		if !hasFault(p, "statement") || p.net.shares() != 0 {
			t.Errorf("faults %v, %d shared", faults(p), p.net.shares())
		}
		p.reports()
		time.Sleep(time.Minute)
		if hasFault(p, "statement") || p.net.shares() != 1 {
			t.Errorf("afterwards: faults %v, %d shared", faults(p), p.net.shares())
		}
		stop()
	})
}
