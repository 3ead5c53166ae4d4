package gossip

import (
	"testing"

	"github.com/libp2p/go-libp2p"
	ma "github.com/multiformats/go-multiaddr"
)

func TestTransports(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, listen string
		open         bool
	}{
		{"TCP with the private network's key", "/ip4/127.0.0.1/tcp/0", false},
		{"WebSocket with the private network's key", "/ip4/127.0.0.1/tcp/0/ws", false},
		{"QUIC on an open network", "/ip4/127.0.0.1/udp/0/quic-v1", true},
		{"TCP on an open network", "/ip4/127.0.0.1/tcp/0", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := newClub(t, 2)
			tune := func(cfg *Config, _ *Deps) { cfg.Listen, cfg.Open = []ma.Multiaddr{ma.StringCast(tc.listen)}, tc.open }
			a := c.play(c.keys[0], tune)
			b := c.play(c.keys[1], func(cfg *Config, d *Deps) { tune(cfg, d); bootstrap(a)(cfg, d) })
			linked(t, a, b)
			a.Announce(a.log.write([]byte("small")))
			b.Announce(b.log.write(make([]byte, 100<<10)))
			agree(t, a, b)
			k := c.key()
			if _, err := FetchFounding(t.Context(), Config{Key: k, Open: tc.open}, c.invite(a), c.record(k)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAnOutsiderOfAnOpenNetworkMayOnlyKnock(t *testing.T) {
	t.Parallel()
	c := newClub(t, 1)
	a := c.play(c.keys[0], func(cfg *Config, _ *Deps) {
		cfg.Listen, cfg.Open = []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/udp/0/quic-v1")}, true
	})
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.Connect(t.Context(), a.info()); err != nil {
		t.Fatal(err)
	}
	if err := tryProtocol(t.Context(), h, a.ID(), syncProtocol); err == nil {
		t.Error("a stranger got an answer")
	}
}
