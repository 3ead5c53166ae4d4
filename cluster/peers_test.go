package cluster

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/pinset"
)

type pid = peer.ID

func faults(p *rigPeer) (codes []string) {
	for _, h := range p.Health(context.Background()) {
		codes = append(codes, h.Code)
	}
	return codes
}

func hasFault(p *rigPeer, code string) bool { return slices.Contains(faults(p), code) }

func peersOf(t *testing.T, p *rigPeer) map[peer.ID]pinset.Peer {
	t.Helper()
	out := map[peer.ID]pinset.Peer{}
	last := peer.ID("")
	for row, err := range p.Peers(t.Context()) {
		must(t, 0, err)
		if row.ID <= last {
			t.Errorf("%s after %s", row.ID, last)
		}
		last = row.ID
		out[row.ID] = row
	}
	return out
}

func TestPeersAreAskedOrRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 5)
		r.peers[0].pin(pinset.Pin{CID: cidN(1)})
		peersOf(t, r.peers[0]) // their IPFS nodes are known from then on
		r.peers[2].says(cidN(1))
		r.split(2)
		r.peers[0].net.faults[3] = hang
		r.peers[4].node.Stop()
		began := time.Now()
		got := peersOf(t, r.peers[0])
		if took := time.Since(began); took > r.peers[0].cfg.AskTime || len(got) != 5 {
			t.Errorf("%d peers after %s", len(got), took)
		}
		for _, tc := range []struct {
			name      string
			i         int
			connected bool
			used      uint64
			version   string
			err       string
			ipfsErr   bool
		}{
			{"this peer", 0, true, 42, "test", "", false},
			{"one that answers", 1, true, 42, "test", "", false},
			{"one that is away", 2, false, 300, "", "", false},
			{"one that hangs", 3, true, 0, "", "deadline", false},
			{"one whose IPFS node is away", 4, true, 42, "test", "", true},
		} {
			p := got[r.ids.ID(tc.i)]
			if p.Self != (tc.i == 0) || p.Connected != tc.connected || p.Used != tc.used || p.Version != tc.version ||
				!strings.Contains(p.Error, tc.err) || (tc.err == "") != (p.Error == "") || (p.IPFSError != "") != tc.ipfsErr {
				t.Errorf("%s: %+v", tc.name, p)
			}
			if p.Name == "" || p.Lent != 1e12 || p.Role == "" || p.State != "active" || p.LastHeard.IsZero() || p.IPFS.Peer != r.peers[tc.i].node.ID() {
				t.Errorf("%s: %+v", tc.name, p)
			}
		}
		if p := got[r.ids.ID(1)]; !p.Agrees || p.Role != "writer" || got[r.ids.ID(0)].Role != "admin" || p.Pins != 1 {
			t.Errorf("%+v", p)
		}
	})
}

func TestSelfOfWhoIsNoMember(t *testing.T) {
	r := newRig(t, 2)
	must(t, 0, r.peers[1].Leave(t.Context()))
	self, err := r.peers[1].Self(t.Context())
	if err != nil || self.State != "left" || !self.Self {
		t.Errorf("%+v, %v", self, err)
	}
	if got := peersOf(t, r.peers[1]); len(got) != 2 {
		t.Errorf("%d peers", len(got))
	}
}

func TestAgreement(t *testing.T) {
	other := [32]byte{1}
	for _, tc := range []struct {
		name                 string
		said                 map[int]PeerState
		heard, agree, silent int
		behind               []int
	}{
		{"all agree", nil, 4, 4, 0, nil},
		{"one has another pinset", map[int]PeerState{2: {Connected: true, LastHeard: time.Now(), Digest: other}}, 4, 3, 0, []int{2}},
		{"one was never heard", map[int]PeerState{2: {}}, 3, 3, 1, nil},
		{"one was heard long ago", map[int]PeerState{2: {LastHeard: time.Now().Add(-time.Hour), Digest: other}}, 3, 3, 1, nil},
		{"all are silent", map[int]PeerState{1: {}, 2: {}, 3: {}}, 1, 1, 3, nil},
	} {
		r := newRig(t, 4)
		r.peers[0].pin(pinset.Pin{CID: cidN(1)})
		r.peers[0].net.said = tc.said
		a, err := r.peers[0].Agreement(t.Context())
		must(t, 0, err)
		var behind []peer.ID
		for _, i := range tc.behind {
			behind = append(behind, r.ids.ID(i))
		}
		if a.Members != 4 || a.Heard != tc.heard || a.Agree != tc.agree || len(a.Silent) != tc.silent || !slices.Equal(a.Behind, behind) || a.Count != 1 || len(a.Digest) != 64 {
			t.Errorf("%s: %+v", tc.name, a)
		}
	}
}

func TestSeenCountsTheMembersThatAreKnownToHaveIt(t *testing.T) {
	r := newRig(t, 5)
	r.peers[1].says()
	_, receipt, err := r.peers[0].Pin(t.Context(), pinset.Pin{CID: cidN(1)})
	must(t, 0, err)
	for i := 1; i < 5; i++ { // the last that was heard of them is older
		r.peers[0].net.hears(i, &PeerState{Connected: true, LastHeard: time.Now(), Digest: [32]byte{byte(i)}})
	}
	want := 1
	for name, more := range map[string]func(){
		"a statement that covers it": func() { r.peers[1].says() },
		"the same pinset":            func() { r.peers[0].net.hears(2, nil) },
		"the change is its head": func() {
			r.peers[0].net.hears(3, &PeerState{LastHeard: time.Now(), Heads: []cid.Cid{cidN(77), receipt.Head}})
		},
	} {
		more()
		want++
		if n, err := r.peers[0].Seen(t.Context(), receipt); err != nil || n != want {
			t.Errorf("%s: seen by %d, want %d (%v)", name, n, want, err)
		}
	}
}

func TestHealthTellsWhatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(t, 4, identity.DefaultPolicy(), func(i int, rec *identity.Record) {
			if i == 3 {
				rec.Lent = 0
			}
		})
		p := r.peers[0]
		r.peers[1].parts.Faults = []Health{fault{"info-one", pinset.SeverityInfo}, fault{"bad-one", pinset.SeverityError}}
		stop := r.run(t, 0, 1)
		defer stop()
		check := func(name string, p *rigPeer, want ...string) {
			t.Helper()
			if got := faults(p); !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		time.Sleep(time.Minute)
		check("nothing", p)
		check("neighbours' first the worst", r.peers[1], "bad-one", "info-one")
		check("nothing lent", r.peers[3], "nothing-lent")
		p.net.hears(1, &PeerState{Connected: true, LastHeard: time.Now().Add(time.Hour), Digest: [32]byte{1}})
		time.Sleep(time.Minute)
		check("a short disagreement", p)
		time.Sleep(3 * time.Minute)
		check("a long disagreement", p, "disagreement")
		p.net.hears(1, nil)
		time.Sleep(time.Minute)
		check("it is over", p)
		r.split(2)
		check("one is silent", p, "members-silent")
		if h := p.Health(t.Context())[0]; !strings.Contains(h.Title, "1 of 4") || !strings.Contains(h.Detail, "peer2") {
			t.Errorf("%+v", h)
		}
		r.split(0)
		time.Sleep(time.Minute)
		check("alone", p, "alone")
		must(t, 0, r.peers[1].Leave(t.Context()))
		if !hasFault(r.peers[1], "no-member") {
			t.Errorf("after leaving: %q", faults(r.peers[1]))
		}
	})
}

type fault struct {
	code string
	sev  pinset.Severity
}

func (f fault) Health() []pinset.HealthEntry {
	return []pinset.HealthEntry{{Code: f.code, Severity: f.sev}}
}

func TestInviteNamesWhatAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, 0, err)
	defer l.Close()
	open := must2(manet.FromNetAddr(l.Addr()))
	gone := must2(net.Listen("tcp", "127.0.0.1:0"))
	closed := must2(manet.FromNetAddr(gone.Addr()))
	must(t, 0, gone.Close())

	r := newRig(t, 4)
	r.peers[0].net.addrs = []ma.Multiaddr{closed, open}
	r.peers[1].net.addrs = []ma.Multiaddr{open}
	r.peers[2].net.addrs = []ma.Multiaddr{open}
	r.split(2)
	got, err := r.peers[0].Invite(t.Context())
	must(t, 0, err)
	i, err := identity.ParseInvite(got.Text)
	must(t, 0, err)
	if i.Cluster != r.ids.Founding.ID() || i.Secret != r.ids.Secret || i.Name != "test" || len(i.Peers) != 2 {
		t.Errorf("%s, %d peers", i.Name, len(i.Peers))
	}
	if p := i.Peers[0]; p.ID != r.ids.ID(0) || len(p.Addrs) != 2 || !p.Addrs[0].Equal(open) {
		t.Errorf("this peer: %v: what answers goes first", p)
	}
	var answered []bool
	for _, a := range got.Addresses {
		answered = append(answered, a.Error == "")
		if a.Public || !strings.Contains(a.Address, "/p2p/") {
			t.Errorf("%+v", a)
		}
	}
	if !slices.Equal(answered, []bool{true, false, true}) {
		t.Errorf("%+v", got.Addresses)
	}
}

func TestInviteNeedsAMemberWithAnAddress(t *testing.T) {
	r := newRig(t, 2)
	if _, err := r.peers[0].Invite(t.Context()); pinset.KindOf(err) != pinset.KindUnavailable {
		t.Errorf("no address: %v", err)
	}
	must(t, 0, r.peers[1].Leave(t.Context()))
	if _, err := r.peers[1].Invite(t.Context()); pinset.KindOf(err) != pinset.KindForbidden {
		t.Errorf("no member: %v", err)
	}
}

func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		isLeft := func(p *rigPeer) bool {
			select {
			case <-p.Left():
				return true
			default:
				return false
			}
		}
		leave := func(name string, p *rigPeer, atLeast, atMost time.Duration) {
			t.Helper()
			began := time.Now()
			if err := p.Leave(t.Context()); err != nil || !isLeft(p) || r.log.authority.Is(p.self) {
				t.Errorf("%s: %v, left %v", name, err, isLeft(p))
			}
			if took := time.Since(began); took < atLeast || took > atMost {
				t.Errorf("%s: took %s", name, took)
			}
		}
		if err := r.peers[0].Leave(t.Context()); pinset.KindOf(err) != pinset.KindConflict || isLeft(r.peers[0]) || !r.log.authority.Is(r.peers[0].self) {
			t.Errorf("the only admin: %v", err)
		}
		r.log.fail = errors.New("disk full")
		if err := r.peers[2].Leave(t.Context()); err == nil || isLeft(r.peers[2]) {
			t.Errorf("not durable: %v", err)
		}
		r.log.fail = nil
		leave("others hear it", r.peers[2], 0, leaveLook)
		leave("again", r.peers[2], 0, 0)
		r.peers[1].net.said[0], r.peers[1].net.said[2] = PeerState{Connected: true, Digest: [32]byte{1}}, PeerState{}
		leave("nobody hears it", r.peers[1], leaveTime, leaveTime)
		if err := r.peers[0].Leave(t.Context()); pinset.KindOf(err) != pinset.KindConflict || isLeft(r.peers[0]) || pinset.HintOf(err) == "" {
			t.Errorf("the last member: %v", err)
		}
	})
}

func TestRemove(t *testing.T) {
	for _, tc := range []struct {
		name     string
		by, whom int
		kind     pinset.Kind
		ok       bool
	}{
		{"an admin removes", 0, 1, 0, true},
		{"a member removes", 1, 2, pinset.KindForbidden, false},
		{"a stranger is removed", 0, -1, pinset.KindNotFound, false},
	} {
		r := newRig(t, 3)
		id := peer.ID("stranger")
		if tc.whom >= 0 {
			id = r.ids.ID(tc.whom)
		}
		err := r.peers[tc.by].Remove(t.Context(), id)
		if (err == nil) != tc.ok || !tc.ok && pinset.KindOf(err) != tc.kind || tc.ok && r.log.authority.Is(id) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// A node that hangs does not hold up what a member says of itself.
func TestAboutDoesNotWaitForTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.peers[1].node.Break(ipfsclienttest.Faults{Before: ipfsclienttest.On(ipfsclienttest.Hang, ipfsclienttest.OpIdentity)})
		began := time.Now()
		p := peersOf(t, r.peers[0])[r.ids.ID(1)]
		if took := time.Since(began); took >= r.peers[0].cfg.AskTime || p.Used != 42 || p.IPFSError == "" || p.Error != "" {
			t.Errorf("after %s: %+v", took, p)
		}
	})
}
