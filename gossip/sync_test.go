package gossip

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"github.com/pinfold/pinfold/gossip/internal/wire"
)

// fill writes n deltas that do not compress.
func (l *fakeLog) fill(n, size int) {
	r := rand.NewChaCha8([32]byte{1})
	for i := range n {
		b := make([]byte, size)
		_, _ = r.Read(b)
		l.write(fmt.Append(b, i))
	}
}

func TestACutTransferGoesOnFromAnotherPeer(t *testing.T) {
	t.Parallel()
	c := newClub(t, 3)
	a := c.play(c.keys[0], nil)
	a.log.fill(2000, 1000)
	b := c.play(c.keys[1], bootstrap(a))
	agree(t, a, b)
	before := map[*player]uint64{a: a.sent.Load(), b: b.sent.Load()}

	var cut atomic.Int64 // deltas that were here when the line broke
	var source *player
	late := c.play(c.keys[2], func(cfg *Config, d *Deps) {
		bootstrap(a, b)(cfg, d)
		l := d.Blocks.(*fakeLog)
		l.onAdmit = func(n int) {
			if n == 700 && cut.CompareAndSwap(0, int64(n)) {
				for _, p := range []*player{a, b} {
					if p.serving.total > 0 {
						source = p
						p.Cut(c.keys[2].ID())
					}
				}
			}
		}
	})
	agree(t, a, b, late)
	if cut.Load() == 0 || source == nil {
		t.Fatal("the line did not break")
	}
	other := a
	if source == a {
		other = b
	}
	if n := other.sent.Load() - before[other]; n == 0 || n > 2000-500 {
		t.Errorf("the second source sent %d deltas, want the rest of 2000", n)
	}
	if late.log.received > 2000+600 {
		t.Errorf("%d deltas came in for 2000: what was there came again", late.log.received)
	}
}

func TestProgressIsShown(t *testing.T) {
	t.Parallel()
	c := newClub(t, 2)
	a := c.play(c.keys[0], nil)
	a.log.fill(500, 1000)
	seen := make(chan Progress, 1)
	var b *player
	ready := make(chan struct{})
	b = c.play(c.keys[1], func(cfg *Config, d *Deps) {
		bootstrap(a)(cfg, d)
		d.Blocks.(*fakeLog).onAdmit = func(n int) {
			<-ready
			if n != 250 {
				return
			}
			for _, s := range b.Peers() {
				if s.Sync != nil {
					seen <- *s.Sync
				}
			}
		}
	})
	close(ready)
	agree(t, a, b)
	select {
	case p := <-seen:
		if p.Blocks < 250 || p.Blocks > 500 || p.Total != 500 || p.Bytes < 250_000 {
			t.Errorf("progress %+v in the middle of 500 deltas", p)
		}
	default:
		t.Error("no progress was shown")
	}
}

// liar is a member who runs no pinfold: a bare host with a member's key.
func (c *club) liar(t *testing.T, i int, serve func(s network.Stream, req *wire.Request)) host.Host {
	t.Helper()
	cfg := c.config(c.keys[i]).withDefaults()
	g := newGater(c.keys[i].ID(), c.Authority, nil, &faults{})
	h, err := newHost(cfg, hostDeps{gater: g})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	h.SetStreamHandler(syncProtocol, func(s network.Stream) {
		defer s.Close()
		req, err := wire.ReadMessage[wire.Request](bufio.NewReader(s), wire.MaxRequest)
		if err == nil {
			serve(s, req)
		}
	})
	return h
}

func TestALyingServerAdmitsNothing(t *testing.T) {
	t.Parallel()
	foreign := newFakeLog(newClub(t, 1).keys[0])
	for i := range 3 {
		foreign.write(fmt.Append([]byte("foreign"), i))
	}
	greeting := wire.Greeting{Number: uint64(time.Now().UnixMicro()), Heads: wire.CIDBytes(foreign.sorted()), Digest: make([]byte, 32)}
	for _, tc := range []struct {
		name string
		lie  func(s network.Stream)
	}{
		{"garbage for an answer", func(s network.Stream) { _, _ = s.Write(bytes.Repeat([]byte{0xff}, 100)) }},
		{"huge answer promised", func(s network.Stream) { _, _ = s.Write([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}) }},
		{"garbage for deltas", func(s network.Stream) {
			_ = wire.WriteMessage(s, wire.Answer{Greeting: greeting})
			_, _ = s.Write(bytes.Repeat([]byte("x"), 1000))
		}},
		{"delta without its parents", func(s network.Stream) {
			_ = wire.WriteMessage(s, wire.Answer{Greeting: greeting})
			stream(s, foreign.raw[foreign.order[2]])
		}},
		{"no end", func(s network.Stream) {
			_ = wire.WriteMessage(s, wire.Answer{Greeting: greeting})
			_ = s.CloseWrite()
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newClub(t, 3)
			a := c.play(c.keys[0], nil)
			a.log.fill(5, 10)
			lied := make(chan struct{}, 100)
			h := c.liar(t, 1, func(s network.Stream, req *wire.Request) {
				if len(req.Want) > 0 {
					tc.lie(s)
					lied <- struct{}{}
					return
				}
				_ = wire.WriteMessage(s, wire.Answer{Greeting: greeting})
			})
			b := c.play(c.keys[2], func(cfg *Config, d *Deps) {
				bootstrap(a)(cfg, d)
				cfg.Bootstrap = append(cfg.Bootstrap, peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()})
			})
			select {
			case <-lied:
			case <-time.After(20 * time.Second):
				t.Fatalf("the liar was not asked: %+v", b.Peers())
			}
			agree(t, a, b)
			if b.log.size() != 5 {
				t.Errorf("%d deltas, want the 5 honest ones", b.log.size())
			}
			a.Announce(a.log.write([]byte("more")))
			agree(t, a, b)
		})
	}
}

func stream(s network.Stream, raw ...[]byte) {
	var c wire.Codecs
	w, release, err := c.Writer(s)
	if err != nil {
		return
	}
	defer release()
	for _, b := range raw {
		_ = w.Write(b)
	}
	_ = w.End(wire.VerdictDone)
}

func TestASlowReaderIsLetGo(t *testing.T) {
	t.Parallel()
	c := newClub(t, 2)
	a := c.play(c.keys[0], func(cfg *Config, d *Deps) { d.Blocks.(*fakeLog).fill(200, 500<<10) })
	a.patience = 300 * time.Millisecond
	h := c.liar(t, 1, func(network.Stream, *wire.Request) {})
	if err := h.Connect(t.Context(), a.info()); err != nil {
		t.Fatal(err)
	}
	s, err := h.NewStream(t.Context(), a.ID(), syncProtocol)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	want := a.log.sorted()
	if err := wire.WriteMessage(s, wire.Request{Greeting: wire.Greeting{Digest: make([]byte, 32)}, Want: wire.CIDBytes(want)}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "counted", func() bool { return a.faults.counted(faultSlow) == 1 })
	eventually(t, "its place is free", func() bool { return a.serving.enter("x") })
}

func TestTransfersToOthersAreBounded(t *testing.T) {
	t.Parallel()
	g := newGate(3, 2)
	for i, tc := range []struct {
		p    peer.ID
		want bool
	}{{"a", true}, {"a", true}, {"a", false}, {"b", true}, {"c", false}} {
		if got := g.enter(tc.p); got != tc.want {
			t.Errorf("%d: enter(%s) = %v, want %v", i, tc.p, got, tc.want)
		}
	}
	g.leave("a")
	if !g.enter("c") {
		t.Error("no place after one was freed")
	}
}

func TestAFloodOfOneMemberIsNotPassedOn(t *testing.T) {
	t.Parallel()
	p := pace{by: make(map[peer.ID]*rate.Limiter)}
	taken := 0
	for range 10_000 {
		if p.allow("loud") {
			taken++
		}
	}
	if taken > 3*floodRate {
		t.Errorf("%d of 10000 messages taken", taken)
	}
	if !p.allow("quiet") {
		t.Error("another author pays for it")
	}
}

// answerFunc is an Answerer.
type answerFunc func(ctx context.Context, from peer.ID, req []byte, yield func([]byte) error) error

func (f answerFunc) Answer(ctx context.Context, from peer.ID, req []byte, yield func([]byte) error) error {
	return f(ctx, from, req, yield)
}

func TestAsk(t *testing.T) {
	t.Parallel()
	c := newClub(t, 2)
	gone := make(chan error, 1)
	a := c.play(c.keys[0], func(_ *Config, d *Deps) {
		d.Answerer = answerFunc(func(ctx context.Context, from peer.ID, req []byte, yield func([]byte) error) error {
			switch string(req) {
			case "fail":
				_ = yield([]byte("one"))
				return errors.New("the reason")
			case "endless":
				for {
					if err := yield(make([]byte, 10_000)); err != nil {
						gone <- err
						return err
					}
				}
			case "hang":
				<-ctx.Done()
				return ctx.Err()
			}
			for i := range 1000 {
				if err := yield(fmt.Appendf(nil, "%s %s %d", from, req, i)); err != nil {
					return err
				}
			}
			return nil
		})
	})
	b := c.play(c.keys[1], bootstrap(a))
	linked(t, a, b)

	n := 0
	for reply, err := range b.Ask(t.Context(), a.ID(), []byte("count")) {
		if want := fmt.Sprintf("%s count %d", b.ID(), n); err != nil || string(reply) != want {
			t.Fatalf("reply %q, %v; want %q", reply, err, want)
		}
		n++
	}
	if n != 1000 {
		t.Errorf("%d replies, want 1000", n)
	}
	var last error
	n = 0
	for _, err := range b.Ask(t.Context(), a.ID(), []byte("fail")) {
		last = err
		n++
	}
	if n != 2 || last == nil || !strings.Contains(last.Error(), "the reason") {
		t.Errorf("a failing answer: %d replies, %v", n, last)
	}
	for range b.Ask(t.Context(), a.ID(), []byte("endless")) {
		break
	}
	select {
	case <-gone:
	case <-time.After(20 * time.Second):
		t.Error("the answerer was not told that the asker is gone")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	for _, err := range b.Ask(ctx, a.ID(), []byte("hang")) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want a passed deadline", err)
		}
	}
	for _, err := range b.Ask(t.Context(), c.key().ID(), []byte("x")) {
		if err == nil {
			t.Error("a peer that is not there answered")
		}
	}
}
