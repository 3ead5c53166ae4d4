package daemon_test

import (
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/ipfsclient/kubotest"
	"github.com/pinfold/pinfold/pinset"
)

// pinAt pins the i-th CID with one copy, at this member.
func (r *rig) pinAt(p *rigPeer, i int, holder peer.ID) {
	r.t.Helper()
	pin := pinNumber(i)
	pin.Replication, pin.Include = pinset.Replication{Min: 1, Max: 1}, []peer.ID{holder}
	if _, _, err := p.Pin(r.t.Context(), pin, client.Wait{}); err != nil {
		r.t.Fatal(err)
	}
}

// TestStandInWhileAHolderIsAway: what is pinned at a member that is switched off is
// held by another one until it is back and has it. What it had stays where it is.
func TestStandInWhileAHolderIsAway(t *testing.T) {
	r := newRig(t, 4, map[string]string{"network.heartbeat": "1s", "tracker.outage": "3s", "tracker.grace": "2s"})
	alice, away := r.peers[0], r.peers[3]
	self := away.id(t)
	members(t, alice, 4)
	r.pinAt(alice, 1, self)
	r.holders(1, self)
	kubotest.Eventually(t, rigPatience, "it has said that it holds it", func() error {
		for _, p := range r.peers[:3] {
			if !p.d.Said(t.Context(), pinNumber(1), self) {
				return fmt.Errorf("not to %s", p.dir)
			}
		}
		return nil
	})
	r.end(away)
	r.pinAt(alice, 2, self) // before anybody can know that it is away
	var standIn peer.ID
	interim := func(i int) error {
		s, err := alice.Status(t.Context(), imagined(i), false)
		if err != nil {
			return err
		}
		for _, h := range s.Holdings {
			if h.Status == pinset.StatusPinned && h.Peer != self {
				if standIn = h.Peer; !h.Interim || h.Assigned {
					t.Fatalf("pin %d is held by %+v, and it is not for a while", i, h)
				}
				return nil
			}
		}
		return fmt.Errorf("nobody holds it: %+v", s.Holdings)
	}
	kubotest.Eventually(t, rigPatience, "another member holds it meanwhile", func() error { return interim(2) })
	r.pinAt(alice, 3, self)
	kubotest.Eventually(t, rigPatience, "a pin made while it is away is held as well", func() error { return interim(3) })
	r.holders(1, self) // by its last word, and nobody else
	r.peers = r.peers[:3]
	r.start(away)
	r.peers = append(r.peers, away)
	for i := range 3 {
		r.holders(i+1, self)
	}
	if standIn == "" {
		t.Error("nobody stood in")
	}
}
