package sim

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// onLoopback starts n members over real connections and lets them agree. They
// live in memory but for those whose stores are named.
func onLoopback(t testing.TB, n int, named ...string) (*player, *Loopback) {
	t.Helper()
	l, err := NewLoopback(n)
	if err != nil {
		t.Fatal(err)
	}
	stores := make([]string, n)
	for i := range stores {
		stores[i] = "memory"
	}
	copy(stores, named)
	root := t.TempDir() // made first, so that it goes last
	p := &player{Scenario: Scenario{Seed: 1, Peers: n, Stores: stores}, cables: l, limit: 10 * time.Second, pause: func(time.Duration) {
		timer := time.NewTimer(10 * time.Millisecond)
		<-timer.C
	}}
	if p.club, err = NewClub(l, 1, quiet()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, o := range p.peers {
			if err := o.Stop(); err != nil {
				t.Error(err)
			}
		}
		l.Close()
	})
	for i := range n {
		o, err := p.club.NewPeer(i, stores[i], filepath.Join(root, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		p.peers = append(p.peers, o)
	}
	if err := p.gather(context.Background()); err != nil {
		t.Fatal(err)
	}
	return p, l
}

func (p *player) connected(a, b int) bool {
	for _, s := range p.peers[a].Net.Peers() {
		if s.ID == p.peers[b].Key.ID() {
			return s.Connected
		}
	}
	return false
}

func (p *player) until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); p.pause(0) {
		if time.Since(began) > p.limit {
			for _, o := range p.peers {
				for _, s := range o.Net.Peers() {
					t.Logf("peer %d: %s connected %v, heard %v, at %v: %s", o.Number, short(s.ID), s.Connected, s.LastHeard, s.Addrs, s.Error)
				}
			}
			t.Fatalf("not in %v: %s", p.limit, what)
		}
	}
}

func TestTheCutterCuts(t *testing.T) {
	p, l := onLoopback(t, 3)
	p.until(t, "all connected", func() bool { return p.connected(0, 1) && p.connected(0, 2) && p.connected(1, 2) })
	l.Connect(3, func(a, b int) bool { return a != 2 && b != 2 })
	p.until(t, "cut", func() bool { return !p.connected(0, 2) && !p.connected(1, 2) && !p.connected(2, 0) })
	p.write(t.Context(), p.peers[0], 1, false)
	p.until(t, "the side agrees", func() bool { return p.peers[1].State.Summary().Count == 1 })
	if n := p.peers[2].State.Summary().Count; n != 0 {
		t.Errorf("%d pins crossed the cut", n)
	}
	l.Heal()
	if err := p.agreed(t.Context(), 3); err != nil {
		t.Error(err)
	}
	if err := p.check(t.Context()); err != nil {
		t.Error(err)
	}
}
