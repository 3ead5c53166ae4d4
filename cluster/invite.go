package cluster

import (
	"context"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"golang.org/x/sync/errgroup"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

const (
	invitePeers = 6 // in one invite, this one included
	inviteAddrs = 4 // of each
	dialTime    = 3 * time.Second
)

// Invite makes an invite to this cluster. It names this peer and some that are
// connected, with addresses that answered; those that did not are named too, last,
// since a home router often hides an address from its own inside. It is a secret.
func (c *Cluster) Invite(ctx context.Context) (pinset.Invite, error) {
	a := c.base.State.Authority()
	if !a.Is(c.self) {
		return pinset.Invite{}, c.mayWrite()
	}
	found := []peer.AddrInfo{{ID: c.self, Addrs: c.parts.Network.Addrs()}}
	for _, s := range c.parts.Network.Peers() {
		if s.Connected && a.Is(s.ID) && len(found) < invitePeers {
			found = append(found, peer.AddrInfo{ID: s.ID, Addrs: s.Addrs})
		}
	}
	invite := identity.Invite{Cluster: c.cfg.Founding.ID(), Name: c.cfg.Founding.Name(), Secret: c.cfg.Secret}
	var out pinset.Invite
	for i, tested := range testAll(ctx, found) {
		info := found[i]
		if tested = tested[:min(len(tested), inviteAddrs)]; len(tested) == 0 {
			continue
		}
		row := peer.AddrInfo{ID: info.ID}
		for _, t := range tested {
			row.Addrs = append(row.Addrs, t.addr)
			out.Addresses = append(out.Addresses, pinset.TestedAddress{
				Address: t.addr.String() + "/p2p/" + info.ID.String(), Public: t.public, Error: t.err,
			})
		}
		invite.Peers = append(invite.Peers, row)
	}
	if len(invite.Peers) == 0 {
		return pinset.Invite{}, pinset.Errorf(pinset.KindUnavailable, "invite: this peer has no address at which others could reach it").
			WithHint("see network.listen in `pinfold config show`")
	}
	if out.Text = invite.String(); out.Text == "" {
		return pinset.Invite{}, pinset.Errorf(pinset.KindInternal, "invite: does not fit")
	}
	return out, nil
}

// usable drops loopback and link-local addresses where there are others.
func usable(addrs []ma.Multiaddr) []ma.Multiaddr {
	var far []ma.Multiaddr
	for _, a := range addrs {
		if !manet.IsIPLoopback(a) && !manet.IsIP6LinkLocal(a) && !manet.IsIPUnspecified(a) {
			far = append(far, a)
		}
	}
	if len(far) == 0 {
		return addrs
	}
	return far
}

type testedAddr struct {
	addr   ma.Multiaddr
	public bool
	err    string // "" when it answered
}

// rank: what answers goes first, of it what is public.
func (t testedAddr) rank() int {
	n := 0
	if t.err != "" {
		n += 2
	}
	if !t.public {
		n++
	}
	return n
}

// testAll connects to each address, all at once; the best ones of each peer come
// first. What cannot be tested from here (relayed, UDP) counts as an answer.
func testAll(ctx context.Context, peers []peer.AddrInfo) [][]testedAddr {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	out := make([][]testedAddr, len(peers))
	g := new(errgroup.Group)
	for i, p := range peers {
		for _, a := range usable(p.Addrs) {
			out[i] = append(out[i], testedAddr{addr: a, public: isPublic(a)})
		}
		for j := range out[i] {
			g.Go(func() error {
				if err := dial(ctx, out[i][j].addr); err != nil {
					out[i][j].err = plain(err)
				}
				return nil
			})
		}
	}
	_ = g.Wait() // they return none
	for _, tested := range out {
		slices.SortStableFunc(tested, func(a, b testedAddr) int { return a.rank() - b.rank() })
	}
	return out
}

// isPublic says whether an address may be reached from anywhere: a public IP, or
// a name.
func isPublic(a ma.Multiaddr) bool {
	if manet.IsPublicAddr(a) {
		return true
	}
	first, _ := ma.SplitFirst(a)
	return first != nil && strings.HasPrefix(first.Protocol().Name, "dns")
}

func dial(ctx context.Context, a ma.Multiaddr) error {
	network, host, err := manet.DialArgs(a)
	if err != nil || !strings.HasPrefix(network, "tcp") || strings.Contains(a.String(), "/p2p-circuit") {
		return nil
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, host)
	if err != nil {
		return err
	}
	return conn.Close()
}

// plain shortens the error of a dial to its reason.
func plain(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		return text[i+2:]
	}
	return text
}
