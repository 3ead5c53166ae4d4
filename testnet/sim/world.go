package sim

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"
	ma "github.com/multiformats/go-multiaddr"
)

// never is the latency of a cut cable.
const never = 100_000 * time.Hour

// Cables are what connects the hosts of a network.
type Cables interface {
	Connect(hosts int, cable func(a, b int) bool) // exactly those pairs
	Heal()                                        // all pairs
	Pull(host int)                                // all of one host's, until Plug
	Plug(host int)
}

// Sites says how the hosts of a network are made.
type Sites interface{ Site(host int) Site }

// Site is where a host listens, under which address others know it, and what its
// network needs.
type Site struct {
	Listen, Known ma.Multiaddr
	Open          bool // gossip.Config.Open
	NewHost       func(...libp2p.Option) (host.Host, error)
}

// World is a simulated network whose hosts are numbered from 0.
type World struct {
	net     *simnet.Simnet
	latency time.Duration // one way

	mu     sync.Mutex
	cut    map[pair]bool
	pulled map[int]bool
}

type pair struct{ a, b int }

func pairOf(a, b int) pair { return pair{min(a, b), max(a, b)} }

// NewWorld starts a network in which a packet takes latency one way.
func NewWorld(latency time.Duration) *World {
	w := &World{latency: latency, cut: make(map[pair]bool), pulled: make(map[int]bool)}
	w.net = &simnet.Simnet{LatencyFunc: w.travel, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	w.net.Start()
	return w
}

// Close ends the network. All hosts must be closed before.
func (w *World) Close() { w.net.Close() }

func (w *World) travel(p *simnet.Packet) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, b := number(p.From), number(p.To)
	if w.cut[pairOf(a, b)] || w.pulled[a] || w.pulled[b] {
		return never
	}
	return w.latency
}

// number returns which host has the address; addresses count from 1.0.0.1.
func number(a net.Addr) int {
	ip := a.(*net.UDPAddr).IP.To4()
	return (int(ip[1])<<16 | int(ip[2])<<8 | int(ip[3])) - 1
}

// Connect sets which pairs of hosts have a cable; all others are cut.
func (w *World) Connect(hosts int, cable func(a, b int) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.cut)
	for a := range hosts {
		for b := range a {
			if !cable(b, a) {
				w.cut[pair{b, a}] = true
			}
		}
	}
}

// Heal lays all cables again.
func (w *World) Heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.cut)
}

// Pull takes all cables of a host, Plug puts them back.
func (w *World) Pull(host int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pulled[host] = true
}

// Plug ends Pull.
func (w *World) Plug(host int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.pulled, host)
}

// Site says how host i is made.
func (w *World) Site(i int) Site {
	const rate = 20 * simlibp2p.OneMbps
	link := simnet.NodeBiDiLinkSettings{Downlink: simnet.LinkSettings{BitsPerSecond: rate}, Uplink: simnet.LinkSettings{BitsPerSecond: rate}}
	addr := ma.StringCast(fmt.Sprintf("/ip4/%s/udp/9096/quic-v1", simnet.IntToPublicIPv4(i)))
	return Site{Listen: addr, Known: addr, Open: true, NewHost: func(opts ...libp2p.Option) (host.Host, error) {
		return libp2p.New(append(opts,
			simlibp2p.QUICSimnet(w.net, link),
			libp2p.DisableIdentifyAddressDiscovery(), // it waits for wall time
			libp2p.ResourceManager(&network.NullResourceManager{}),
		)...)
	}}
}
