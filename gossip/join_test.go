package gossip

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/pinfold/pinfold/gossip/internal/wire"
	"github.com/pinfold/pinfold/identity"
)

func (c *club) invite(ps ...*player) identity.Invite {
	i := identity.Invite{Cluster: c.founding.ID(), Name: "club", Secret: c.secret}
	for _, p := range ps {
		i.Peers = append(i.Peers, p.info())
	}
	return i
}

func TestJoin(t *testing.T) {
	t.Parallel()
	c := newClub(t, 2)
	a := c.play(c.keys[0], nil)
	b := c.play(c.keys[1], bootstrap(a))
	linked(t, a, b)
	a.Announce(a.log.write([]byte("before")))
	agree(t, a, b)

	k := c.key()
	f, err := FetchFounding(t.Context(), Config{Key: k}, c.invite(a), c.record(k))
	if err != nil {
		t.Fatal(err)
	}
	if f.ID() != c.founding.ID() {
		t.Fatalf("founding record of %s, want %s", f.ID(), c.founding.ID())
	}
	j := c.play(k, func(cfg *Config, d *Deps) {
		bootstrap(a)(cfg, d)
		cfg.Record = c.record(k)
	})
	eventually(t, "the candidate has everything", func() bool { return j.log.size() == 1 })
	// its first delta: only the sponsor listens to it, all must get it
	j.Announce(j.log.write([]byte("my record")))
	agree(t, a, b, j)
	c.enrol(k) // what that delta does
	linked(t, a, b, j)
}

func TestJoinRefused(t *testing.T) {
	t.Parallel()
	c := newClub(t, 1)
	a := c.play(c.keys[0], nil)
	other := newClub(t, 1)
	k, foreign := c.key(), c.key()
	badProof, err := identity.Record{Peer: k.ID(), Name: "m", Proof: other.secret.Proof(c.founding.ID(), k.ID()), Seq: 1, Level: 1}.Seal(k, c.founding.ID())
	if err != nil {
		t.Fatal(err)
	}
	wrongCluster, wrongSecret := c.invite(a), c.invite(a)
	wrongCluster.Cluster, wrongSecret.Secret = other.founding.ID(), other.secret
	for _, tc := range []struct {
		name   string
		invite identity.Invite
		record []byte
		want   string
	}{
		{"wrong secret", wrongSecret, c.record(k), "secret or address wrong"},
		{"another cluster", wrongCluster, c.record(k), "another cluster"},
		{"record of somebody else", c.invite(a), c.record(foreign), "another peer's"},
		{"proof of another secret", c.invite(a), badProof, "secret"},
		{"no record", c.invite(a), nil, "envelope"},
		{"garbage", c.invite(a), []byte("garbage"), "envelope"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := FetchFounding(t.Context(), Config{Key: k}, tc.invite, tc.record)
			if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if s := a.gater.standing(k.ID()); s != stranger {
				t.Errorf("standing %d after a refusal", s)
			}
		})
	}
}

func TestAHostThatServesAnotherFoundingRecordIsNotBelieved(t *testing.T) {
	t.Parallel()
	c, other := newClub(t, 1), newClub(t, 1)
	liar, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.PrivateNetwork(c.secret.PSK()), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer liar.Close()
	serve := other.founding.Marshal()
	liar.SetStreamHandler(joinProtocol, func(s network.Stream) {
		_ = wire.WriteMessage(s, wire.Welcome{Founding: serve})
		_ = s.Close()
	})
	k := c.key()
	invite := c.invite()
	invite.Peers = []peer.AddrInfo{{ID: liar.ID(), Addrs: liar.Addrs()}}
	if _, err := FetchFounding(t.Context(), Config{Key: k}, invite, c.record(k)); err == nil || !strings.Contains(err.Error(), "the invite is for") {
		t.Errorf("got %v", err)
	}
}

// outsider makes a bare host that has the private network's key.
func outsider(t *testing.T, secret identity.Secret) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.PrivateNetwork(secret.PSK()), libp2p.DisableMetrics(), libp2p.DisableRelay())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func TestWrongSecretIsCountedPerAddress(t *testing.T) {
	t.Parallel()
	c, other := newClub(t, 1), newClub(t, 1)
	a := c.play(c.keys[0], nil)
	h := outsider(t, other.secret)
	if err := h.Connect(t.Context(), a.info()); err == nil {
		t.Fatal("connected with another secret")
	}
	eventually(t, "counted", func() bool { return a.faults.counted(faultHandshake) == 1 })
	if e := a.Health(); len(e) != 1 || e[0].Code != "handshake-failed" || !strings.Contains(e[0].Detail, "127.0.0.1 (1)") {
		t.Errorf("health %+v", e)
	}
}

// tryProtocol says whether a stream of proto stays open to a stranger.
func tryProtocol(ctx context.Context, h host.Host, to peer.ID, proto protocol.ID) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	s, err := h.NewStream(ctx, to, proto)
	if err != nil {
		return err
	}
	defer s.Reset()
	_ = s.SetDeadline(time.Now().Add(2 * time.Second))
	if err := wire.WriteMessage(s, wire.Request{Greeting: wire.Greeting{Digest: make([]byte, 32)}, Talk: true}); err != nil {
		return err
	}
	_ = s.CloseWrite()
	_, err = wire.ReadFrame(bufio.NewReader(s), wire.MaxAnswer)
	return err
}

func TestAStrangerMayOnlyKnock(t *testing.T) {
	t.Parallel()
	c := newClub(t, 1)
	a := c.play(c.keys[0], nil)
	a.log.write([]byte("secret"))
	h := outsider(t, c.secret)
	if err := h.Connect(t.Context(), a.info()); err != nil {
		t.Fatal(err)
	}
	for _, proto := range []protocol.ID{syncProtocol, askProtocol, "/meshsub/1.1.0"} {
		if err := tryProtocol(t.Context(), h, a.ID(), proto); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: a stranger got an answer (%v)", proto, err)
		}
	}
	if n := a.faults.counted(faultStranger); n != 0 {
		t.Errorf("%d strangers counted while his minute lasts", n)
	}
	a.gater.mu.Lock()
	a.gater.strangers[h.ID()] = knocking{until: time.Now().Add(-time.Second)} // his minute is over
	a.gater.mu.Unlock()
	eventually(t, "dropped", func() bool { return h.Network().Connectedness(a.ID()) == network.NotConnected })
	if n := a.faults.counted(faultStranger); n != 1 {
		t.Errorf("%d strangers counted, want 1", n)
	}
}

// TestAJoinLeavesNoWarning: whoever joins is a member by its own state before the
// others hear of it, and does at once what members do.
func TestAJoinLeavesNoWarning(t *testing.T) {
	t.Parallel()
	c := newClub(t, 2)
	a := c.play(c.keys[0], nil)
	b := c.play(c.keys[1], bootstrap(a))
	linked(t, a, b)
	k := c.key()
	if _, err := FetchFounding(t.Context(), Config{Key: k}, c.invite(a), c.record(k)); err != nil {
		t.Fatal(err)
	}
	a.Cut(b.ID()) // b hears of the joiner from nobody else
	own := c.Authority().With(identity.Entry{Author: k.ID(), Seq: 1, Priority: 1, Key: identity.MemberKey(k.ID()), Value: c.record(k)})
	j := c.play(k, func(cfg *Config, d *Deps) {
		bootstrap(a, b)(cfg, d)
		cfg.Record, d.Authority = c.showable(k), func() *identity.Authority { return own }
	})
	eventually(t, "connected to both", func() bool { return len(j.connected()) == 2 })
	j.Announce(j.log.write([]byte("my record")))
	for range 3 {
		for _, p := range []*player{a, b} {
			for _, err := range j.Ask(t.Context(), p.ID(), []byte("all")) {
				if err == nil {
					t.Error("a candidate was answered")
				}
			}
			j.talk(p.ID())
		}
	}
	agree(t, a, j)
	agree(t, b, j)
	for _, p := range []*player{a, b} {
		p.gater.sweep(time.Now(), nil)
		if h := p.faults.entries(time.Now()); len(h) != 0 {
			t.Errorf("health after a join: %+v", h)
		}
	}
}

func TestARemovedMemberIsDropped(t *testing.T) {
	t.Parallel()
	c, ps := trio(t)
	gone := ps[2]
	c.remove(gone.ID())
	eventually(t, "dropped", func() bool {
		return ps[0].host.Network().Connectedness(gone.ID()) == network.NotConnected &&
			ps[1].host.Network().Connectedness(gone.ID()) == network.NotConnected
	})
	size := ps[0].log.size()
	gone.Announce(gone.log.write([]byte("late")))
	ps[0].Announce(ps[0].log.write([]byte("on")))
	eventually(t, "the others go on", func() bool { return ps[1].log.size() == size+1 })
	if ps[0].log.size() != size+1 {
		t.Error("a removed member's delta was taken")
	}
}

func TestKnockingIsRateLimited(t *testing.T) {
	t.Parallel()
	g := newGater("me", nil, nil, &faults{})
	let := 0
	for range 1000 {
		if g.mayKnock("192.0.2.1") {
			let++
		}
	}
	if let < 30 || let > 32 {
		t.Errorf("%d of 1000 knocks from one address, want 30", let)
	}
	if !g.mayKnock("192.0.2.2") {
		t.Error("another address pays for it")
	}
	for i := range 10 * maxHosts {
		g.mayKnock(fmt.Sprint(i))
	}
	if len(g.limits) > maxHosts {
		t.Errorf("%d addresses are remembered", len(g.limits))
	}
}

func TestStrangersAreFew(t *testing.T) {
	t.Parallel()
	c := newClub(t, 1)
	a := c.play(c.keys[0], nil)
	for range maxStrangers + 8 {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		_ = outsider(t, c.secret).Connect(ctx, a.info())
		cancel()
	}
	eventually(t, "counted", func() bool { return a.faults.counted(faultStranger) >= 8 })
	if n := len(a.host.Network().Peers()); n > maxStrangers {
		t.Errorf("%d strangers are connected", n)
	}
}
