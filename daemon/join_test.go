package daemon_test

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/pinfold/pinfold/daemon"
	"github.com/pinfold/pinfold/identity"
)

// farAway relays TCP to an address and holds every byte back for half a round trip
// in each direction. It returns where it listens.
func farAway(b testing.TB, to string, roundTrip time.Duration) ma.Multiaddr {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var open sync.WaitGroup
	b.Cleanup(func() { l.Close(); open.Wait() })
	open.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			open.Go(func() { late(far, near, roundTrip/2) })
			open.Go(func() { late(near, far, roundTrip/2) })
		}
	})
	at, err := manet.FromNetAddr(l.Addr())
	if err != nil {
		b.Fatal(err)
	}
	return at
}

type chunk struct {
	bytes []byte
	due   time.Time
}

// late copies from one connection to another, each byte so much later.
func late(to, from net.Conn, delay time.Duration) {
	line := make(chan chunk, 4096)
	var sending sync.WaitGroup
	sending.Go(func() {
		defer to.Close()
		for c := range line {
			<-time.After(time.Until(c.due))
			if _, err := to.Write(c.bytes); err != nil {
				break
			}
		}
		for range line { // so that the reader ends
		}
	})
	for {
		buf := make([]byte, 64<<10)
		n, err := from.Read(buf)
		if n > 0 {
			line <- chunk{buf[:n], time.Now().Add(delay)}
		}
		if err != nil {
			break
		}
	}
	close(line)
	sending.Wait()
	_, _ = io.Copy(io.Discard, from)
	from.Close()
}

// BenchmarkJoin measures how long a fresh peer takes to have the whole pinset over
// a link with a round trip of 100 ms: from the invite until it lists everything.
func BenchmarkJoin(b *testing.B) {
	const roundTrip = 100 * time.Millisecond
	for _, tc := range []struct{ pins, perDelta int }{{100_000, 500}, {100_000, 1}} {
		b.Run(fmt.Sprintf("pins=%d/delta=%d", tc.pins, tc.perDelta), func(b *testing.B) {
			r := newRig(b, 1, nil)
			r.end(r.peers[0])
			fill(b, r.peers[0].dir, tc.pins, tc.perDelta)
			r.again(r.peers[0])
			b.ResetTimer()
			for b.Loop() {
				r.joinFrom(b, roundTrip, tc.pins)
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s")
			b.ReportMetric(float64(tc.pins)*float64(b.N)/b.Elapsed().Seconds(), "pins/s")
		})
	}
}

// again starts a peer that was ended.
func (r *rig) again(p *rigPeer) {
	r.t.Helper()
	peers := r.peers
	r.peers = r.peers[:0]
	r.start(p)
	r.peers = peers
}

// joinFrom makes a peer join that reaches the first one only through farAway.
func (r *rig) joinFrom(b *testing.B, roundTrip time.Duration, pins int) {
	b.Helper()
	p := r.prepare(nil)
	inv := r.farInvite(b, roundTrip)
	if _, err := daemon.Join(b.Context(), daemon.Options{Dir: p.dir, Node: p.node}, inv); err != nil {
		b.Fatal(err)
	}
	r.start(p)
	defer r.end(p)
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		if a, err := p.Agreement(b.Context()); err == nil && int(a.Count) == pins {
			tick.Stop()
			return
		}
	}
}

// farInvite is an invite that leads to the first peer through farAway.
func (r *rig) farInvite(t testing.TB, roundTrip time.Duration) string {
	t.Helper()
	text, err := r.peers[0].Invite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	inv, err := identity.ParseInvite(text.Text)
	if err != nil {
		t.Fatal(err)
	}
	_, at, err := manet.DialArgs(inv.Peers[0].Addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	inv.Peers = inv.Peers[:1]
	inv.Peers[0].Addrs = []ma.Multiaddr{farAway(t, at, roundTrip)}
	return inv.String()
}
