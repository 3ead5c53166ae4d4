package daemon_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/daemon"
	"github.com/pinfold/pinfold/httpapi/client"
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

// copies counts who has each of the first n imagined CIDs pinned, at the IPFS nodes
// themselves.
func (r *rig) copies(n int) []int {
	r.t.Helper()
	out := make([]int, n)
	for _, p := range r.peers {
		for i := range out {
			if p.holds(r.t, i) {
				out[i]++
			}
		}
	}
	return out
}

func (p *rigPeer) holds(t testing.TB, i int) bool {
	t.Helper()
	_, err := p.node.PinOf(t.Context(), imagined(i))
	if err != nil && pinset.KindOf(err) != pinset.KindNotFound {
		t.Fatal(err)
	}
	return err == nil
}

// kept pins n imagined CIDs and waits until each has its copies.
func (r *rig) kept(n, copies int) {
	r.t.Helper()
	for i := range n {
		pin := pinNumber(i)
		pin.Replication = pinset.Replication{Min: copies, Max: copies}
		if _, _, err := r.peers[0].Pin(r.t.Context(), pin, client.Wait{}); err != nil {
			r.t.Fatal(err)
		}
	}
	kubotest.Eventually(r.t, rigPatience, "all is held", func() error {
		if have := r.copies(n); slices.Min(have) < copies {
			return fmt.Errorf("copies: %v", have)
		}
		return nil
	})
}

// watched fails the test if, until done says so, an item has fewer copies than
// that at the IPFS nodes.
func (r *rig) watched(n, copies int, what string, done func() error) {
	r.t.Helper()
	kubotest.Eventually(r.t, rigPatience, what, func() error {
		if have := r.copies(n); slices.Min(have) < copies {
			r.t.Fatalf("%s: below the minimum of %d: %v", what, copies, have)
		}
		return done()
	})
}

func TestDrainingHandsOverBeforeItLetsGo(t *testing.T) {
	r := newRig(t, 4, map[string]string{"tracker.grace": "1s"})
	const n = 30
	r.kept(n, 2)
	p := r.peers[3]
	if err := r.peers[0].Drain(t.Context(), p.id(t)); err != nil { // the founder is an admin
		t.Fatal(err)
	}
	r.watched(n, 2, "the draining member holds nothing", func() error {
		for i := range n {
			if p.holds(t, i) {
				return fmt.Errorf("it holds %d", i)
			}
		}
		return nil
	})
	r.peers[1].eventually(t, p, "all see it drained", func(m pinset.Peer) bool { return m.State == "draining" && m.Used == 0 })
	if err := p.Undrain(t.Context(), p.id(t)); err != nil {
		t.Fatal(err)
	}
	r.watched(n, 2, "it holds its share again", func() error {
		for i := range n {
			if p.holds(t, i) {
				return nil
			}
		}
		return fmt.Errorf("it holds nothing")
	})
}

func TestAdminsRuleWhileTheyRun(t *testing.T) {
	r := newRig(t, 2, nil)
	boss, other := r.peers[0], r.peers[1]
	id := other.id(t)
	members(t, boss, 2)
	if err := boss.SetRole(t.Context(), id, "keeper"); err != nil {
		t.Fatal(err)
	}
	boss.eventually(t, other, "it is a keeper", func(m pinset.Peer) bool { return m.Role == "keeper" })
	kubotest.Eventually(t, rigPatience, "the keeper pins nothing", func() error {
		_, _, err := other.Pin(t.Context(), pinNumber(1), client.Wait{})
		if pinset.KindOf(err) != pinset.KindForbidden {
			return fmt.Errorf("pinning: %v", err)
		}
		return nil
	})
	if _, err := other.SetPolicy(t.Context(), map[string]string{"grace": "1h"}); pinset.KindOf(err) != pinset.KindForbidden {
		t.Errorf("a keeper rules: %v", err)
	}
	if _, err := boss.SetPolicy(t.Context(), map[string]string{"replication": "1..2", "grace": "1h"}); err != nil {
		t.Fatal(err)
	}
	kubotest.Eventually(t, rigPatience, "the other knows the policy", func() error {
		rules, err := other.Policy(t.Context())
		if err == nil && !slices.ContainsFunc(rules, func(r pinset.Rule) bool { return r.Key == "replication" && r.Value == "1..2" }) {
			err = fmt.Errorf("it knows %v", rules)
		}
		return err
	})
	if err := boss.RemovePeer(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	members(t, boss, 1)
}

func TestTwoPeersOnOneIPFSNodeAreSeen(t *testing.T) {
	r := newRig(t, 2, nil)
	p := r.prepare(nil)
	p.node = r.peers[1].node
	if _, err := daemon.Join(t.Context(), daemon.Options{Dir: p.dir, Node: p.node}, r.invite()); err != nil {
		t.Fatal(err)
	}
	r.start(p)
	r.peers = append(r.peers, p)
	r.peers[0].eventually(t, p, "who is on whose IPFS node", func(m pinset.Peer) bool {
		return slices.Equal(m.Twins, []peer.ID{r.peers[1].id(t)})
	})
	sum, err := r.peers[0].Capacity(t.Context())
	if err != nil || sum.Members != 3 || sum.Lent>>20 != 2*(uint64(1e12)>>20) || len(sum.Shared) != 1 || sum.Usable[1].Bytes>>20 != uint64(1e12)>>20 {
		t.Errorf("capacity %+v, %v", sum, err)
	}
	_, entries, err := p.Health(t.Context())
	if err != nil || !slices.ContainsFunc(entries, func(e pinset.HealthEntry) bool { return e.Code == "shared-ipfs-node" }) {
		t.Errorf("health: %+v, %v", entries, err)
	}
}

// TestWhoIsAbsentIsEvictedAndComesBack: the members do both by themselves.
func TestWhoIsAbsentIsEvictedAndComesBack(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute: whom the others do not know any more has to knock")
	}
	r := newRig(t, 3, map[string]string{"network.heartbeat": "1s", "tracker.grace": "1s"})
	const n = 12
	r.kept(n, 2)
	if _, err := r.peers[0].SetPolicy(t.Context(), map[string]string{"absent": "5s"}); err != nil {
		t.Fatal(err)
	}
	p := r.peers[2]
	r.end(p)
	r.peers = r.peers[:2]
	members(t, r.peers[0], 2)
	kubotest.Eventually(t, rigPatience, "those who are left hold everything twice", func() error {
		if have := r.copies(n); slices.Min(have) < 2 {
			return fmt.Errorf("copies: %v", have)
		}
		return nil
	})
	r.peers = r.peers[:1] // what start waits for: it knows more than one member
	r.start(p)
	members(t, r.peers[0], 3)
	r.peers[0].eventually(t, p, "it is active", func(m pinset.Peer) bool { return m.State == "active" && m.Connected })
}

// TestAnImpossibleWishIsTakenAndHealsByItself: a tag that nobody has.
func TestAnImpossibleWishIsTakenAndHealsByItself(t *testing.T) {
	r := newRig(t, 2, nil)
	pin := pinNumber(1)
	pin.Tags, pin.Replication = []string{"tape"}, pinset.Replication{Min: 1, Max: 1}
	if _, _, err := r.peers[0].Pin(t.Context(), pin, client.Wait{}); err != nil {
		t.Fatal(err)
	}
	s, err := r.peers[0].Status(t.Context(), pin.CID, false)
	if err != nil || s.Short != 1 || !strings.Contains(s.Reason, "tape") {
		t.Errorf("short of %d because %q, %v", s.Short, s.Reason, err)
	}
	if _, err := r.peers[1].Set(t.Context(), map[string]string{"tags": "tape"}); err != nil {
		t.Fatal(err)
	}
	kubotest.Eventually(t, rigPatience, "who has the tag holds it", func() error {
		s, err := r.peers[0].Status(t.Context(), pin.CID, false)
		if err == nil && (s.Copies != 1 || s.Short != 0 || s.Reason != "" || !r.peers[1].holds(t, 1)) {
			err = fmt.Errorf("%d copies, short of %d because %q", s.Copies, s.Short, s.Reason)
		}
		return err
	})
	_, _, err = r.peers[0].Pin(t.Context(), pinNumber(2), client.Wait{Seen: 3})
	if pinset.KindOf(err) != pinset.KindConflict {
		t.Errorf("waiting for more members than there are: %v", err)
	}
	if _, _, err := r.peers[0].PinOf(t.Context(), imagined(2), ""); pinset.KindOf(err) != pinset.KindNotFound {
		t.Errorf("it was pinned all the same: %v", err)
	}
	if _, _, err := r.peers[0].Pin(t.Context(), pinNumber(2), client.Wait{Seen: 2}); err != nil {
		t.Errorf("waiting for both: %v", err)
	}
}

func TestAPauseFetchesNothingAndOutlastsARestart(t *testing.T) {
	r := newRig(t, 2, nil)
	p := r.peers[1]
	r.kept(2, 2)
	if err := p.Pause(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	r.end(p)
	r.peers = r.peers[:1]
	r.start(p)
	r.peers = append(r.peers, p)
	for i := 2; i < 6; i++ {
		if _, _, err := r.peers[0].Pin(t.Context(), pinNumber(i), client.Wait{Seen: 2, Pinned: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if !p.holds(t, 0) || !p.holds(t, 1) {
		t.Error("what was held went")
	}
	kubotest.Eventually(t, rigPatience, "all of it is queued there", func() error {
		self, err := p.Self(t.Context())
		if err == nil && self.Queued != 4 {
			err = fmt.Errorf("%d items wait", self.Queued)
		}
		return err
	})
	for i := 2; i < 6; i++ {
		if p.holds(t, i) {
			t.Errorf("item %d was fetched in the pause", i)
		}
	}
	if _, entries, err := p.Health(t.Context()); err != nil || !slices.ContainsFunc(entries, func(e pinset.HealthEntry) bool { return e.Code == "paused" }) {
		t.Errorf("health: %+v, %v", entries, err)
	}
	if err := p.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	kubotest.Eventually(t, rigPatience, "all is held", func() error {
		if have := r.copies(6); slices.Min(have) < 2 {
			return fmt.Errorf("copies: %v", have)
		}
		return nil
	})
}

func TestATypoOfARegionIsWarnedOf(t *testing.T) {
	r := newRig(t, 2, map[string]string{"region": "france"})
	warned, err := r.peers[1].Set(t.Context(), map[string]string{"region": "frnace"})
	if err != nil || len(warned) != 1 || !strings.Contains(warned[0], `"france"`) {
		t.Errorf("warned of %q, %v", warned, err)
	}
}

// TestReplacingMovesNothingElse: what the others hold stays where it is, at every
// moment, counted at the IPFS nodes.
func TestReplacingMovesNothingElse(t *testing.T) {
	r := newRig(t, 3, map[string]string{"tracker.grace": "1s"})
	const n = 20
	r.kept(n, 2)
	old := r.peers[2]
	var had [2][]bool
	for i := range n {
		for j, p := range r.peers[:2] {
			had[j] = append(had[j], p.holds(t, i))
		}
	}
	by := r.join(map[string]string{"tracker.grace": "10m"})
	members(t, r.peers[0], 4)
	if err := r.peers[0].Replace(t.Context(), old.id(t), by.id(t)); err != nil {
		t.Fatal(err)
	}
	r.watched(n, 2, "the new one has what the old one had", func() error {
		for i := range n {
			if old.holds(t, i) {
				return fmt.Errorf("the old one holds %d", i)
			}
			for j, p := range r.peers[:2] {
				if had[j][i] != p.holds(t, i) {
					return fmt.Errorf("member %d has other items than before: %d", j, i)
				}
			}
		}
		return nil
	})
}
