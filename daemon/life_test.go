package daemon_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/daemon"
	"github.com/pinfold/pinfold/ipfsclient/kubotest"
	"github.com/pinfold/pinfold/pinset"
)

// seen returns what a peer knows of another.
func (p *rigPeer) seen(t *testing.T, other *rigPeer) (pinset.Peer, error) {
	t.Helper()
	id := other.id(t)
	for m, err := range p.Peers(t.Context()) {
		if err != nil || m.ID == id {
			return m, err
		}
	}
	return pinset.Peer{}, fmt.Errorf("%s is not among the members", id)
}

func (p *rigPeer) id(t *testing.T) peer.ID {
	t.Helper()
	self, err := p.Self(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return self.ID
}

// eventually waits until a peer sees another as want says.
func (p *rigPeer) eventually(t *testing.T, other *rigPeer, what string, want func(pinset.Peer) bool) {
	t.Helper()
	kubotest.Eventually(t, rigPatience, what, func() error {
		m, err := p.seen(t, other)
		if err == nil && !want(m) {
			err = fmt.Errorf("it sees %+v", m)
		}
		return err
	})
}

func TestWhatAPeerSaysOfItselfChangesWhileItRuns(t *testing.T) {
	r := newRig(t, 2, nil)
	p := r.peers[1]
	if _, err := p.Set(t.Context(), map[string]string{"give": "2TB", "region": "fr", "household": "attic", "tags": "ssd,eu"}); err != nil {
		t.Fatal(err)
	}
	now := func(m pinset.Peer) bool {
		return m.Lent == 2e12 && slices.Equal(m.Domains, []string{"fr", "attic"}) && slices.Equal(m.Tags, []string{"eu", "ssd"})
	}
	r.peers[0].eventually(t, p, "the other sees the new record", now)
	r.end(p)
	r.peers = r.peers[:1]
	r.start(p)
	if m, err := p.seen(t, p); err != nil || !now(m) {
		t.Errorf("after a new start: %+v, %v", m, err)
	}
}

func TestSettingsThatARunningDaemonDoesNotTake(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.peers[0]
	before, err := os.ReadFile(p.dir.Config())
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		set  map[string]string
		kind pinset.Kind
		say  string
	}{
		"a typo":          {map[string]string{"give": "1TB", "regoin": "fr"}, pinset.KindInvalid, `"regoin"`},
		"for a start":     {map[string]string{"network.mdns": "true"}, pinset.KindConflict, "network.mdns"},
		"nothing lent":    {map[string]string{"give": "0"}, pinset.KindInvalid, "observer"},
		"a negative size": {map[string]string{"give": "-5GB"}, pinset.KindInvalid, "-5GB"},
		"an absurd size":  {map[string]string{"give": "99999999999999TB"}, pinset.KindInvalid, "give"},
		"two words":       {map[string]string{"household": "my home"}, pinset.KindInvalid, "my home"},
	} {
		_, err := p.Set(t.Context(), tc.set)
		if pinset.KindOf(err) != tc.kind || !strings.Contains(fmt.Sprint(err), tc.say) {
			t.Errorf("%s: %v, want %v that says %q", name, err, tc.kind, tc.say)
		}
	}
	t.Setenv(daemon.EnvName("give"), "1TB")
	if _, err := p.Set(t.Context(), map[string]string{"give": "2TB"}); pinset.KindOf(err) != pinset.KindConflict {
		t.Errorf("what the environment sets: %v, want a conflict", err)
	}
	if after, err := os.ReadFile(p.dir.Config()); err != nil || string(after) != string(before) {
		t.Errorf("the configuration changed: %s, %v", after, err)
	}
}
