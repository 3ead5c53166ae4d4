package gossip

import (
	"maps"
	"net"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"golang.org/x/time/rate"

	"github.com/pinfold/pinfold/identity"
)

// standing is what a peer may do here.
type standing uint8

const (
	stranger  standing = iota // may knock, for a minute
	candidate                 // showed a valid record: may sync and announce
	member
)

const (
	knockTime     = time.Minute    // that a stranger's connection lasts
	candidateTime = 24 * time.Hour // first syncs over a slow line take long
	maxStrangers  = 16             // connections
	maxCandidates = 256
	maxHosts      = 1024 // remote addresses with a limit of their own
	maxWaiting    = 24   // handshakes of one host
)

// knocking is a stranger's time to get a standing.
type knocking struct {
	until time.Time
	host  string
}

// gater decides who gets a connection. It implements connmgr.ConnectionGater and
// is safe for concurrent use.
type gater struct {
	self      peer.ID
	authority func() *identity.Authority
	trusted   map[peer.ID]bool // named by the invite or the configuration
	faults    *faults

	mu         sync.Mutex
	cut        map[peer.ID]bool
	candidates map[peer.ID]time.Time // until when
	strangers  map[peer.ID]knocking
	waiting    map[string]int // handshakes under way, by host
	limits     map[string]*rate.Limiter
	changed    chan struct{} // closed and replaced when somebody's standing rose
}

func newGater(self peer.ID, authority func() *identity.Authority, trusted []peer.AddrInfo, f *faults) *gater {
	g := &gater{
		self: self, authority: authority, faults: f,
		trusted:    make(map[peer.ID]bool, len(trusted)),
		cut:        make(map[peer.ID]bool),
		candidates: make(map[peer.ID]time.Time),
		strangers:  make(map[peer.ID]knocking),
		waiting:    make(map[string]int),
		limits:     make(map[string]*rate.Limiter),
		changed:    make(chan struct{}),
	}
	for _, p := range trusted {
		g.trusted[p.ID] = true
	}
	return g
}

// standing of a peer. Those whom the invite names count as members until the
// state says that they were removed.
func (g *gater) standing(p peer.ID) standing {
	a := g.authority()
	if _, ok := a.Member(p); ok {
		return member
	}
	if g.trusted[p] && !a.Ever(p) {
		return member
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if until, ok := g.candidates[p]; ok && time.Now().Before(until) {
		return candidate
	}
	return stranger
}

// admit makes a peer that proved the secret a candidate.
func (g *gater) admit(p peer.ID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.candidates[p]; !ok && len(g.candidates) >= maxCandidates {
		return false
	}
	g.candidates[p] = time.Now().Add(candidateTime)
	delete(g.strangers, p)
	g.rose()
	return true
}

// rose wakes whoever waits for a standing. The caller holds mu.
func (g *gater) rose() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// risen returns a channel that is closed when somebody's standing rises.
func (g *gater) risen() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changed
}

// stir makes those who wait for a standing look again.
func (g *gater) stir() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rose()
}

func (g *gater) block(ids []peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range ids {
		g.cut[p] = true
	}
}

func (g *gater) unblock() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.cut)
}

func (g *gater) blocked(p peer.ID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cut[p]
}

// mayKnock takes one token of the remote address: a burst of 30, then one in two
// seconds.
func (g *gater) mayKnock(host string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l, ok := g.limits[host]
	if !ok {
		if len(g.limits) >= maxHosts {
			clear(g.limits) // a flood from everywhere: forget, and count anew
		}
		l = rate.NewLimiter(rate.Every(2*time.Second), 30)
		g.limits[host] = l
	}
	return l.Allow()
}

// sweep lets strangers' and candidates' time run out and returns the peers whose
// connections must be closed. Peers tells who is connected.
func (g *gater) sweep(now time.Time, peers []peer.ID) (drop []peer.ID) {
	g.expire(now)
	for _, p := range peers {
		s := g.standing(p)
		g.mu.Lock()
		_, known := g.strangers[p]
		switch {
		case s != stranger && known: // the state made a stranger a member
			delete(g.strangers, p)
			g.rose()
		case s == stranger && !known: // removed, or its time is over
			drop = append(drop, p)
		}
		g.mu.Unlock()
	}
	return drop
}

// expire counts strangers whose time ran out: who joins is one for a moment, to
// some members until they have heard of it.
func (g *gater) expire(now time.Time) {
	g.mu.Lock()
	maps.DeleteFunc(g.candidates, func(_ peer.ID, until time.Time) bool { return now.After(until) })
	late := make(map[peer.ID]string)
	maps.DeleteFunc(g.strangers, func(p peer.ID, k knocking) bool {
		if now.After(k.until) {
			late[p] = k.host
		}
		return now.After(k.until)
	})
	g.mu.Unlock()
	for p, host := range late {
		if g.standing(p) == stranger {
			g.faults.count(faultStranger, host)
		}
	}
}

func (g *gater) InterceptPeerDial(p peer.ID) bool {
	return !g.blocked(p) && g.standing(p) != stranger
}

func (g *gater) InterceptAddrDial(p peer.ID, _ ma.Multiaddr) bool { return !g.blocked(p) }

func (g *gater) InterceptAccept(network.ConnMultiaddrs) bool { return true }

// wait says whether a host may begin another handshake; waited ends it.
func (g *gater) wait(host string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting[host] >= maxWaiting {
		g.faults.count(faultCrowd, host)
		return false
	}
	g.waiting[host]++
	return true
}

func (g *gater) waited(host string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting[host]--; g.waiting[host] <= 0 {
		delete(g.waiting, host)
	}
}

func (g *gater) InterceptSecured(dir network.Direction, p peer.ID, c network.ConnMultiaddrs) bool {
	if a, ok := c.(*arrival); ok {
		a.settled()
	}
	if g.blocked(p) {
		return false
	}
	if g.standing(p) != stranger {
		return true
	}
	if dir == network.DirOutbound { // removed while we dialled
		return false
	}
	host := hostOf(c.RemoteMultiaddr().String())
	if !g.mayKnock(host) {
		g.faults.count(faultStranger, host)
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.strangers[p]; !ok && len(g.strangers) >= maxStrangers {
		g.faults.count(faultStranger, host)
		return false
	}
	if _, ok := g.strangers[p]; !ok { // coming again does not buy more time
		g.strangers[p] = knocking{until: time.Now().Add(knockTime), host: host}
	}
	return true
}

func (g *gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }

// hostOf returns the address without its port: what the limits count by.
func hostOf(addr string) string {
	m, err := ma.NewMultiaddr(addr)
	if err != nil {
		return addr
	}
	if na, err := manet.ToNetAddr(m); err == nil {
		if host, _, err := net.SplitHostPort(na.String()); err == nil {
			return host
		}
	}
	first, _ := ma.SplitFirst(m)
	if first == nil {
		return addr
	}
	return first.Value()
}
