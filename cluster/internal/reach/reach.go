package reach

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
)

const dialTime = 3 * time.Second

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

// Tested is an address and what a connection to it found.
type Tested struct {
	Addr   ma.Multiaddr
	Public bool   // a public IP, or a name
	Err    string // "" when it answered, or cannot be tested from here
}

// rank: what answers goes first, of it what is public.
func (t Tested) rank() int {
	n := 0
	if t.Err != "" {
		n += 2
	}
	if !t.Public {
		n++
	}
	return n
}

// Test connects to each address, all at once; the best ones of each peer come
// first. What cannot be tested from here (relayed, UDP) counts as an answer.
func Test(ctx context.Context, peers []peer.AddrInfo) [][]Tested {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	out := make([][]Tested, len(peers))
	g := new(errgroup.Group)
	for i, p := range peers {
		for _, a := range usable(p.Addrs) {
			out[i] = append(out[i], Tested{Addr: a, Public: isPublic(a)})
		}
		for j := range out[i] {
			g.Go(func() error {
				if err := dial(ctx, out[i][j].Addr); err != nil {
					out[i][j].Err = plain(err)
				}
				return nil
			})
		}
	}
	_ = g.Wait() // they return none
	for _, tested := range out {
		slices.SortStableFunc(tested, func(a, b Tested) int { return a.rank() - b.rank() })
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
