package sim

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
)

// TestMembersRelayForOneAnother has two members that have no way to each other
// and one that both can reach.
func TestMembersRelayForOneAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := settledWith(t, 3, 20*time.Millisecond, func(w *World, c *Club) {
			w.Connect(3, func(a, b int) bool { return a == 0 || b == 0 })
			c.Options = func(i int) []libp2p.Option {
				if i == 0 {
					return []libp2p.Option{libp2p.ForceReachabilityPublic(), noDialBack}
				}
				return []libp2p.Option{libp2p.ForceReachabilityPrivate(), noDialBack}
			}
		})
		defer p.end(t)
		for i := 1; i < 3; i++ {
			for _, s := range p.peers[i].Net.Peers() {
				if s.ID != p.peers[0].Key.ID() && !s.Relayed {
					t.Errorf("peer %d has %s without a relay", i, short(s.ID))
				}
			}
		}
		for i := range p.peers {
			p.write(t.Context(), p.peers[i], i, false)
		}
		if err := p.agreed(t.Context(), 3); err != nil {
			t.Error(err)
		}
	})
}

// noDialBack leaves out the service that tells others whether they can be reached:
// libp2p does not close the host it dials from.
func noDialBack(c *libp2p.Config) error {
	c.AutoNATConfig.EnableService = false
	return nil
}
