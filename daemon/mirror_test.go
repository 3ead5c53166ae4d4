package daemon_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/ipfsclient/kubotest"
	"github.com/pinfold/pinfold/pinset"
)

// pinOnce pins the i-th CID with one copy and says at whom.
func (r *rig) pinOnce(p *rigPeer, i int) peer.ID {
	r.t.Helper()
	pin := pinNumber(i)
	pin.Replication = pinset.Replication{Min: 1, Max: 1}
	if _, _, err := p.Pin(r.t.Context(), pin, client.Wait{}); err != nil {
		r.t.Fatal(err)
	}
	_, holders, err := p.PinOf(r.t.Context(), pin.CID, "")
	if err != nil || len(holders) != 1 {
		r.t.Fatalf("pin %d is allocated to %v, %v", i, holders, err)
	}
	return holders[0]
}

// holders waits until just these members hold the i-th CID.
func (r *rig) holders(i int, want ...peer.ID) {
	r.t.Helper()
	slices.Sort(want)
	kubotest.Eventually(r.t, rigPatience, fmt.Sprintf("pin %d is where it shall be", i), func() error {
		s, err := r.peers[0].Status(r.t.Context(), imagined(i), false)
		if err != nil {
			return err
		}
		var got []peer.ID
		for _, h := range s.Holdings {
			if h.Status == pinset.StatusPinned {
				got = append(got, h.Peer)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			err = fmt.Errorf("pinned at %v, want %v", got, want)
		}
		return err
	})
}

// mirror waits until p tells of one wish, and it is as want says.
func (p *rigPeer) mirror(t *testing.T, what string, want func(pinset.Mirror) bool) {
	t.Helper()
	kubotest.Eventually(t, rigPatience, what, func() error {
		all, err := p.Mirrors(t.Context())
		if err == nil && (len(all) != 1 || !want(all[0])) {
			err = fmt.Errorf("the mirrors are %+v", all)
		}
		return err
	})
}

// TestAMirrorFollowsTheMirrored: what alice holds is held at the mirror as well,
// new pins of hers within seconds; what others hold is not.
func TestAMirrorFollowsTheMirrored(t *testing.T) {
	r := newRig(t, 3, map[string]string{"tracker.grace": "1s"})
	alice, mirror := r.peers[0].id(t), r.peers[2]
	self := mirror.id(t)
	if err := mirror.AddMirror(t.Context(), "p1"); err != nil {
		t.Fatal(err)
	}
	r.peers[0].mirror(t, "the mirrored member sees the wish", func(m pinset.Mirror) bool { return m.Peer == self && m.OfName == "p1" && !m.Self })
	hers := 0
	for i := range 12 {
		began := time.Now()
		want := []peer.ID{r.pinOnce(r.peers[0], i)}
		if want[0] == alice {
			want = append(want, self)
			hers++
		}
		r.holders(i, want...)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("pin %d took %s to get to its mirror", i, took)
		}
	}
	if hers == 0 || hers == 12 {
		t.Fatalf("%d of 12 pins are at alice: the test tells nothing", hers)
	}
	caught := func(m pinset.Mirror) bool { return m.Pins == uint64(hers) && m.Behind == 0 && !m.Changed.IsZero() }
	mirror.mirror(t, "the mirror has all of it", func(m pinset.Mirror) bool { return m.Self && caught(m) })
	r.peers[1].mirror(t, "others know that it has", caught)
	if err := mirror.RemoveMirror(t.Context(), "p1"); err != nil {
		t.Fatal(err)
	}
	kubotest.Eventually(t, rigPatience, "the mirror lets go of what is not its own share", func() error {
		for i := range 12 {
			s, err := mirror.Status(t.Context(), imagined(i), true)
			if err != nil {
				return err
			}
			if h := s.Holdings[0]; !h.Assigned && h.Status == pinset.StatusPinned {
				return fmt.Errorf("pin %d is still here: %+v", i, h)
			}
		}
		return nil
	})
}
