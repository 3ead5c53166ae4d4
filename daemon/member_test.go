package daemon_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/pinfold/pinfold/daemon"
	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/ipfsclient/kubotest"
	"github.com/pinfold/pinfold/pinset"
)

// lone starts a peer in a cluster of its own.
func (r *rig) lone() *rigPeer {
	p := r.prepare(nil)
	r.start(p)
	return p
}

func (r *rig) invite() string {
	r.t.Helper()
	inv, err := r.peers[0].Invite(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return inv.Text
}

// members waits until a peer knows so many members.
func members(t testing.TB, p *rigPeer, want int) {
	t.Helper()
	kubotest.Eventually(t, rigPatience, fmt.Sprintf("%d members", want), func() error {
		a, err := p.Agreement(t.Context())
		if err == nil && a.Members != want {
			err = fmt.Errorf("%d members, want %d", a.Members, want)
		}
		return err
	})
}

func TestJoiningReplacesAnEmptyClusterOfARunningDaemon(t *testing.T) {
	r := newRig(t, 1, nil)
	p := (&rig{t: t, world: r.world}).lone()
	old, err := p.Self(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Join(t.Context(), r.invite(), "robert", 5e9); err != nil {
		t.Fatal(err)
	}
	if err := <-p.done; !errors.Is(err, daemon.ErrRestart) {
		t.Fatalf("the daemon ended with %v, want ErrRestart", err)
	}
	r.start(p)
	members(t, r.peers[0], 2)
	now, err := p.Self(t.Context())
	if err != nil || now.Name != "robert" || now.Lent != 5e9 || now.ClusterID == old.ClusterID {
		t.Errorf("after joining: %+v, %v", now, err)
	}
	aside, err := filepath.Glob(filepath.Join(string(p.dir), "clusters", old.ClusterID+".*"))
	if err != nil || len(aside) != 1 {
		t.Errorf("the old cluster is set aside as %v, %v", aside, err)
	}
}

func TestJoiningIsRefusedWhereItWouldLoseSomething(t *testing.T) {
	r := newRig(t, 1, nil)
	p := (&rig{t: t, world: r.world}).lone()
	if _, _, err := p.Pin(t.Context(), pinNumber(1), client.Wait{}); err != nil {
		t.Fatal(err)
	}
	refused := func(when string, err error) {
		if pinset.KindOf(err) != pinset.KindConflict || !strings.Contains(err.Error(), "1 pins") || pinset.HintOf(err) == "" {
			t.Errorf("%s: %v (hint %q), want a conflict that names the pin", when, err, pinset.HintOf(err))
		}
	}
	refused("running", p.Join(t.Context(), r.invite(), "", 0))
	r.end(p)
	_, err := daemon.Join(t.Context(), daemon.Options{Dir: p.dir, Node: p.node}, r.invite())
	refused("stopped", err)
}

// The way to the other cluster may be long: what is pinned meanwhile counts.
func TestAPinWhileJoining(t *testing.T) {
	r := newRig(t, 1, nil)
	p := (&rig{t: t, world: r.world}).lone()
	joined := make(chan error, 1)
	invite := r.farInvite(t, 400*time.Millisecond)
	go func() { joined <- p.Join(t.Context(), invite, "", 0) }()
	if _, _, err := p.Pin(t.Context(), pinNumber(1), client.Wait{}); err != nil {
		t.Fatal(err)
	}
	if err := <-joined; pinset.KindOf(err) != pinset.KindConflict {
		t.Errorf("join: %v, want a conflict", err)
	}
	if _, _, err := p.PinOf(t.Context(), imagined(1), ""); err != nil {
		t.Error(err)
	}
}

// A further invite to one's own cluster brings addresses, running or not, and
// changes nothing else; one with another secret is refused.
func TestAnInviteToOnesOwnClusterBringsAddresses(t *testing.T) {
	r := newRig(t, 2, nil)
	p := r.peers[1]
	before := p.id(t)
	book := func() string {
		found, err := filepath.Glob(filepath.Join(string(p.dir), "clusters", "*", "peers"))
		if err != nil || len(found) != 1 {
			t.Fatalf("address files %v, %v", found, err)
		}
		raw, err := os.ReadFile(found[0])
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	inv, err := identity.ParseInvite(r.invite())
	if err != nil {
		t.Fatal(err)
	}
	moved := func(port int) string {
		i := inv
		i.Peers = []peer.AddrInfo{{ID: inv.Peers[0].ID, Addrs: []multiaddr.Multiaddr{multiaddr.StringCast(fmt.Sprintf("/ip4/192.0.2.1/tcp/%d", port))}}}
		return i.String()
	}
	if err := p.Join(t.Context(), moved(1234), "", 0); err != nil {
		t.Fatal(err)
	}
	if err := <-p.done; !errors.Is(err, daemon.ErrRestart) {
		t.Fatalf("the daemon ended with %v, want ErrRestart", err)
	}
	joined, err := daemon.Join(t.Context(), daemon.Options{Dir: p.dir, Node: p.node}, moved(4321))
	if err != nil || !joined.Known {
		t.Fatalf("%+v, %v", joined, err)
	}
	if now := book(); !strings.Contains(now, "/tcp/1234") || !strings.Contains(now, "/tcp/4321") {
		t.Errorf("addresses %s", now)
	}
	inv.Secret = identity.Secret{1}
	if _, err := daemon.Join(t.Context(), daemon.Options{Dir: p.dir, Node: p.node}, moved(5555)); pinset.KindOf(err) != pinset.KindInvalid || strings.Contains(book(), "/tcp/5555") {
		t.Errorf("with another secret: %v", err)
	}
	r.peers = r.peers[:1]
	r.start(p)
	members(t, r.peers[0], 2)
	if p.id(t) != before {
		t.Error("it is another peer")
	}
}

func TestLeavingEndsTheDaemonAndTheMembership(t *testing.T) {
	r := newRig(t, 2, nil)
	p := r.peers[1]
	if err := p.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-p.done; err != nil {
		t.Fatalf("the daemon ended with %v", err)
	}
	p.stop = nil
	members(t, r.peers[0], 1)
	left, err := p.d.Greeting().Cluster, error(nil)
	(&rig{t: t, world: r.world}).start(p) // a later start makes a cluster of its own
	now, err := p.Self(t.Context())
	if err != nil || now.ClusterID == left {
		t.Errorf("after leaving: in cluster %s, %v", now.ClusterID, err)
	}
}

func TestAMemberThatLeftComesBackWithAnInvite(t *testing.T) {
	r := newRig(t, 2, nil)
	p := r.peers[1]
	if err := p.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-p.done
	p.stop = nil
	members(t, r.peers[0], 1)
	if _, err := daemon.Join(t.Context(), daemon.Options{Dir: p.dir, Node: p.node}, r.invite()); err != nil {
		t.Fatal(err)
	}
	r.peers = r.peers[:1]
	r.start(p)
	members(t, r.peers[0], 2)
}

func TestBadInvitesChangeNothing(t *testing.T) {
	r := newRig(t, 1, nil)
	good := r.invite()
	other := (&rig{t: t, world: r.world}).lone()
	before, err := os.ReadDir(filepath.Join(string(other.dir), "clusters"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"empty": "", "words": "hello", "cut off": good[:60], "typo": good[:80] + "a" + good[81:]} {
		if text == good {
			continue
		}
		if err := other.Join(t.Context(), text, "", 0); pinset.KindOf(err) != pinset.KindInvalid {
			t.Errorf("%s: %v, want it refused as invalid", name, err)
		}
	}
	after, err := os.ReadDir(filepath.Join(string(other.dir), "clusters"))
	if err != nil || len(after) != len(before) {
		t.Errorf("clusters before %v, after %v, %v", before, after, err)
	}
}

func TestPinningAgainIsNoChange(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.peers[0]
	_, first, err := p.Pin(t.Context(), pinNumber(1), client.Wait{})
	if err != nil {
		t.Fatal(err)
	}
	kubotest.Eventually(t, rigPatience, "a second has passed since the first pin", func() error {
		old, _, err := p.PinOf(t.Context(), imagined(1), "")
		if err == nil && time.Since(old.Created) < 1100*time.Millisecond {
			err = errors.New("not yet")
		}
		return err
	})
	if _, again, err := p.Pin(t.Context(), pinNumber(1), client.Wait{}); err != nil || again.Seq != first.Seq {
		t.Errorf("the first pin is delta %d, the same pin again %d, %v", first.Seq, again.Seq, err)
	}
}

// The history that a returning member fetches has its earlier membership in it:
// it says nothing before it has all of that.
func TestComingBackToALongHistory(t *testing.T) {
	if testing.Short() {
		t.Skip("tens of thousands of pins")
	}
	r := newRig(t, 1, nil)
	r.end(r.peers[0])
	fill(t, r.peers[0].dir, 15_000, 500)
	r.again(r.peers[0])
	p := r.join(nil)
	r.all(15_000)
	node := p.node.(*ipfsclienttest.Fake)
	kubotest.Eventually(t, rigPatience, "some are pinned", func() error {
		if node.Calls("pin") < 1000 {
			return errors.New("not yet")
		}
		return nil
	})
	if err := p.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-p.done
	p.stop = nil
	members(t, r.peers[0], 1)
	r.end(r.peers[0])
	fill(t, r.peers[0].dir, 20_000, 500)
	r.again(r.peers[0])
	if _, err := daemon.Join(t.Context(), daemon.Options{Dir: p.dir, Node: p.node}, r.invite()); err != nil {
		t.Fatal(err)
	}
	r.peers = r.peers[:1]
	r.start(p)
	members(t, r.peers[0], 2)
	r.peers = append(r.peers, p)
	r.all(20_000)
	members(t, r.peers[0], 2)
	if n := node.Calls("unpin"); n > 0 {
		t.Errorf("%d pins were let go for coming back", n)
	}
	for _, x := range r.peers {
		_, h, err := x.Health(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range h {
			if e.Code == "state-fork" || e.Code == "no-member" {
				t.Errorf("%s: %+v", x.dir, e)
			}
		}
	}
}
