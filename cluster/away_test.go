package cluster

import (
	"context"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// TestWhoIsAway: an outage counts when it is no short one any more, it changes
// nothing about who shall hold what, and a return ends it.
func TestWhoIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4)
		p, gone := r.peers[0], r.ids.ID(3)
		view := p.View()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.watch(ctx) }()
		defer func() { cancel(); <-done }()
		want := func(when string, away, long map[peer.ID]bool) {
			t.Helper()
			synctest.Wait()
			if a, l, _ := p.Away(); !maps.Equal(a, away) || !maps.Equal(l, long) {
				t.Errorf("%s: away %v, long %v, want %v and %v", when, a, l, away, long)
			}
		}
		time.Sleep(time.Hour)
		want("all are heard", nil, nil)
		r.split(3)
		p.net.hears(3, &PeerState{LastHeard: time.Now()})
		_, _, changed := p.Away()
		time.Sleep(10 * time.Minute)
		want("a short outage", nil, nil)
		time.Sleep(20 * time.Second)
		want("a longer one", map[peer.ID]bool{gone: true}, nil)
		select {
		case <-changed:
		default:
			t.Error("it was not said that somebody is away")
		}
		r.looks(long, 0)
		time.Sleep(20 * time.Second)
		want("for days", map[peer.ID]bool{gone: true}, map[peer.ID]bool{gone: true})
		if p.View() != view {
			t.Error("who cannot be reached has a part in who shall hold what")
		}
		p.net.hears(3, nil)
		clear(r.cut)
		r.looks(time.Minute, 0)
		time.Sleep(20 * time.Second)
		want("after the return", nil, nil)
	})
}
