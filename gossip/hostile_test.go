package gossip

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/pinfold/pinfold/gossip/internal/wire"
	"github.com/pinfold/pinfold/identity"
)

// survives says that a network still does its work.
func survives(t *testing.T, ps ...*player) {
	t.Helper()
	ps[0].Announce(ps[0].log.write([]byte("still here")))
	agree(t, ps...)
}

func TestGarbageOfAMemberOnEveryProtocol(t *testing.T) {
	t.Parallel()
	c := newClub(t, 3)
	a := c.play(c.keys[0], nil)
	b := c.play(c.keys[1], bootstrap(a))
	linked(t, a, b)
	h := c.liar(t, 2, func(network.Stream, *wire.Request) {})
	if err := h.Connect(t.Context(), a.info()); err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 100<<10)
	_, _ = rand.Read(noise)
	for _, proto := range []protocol.ID{syncProtocol, joinProtocol, askProtocol, "/meshsub/1.1.0"} {
		for name, raw := range map[string][]byte{
			"noise": noise, "huge length": {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, "endless length": []byte(strings.Repeat("\xff", 20)),
			"promised, not sent": {0xc0, 0x84, 0x3d, 1, 2, 3}, "nothing": nil, "empty frame": {0}, "empty map": {1, 0xa0}, "nested": append([]byte{200, 1}, []byte(strings.Repeat("\x81", 200))...),
		} {
			s, err := h.NewStream(t.Context(), a.ID(), proto)
			if err != nil {
				t.Fatalf("%s: %v", proto, err)
			}
			_, _ = s.Write(raw)
			_ = s.CloseWrite()
			_ = s.SetReadDeadline(time.Now().Add(2 * time.Second))
			if n, err := io.Copy(io.Discard, s); err != nil && n > 100<<10 {
				t.Errorf("%s: %s: %d bytes of answer", proto, name, n)
			}
			_ = s.Reset()
		}
	}
	if a.faults.counted(faultForm) < 6 {
		t.Errorf("%d messages counted as of no form", a.faults.counted(faultForm))
	}
	survives(t, a, b)
}

// loud is a member with its own pubsub, which says what it likes.
func (c *club) loud(t *testing.T, i int, to *player) *pubsub.Topic {
	t.Helper()
	h := c.liar(t, i, func(network.Stream, *wire.Request) {})
	ps, err := pubsub.NewGossipSub(t.Context(), h, pubsub.WithFloodPublish(true), pubsub.WithMaxMessageSize(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	topic, err := ps.Join(to.topicOf())
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Connect(t.Context(), to.info()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "in the topic", func() bool { return len(topic.ListPeers()) > 0 })
	return topic
}

func TestGarbageOnTheTopic(t *testing.T) {
	t.Parallel()
	c := newClub(t, 3)
	a := c.play(c.keys[0], nil)
	b := c.play(c.keys[1], bootstrap(a))
	linked(t, a, b)
	topic := c.loud(t, 2, a)
	// Pubsub drops what comes faster than it is validated, so it is said until enough
	// has been heard.
	said := 0
	eventually(t, "counted", func() bool {
		noise := make([]byte, 1+said%50*20)
		_, _ = rand.Read(noise)
		noise[0] = byte(said % 3)
		said++
		if err := topic.Publish(t.Context(), noise); err != nil {
			t.Fatal(err)
		}
		return a.faults.counted(faultForm) >= 40
	})
	if n := b.faults.counted(faultForm); n != 0 {
		t.Errorf("%d of them were passed on", n)
	}
	survives(t, a, b)
}

func TestAFloodOnTheTopicHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	c := newClub(t, 3)
	a := c.play(c.keys[0], nil)
	b := c.play(c.keys[1], bootstrap(a))
	linked(t, a, b)
	topic := c.loud(t, 2, a)
	p, err := wire.NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ { // heads that are nowhere; pubsub drops many on a busy machine
			head := cidOf(fmt.Append(nil, i))
			raw, _ := p.Pack(&wire.Message{Heads: [][]byte{head.Bytes()}})
			_ = topic.Publish(ctx, raw)
		}
	}()
	survives(t, a, b)
	eventually(t, "counted", func() bool { return a.faults.counted(faultRate) > 0 })
	cancel()
	<-done
	survives(t, b, a)
	if n := a.fetcher.missing(); n > maxWanted {
		t.Errorf("%d heads are looked for", n)
	}
}

func TestRawConnectionsThatSayNothingAreLetGo(t *testing.T) {
	t.Parallel()
	c := newClub(t, 2)
	a := c.play(c.keys[0], nil)
	addr, err := manet.ToNetAddr(a.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	for range 200 {
		conn, err := d.Dial("tcp", addr.String())
		if err != nil {
			t.Skip("one loopback address only:", err)
		}
		defer conn.Close()
	}
	b := c.play(c.keys[1], bootstrap(a))
	began := time.Now()
	survives(t, a, b)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a member waited %v for its turn", took)
	}
	if n := a.faults.counted(faultCrowd); n < 200-2*maxWaiting {
		t.Errorf("%d of 200 counted", n)
	}
	if n := a.faults.counted(faultHandshake); n != 0 {
		t.Errorf("%d of them are said to have another secret", n)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	c := newClub(t, 1)
	for _, tc := range []struct {
		name string
		tune func(*Config)
		want string
	}{
		{"good", func(*Config) {}, ""},
		{"no key", func(c *Config) { c.Key = identity.Key{} }, "no key"},
		{"no founding record", func(c *Config) { c.Founding = nil }, "no founding record"},
		{"QUIC with the private network's key", func(c *Config) {
			c.Listen = []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/udp/0/quic-v1")}
		}, "QUIC cannot carry"},
		{"QUIC on an open network", func(c *Config) {
			c.Open, c.Listen = true, []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/udp/0/quic-v1")}
		}, ""},
	} {
		cfg := c.config(c.keys[0])
		tc.tune(&cfg)
		err := cfg.Validate()
		if (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}
