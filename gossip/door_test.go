package gossip

import (
	"net"
	"testing"

	protector "github.com/libp2p/go-libp2p/p2p/net/pnet"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/pinfold/pinfold/identity"
)

// say opens a raw connection to a, says something and closes.
func say(t *testing.T, a *player, secret identity.Secret, words string) {
	t.Helper()
	c, err := manet.Dial(a.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var w net.Conn = c
	if secret != (identity.Secret{}) {
		if w, err = protector.NewProtectedConn(secret.PSK(), c); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write([]byte(words)); err != nil {
		t.Error(err)
	}
}

// unhurried waits until no handshake is under way.
func unhurried(t *testing.T, a *player) {
	t.Helper()
	eventually(t, "no handshake is under way", func() bool {
		a.gater.mu.Lock()
		defer a.gater.mu.Unlock()
		return len(a.gater.waiting) == 0
	})
}

// TestOnlyAWrongSecretIsAFailedHandshake: a health warning says to a person that a
// friend may be trying to join with an old invite.
func TestOnlyAWrongSecretIsAFailedHandshake(t *testing.T) {
	t.Parallel()
	other := newClub(t, 1)
	for _, tc := range []struct {
		name   string
		arrive func(t *testing.T, c *club, a *player)
		want   uint64
	}{
		{"a connection that says nothing", func(t *testing.T, _ *club, a *player) { say(t, a, identity.Secret{}, "") }, 0},
		{"a few bytes", func(t *testing.T, _ *club, a *player) { say(t, a, identity.Secret{}, "EHLO\r\n") }, 0},
		{"the secret, but not the end of the handshake", func(t *testing.T, c *club, a *player) { say(t, a, c.secret, firstWords) }, 0},
		{"another secret", func(t *testing.T, _ *club, a *player) { say(t, a, other.secret, firstWords) }, 1},
		{"no secret at all", func(t *testing.T, _ *club, a *player) {
			say(t, a, identity.Secret{}, "\x13/multistream/1.0.0\n\x07/noise\n\x13/multistream/1.0.0\n\x07/noise\n")
		}, 1},
		{"somebody who joins", func(t *testing.T, c *club, a *player) {
			k := c.key()
			if _, err := FetchFounding(t.Context(), Config{Key: k}, c.invite(a), c.record(k)); err != nil {
				t.Error(err)
			}
		}, 0},
		{"somebody who joins with another secret", func(t *testing.T, c *club, a *player) {
			k, invite := c.key(), c.invite(a)
			invite.Secret = other.secret
			if _, err := FetchFounding(t.Context(), Config{Key: k}, invite, c.record(k)); err == nil {
				t.Error("joined")
			}
		}, 1},
	} {
		for _, listen := range []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"} {
			if listen != "/ip4/127.0.0.1/tcp/0" && tc.name[:8] != "somebody" {
				continue // raw bytes do not come through WebSocket
			}
			t.Run(tc.name+" at "+listen, func(t *testing.T) {
				t.Parallel()
				c := newClub(t, 1)
				a := c.play(c.keys[0], func(cfg *Config, _ *Deps) { cfg.Listen = []ma.Multiaddr{ma.StringCast(listen)} })
				tc.arrive(t, c, a)
				if tc.want > 0 {
					eventually(t, "counted", func() bool { return a.faults.counted(faultHandshake) > 0 })
				}
				unhurried(t, a)
				if n := a.faults.counted(faultHandshake); n != tc.want {
					t.Errorf("%d counted, want %d: %+v", n, tc.want, a.Health())
				}
			})
		}
	}
}
