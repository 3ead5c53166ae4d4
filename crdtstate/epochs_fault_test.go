package crdtstate_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestEpochsThroughFaults: every durable step on the way to an epoch fails before it
// happens, and after it with the reply lost; then the process dies, and comes back.
// Nothing acknowledged is lost, and the epoch begins all the same.
func TestEpochsThroughFaults(t *testing.T) {
	for _, point := range []string{"save", "begin", "clean"} {
		for _, when := range []string{"before", "after"} {
			for nth := 1; nth <= 3; nth++ {
				if point != "save" && nth > 1 {
					continue
				}
				t.Run(fmt.Sprintf("%s %s %d", when, point, nth), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { epochFault(t, when+" "+point, nth) })
				})
			}
		}
	}
}

var errFault = errors.New("the disk fails")

// An epoch begins, and the disk says that it failed. The peer goes on in that epoch,
// and from there into the next one, without being started again.
func TestEpochThatBeganUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClub(t, 3, 1)
		defer func() {
			for _, p := range c.peers {
				c.stop(p)
			}
		}()
		for _, p := range c.peers {
			c.start(p)
			if p.n > 0 {
				c.sync(p, c.peers[0])
			}
			if !c.member(p) {
				t.Fatal("no member")
			}
			c.sync(p, c.peers[0])
		}
		victim := c.peers[1]
		var failed atomic.Bool
		victim.disk.Fail = func(at string) error {
			if at == "after begin" && failed.CompareAndSwap(false, true) {
				return errFault
			}
			return nil
		}
		for i := range 40 {
			if i%20 == 0 {
				c.peers[0].state.Compact()
			}
			for _, p := range c.peers {
				c.write(p)
			}
			c.sync(c.peers[0], victim)
			c.sync(c.peers[2], victim)
			c.sync(c.peers[0], c.peers[2])
			time.Sleep(6 * time.Second)
			synctest.Wait()
		}
		if !failed.Load() {
			t.Fatal("no epoch began")
		}
		c.settle()
		c.verify(0, true)
		if c.epochs < 2 {
			t.Errorf("%d epochs began, want two", c.epochs)
		}
	})
}

func epochFault(t *testing.T, point string, nth int) {
	c := newClub(t, 3, 1)
	defer func() {
		for _, p := range c.peers {
			c.stop(p)
		}
	}()
	victim := c.peers[1]
	var hit atomic.Int64
	var armed, failed atomic.Bool
	victim.disk.Fail = func(at string) error {
		if armed.Load() && at == point && hit.Add(1) == int64(nth) {
			failed.Store(true)
			return errFault
		}
		return nil
	}
	for _, p := range c.peers {
		c.start(p)
		if p.n > 0 {
			c.sync(p, c.peers[0])
		}
		if !c.member(p) {
			t.Fatal("no member")
		}
		c.sync(p, c.peers[0])
	}
	armed.Store(true)
	c.peers[0].state.Compact()
	for range 30 {
		for _, p := range c.peers {
			c.write(p)
		}
		c.sync(c.peers[0], victim)
		c.sync(c.peers[2], victim)
		c.sync(c.peers[0], c.peers[2])
		if failed.Swap(false) { // it writes on for a moment, then it dies
			c.write(victim)
			c.stop(victim)
			c.start(victim)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
	}
	if hit.Load() < int64(nth) {
		t.Fatalf("%s never happened", point)
	}
	c.settle()
	c.verify(0, true)
	if c.epochs == 0 {
		t.Error("no epoch began")
	}
}
