package sim

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// settled starts n members that know one another and lets them agree.
func settled(t *testing.T, n int, delay time.Duration) *player {
	t.Helper()
	return settledWith(t, n, delay, func(*World, *Club) {})
}

// settledWith lets tune change the network and the cluster before anybody starts.
func settledWith(t *testing.T, n int, delay time.Duration, tune func(*World, *Club)) *player {
	t.Helper()
	stores := make([]string, n)
	for i := range stores {
		stores[i] = "memory"
	}
	w := NewWorld(delay)
	p := &player{Scenario: Scenario{Seed: 1, Peers: n, Stores: stores}, cables: w, limit: 5 * time.Minute, pause: time.Sleep}
	var err error
	if p.club, err = NewClub(w, 1, quiet()); err != nil {
		t.Fatal(err)
	}
	tune(w, p.club)
	for i := range n {
		o, err := p.club.NewPeer(i, stores[i], "")
		if err != nil {
			t.Fatal(err)
		}
		p.peers = append(p.peers, o)
	}
	if err := p.gather(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *player) end(t *testing.T) {
	for _, o := range p.peers {
		if err := o.Stop(); err != nil {
			t.Error(err)
		}
	}
	p.pause(time.Second)
	p.cables.(*World).Close()
}

// TestAnIdlePeerOfTenSaysLittle holds the budget of 2 KiB/s and leaves room for
// what the transports add: they see a few frames a second.
func TestAnIdlePeerOfTenSaysLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := settled(t, 10, 20*time.Millisecond)
		defer p.end(t)
		time.Sleep(10 * time.Minute)
		before := make(map[peer.ID]uint64)
		for _, o := range p.peers {
			_, before[o.Key.ID()] = o.Net.Traffic()
		}
		const span = 30 * time.Minute
		time.Sleep(span)
		for _, o := range p.peers {
			_, out := o.Net.Traffic()
			rate := float64(out-before[o.Key.ID()]) / span.Seconds()
			t.Logf("peer %d sends %.0f bytes/s", o.Number, rate)
			if rate > 1500 {
				t.Errorf("peer %d sends %.0f bytes/s, want at most 1500", o.Number, rate)
			}
		}
	})
}
