package gossip

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/record"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/pinfold/pinfold/gossip/internal/wire"
)

// PeerState is what is known of another member.
type PeerState struct {
	ID        peer.ID
	Connected bool
	Relayed   bool      // over another member
	LastHeard time.Time // zero: not since the process began
	Addrs     []ma.Multiaddr
	Heads     []cid.Cid
	Count     uint64
	Digest    [32]byte
	Blocks    uint64
	Statement uint64 // seq of its latest statement, as it says
	Latency   time.Duration
	Error     string    // of the last dial, if it failed
	Sync      *Progress // a transfer from it that runs now
}

// Progress of a transfer of deltas.
type Progress struct {
	Since  time.Time
	Blocks uint64 // received
	Bytes  uint64 // received, unpacked
	Total  uint64 // blocks expected, about; 0: not known
}

// remote is a row of the book.
type remote struct {
	heard    time.Time
	greeted  time.Time // when it last opened an exchange with us, or we with it
	number   uint64    // of its newest greeting
	greeting Summary
	seq      uint64
	signed   []byte // digest of the signed records it has
	err      string
	attempts int
	next     time.Time // of the next dial
	dialing  bool
	progress *Progress
}

// book is what this peer knows of the others. It is safe for concurrent use.
type book struct {
	mu    sync.Mutex
	peers map[peer.ID]*remote
}

const (
	maxBookPeers = 8192
	firstRetry   = time.Second
	lastRetry    = 2 * time.Minute
)

func newBook() *book { return &book{peers: make(map[peer.ID]*remote)} }

// at returns the row of p. The caller holds mu.
func (b *book) at(p peer.ID) *remote {
	r, ok := b.peers[p]
	if !ok {
		if len(b.peers) >= maxBookPeers {
			for old := range b.peers { // any: they are rebuilt from what arrives
				delete(b.peers, old)
				break
			}
		}
		r = &remote{}
		b.peers[p] = r
	}
	return r
}

func (b *book) with(p peer.ID, f func(*remote)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(b.at(p))
}

// heard notes a greeting and says whether it is news.
func (b *book) heard(p peer.ID, g *wire.Greeting) bool {
	heads, err := wire.ParseCIDs(g.Heads, wire.MaxHeads)
	if err != nil || len(g.Digest) != 32 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.at(p)
	r.heard = time.Now()
	if g.Number <= r.number {
		return false
	}
	r.number, r.seq, r.signed = g.Number, g.Seq, g.Signed
	r.greeting = Summary{Heads: heads, Count: g.Count, Digest: [32]byte(g.Digest), Height: g.Height, Blocks: g.Blocks}
	return true
}

// due picks who shall be dialled now, and marks them.
func (b *book) due(now time.Time, ids []peer.ID, limit int) []peer.ID {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []peer.ID
	for _, p := range ids {
		r := b.at(p)
		if len(out) < limit && !r.dialing && !now.Before(r.next) {
			r.dialing = true
			out = append(out, p)
		}
	}
	return out
}

// dialled notes how a dial ended and when the next one is due.
func (b *book) dialled(p peer.ID, err error) {
	b.with(p, func(r *remote) {
		r.dialing = false
		if err == nil {
			r.attempts, r.err, r.next = 0, "", time.Time{}
			return
		}
		r.err = dialFault(err)
		wait := min(firstRetry<<min(r.attempts, 20), lastRetry)
		r.attempts++
		r.next = time.Now().Add(wait/2 + rand.N(wait))
	})
}

// retry makes everybody due soon: the network is back.
func (b *book) retry(within time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := time.Now()
	for _, r := range b.peers {
		if soon := at.Add(rand.N(within + 1)); r.next.After(soon) {
			r.next, r.attempts = soon, 0
		}
	}
}

// manyMembers is the size up to which everybody connects to everybody.
const manyMembers = 48

// absent lists members and trusted peers that are not connected and should be:
// none once this peer knows that it was removed, for they would only refuse it.
func (n *Network) absent() []peer.ID {
	authority := n.deps.Authority()
	if authority.Ever(n.ID()) && !authority.Is(n.ID()) && !n.presentable(authority) {
		return nil
	}
	var missing []peer.ID
	connected := 0
	see := func(p peer.ID) {
		switch {
		case p == n.ID() || n.gater.blocked(p):
		case n.host.Network().Connectedness(p) == network.Connected:
			connected++
		default:
			missing = append(missing, p)
		}
	}
	for _, m := range authority.Members() {
		see(m.Peer)
	}
	for _, p := range n.cfg.Bootstrap {
		if _, listed := authority.Member(p.ID); !listed && n.gater.standing(p.ID) == member {
			see(p.ID)
		}
	}
	if connected >= manyMembers {
		return nil
	}
	rand.Shuffle(len(missing), func(i, j int) { missing[i], missing[j] = missing[j], missing[i] })
	return missing
}

const (
	dialTime   = 15 * time.Second
	dialsAtOne = 8
)

// reconnect dials who is due.
func (n *Network) reconnect(ctx context.Context) {
	for _, p := range n.book.due(time.Now(), n.absent(), dialsAtOne) {
		n.spawn(func() {
			ctx, cancel := context.WithTimeout(ctx, dialTime)
			defer cancel()
			n.book.dialled(p, n.dial(ctx, p))
		})
	}
}

func (n *Network) dial(ctx context.Context, p peer.ID) error {
	if s, ok := n.host.Network().(interface{ Backoff() *swarm.DialBackoff }); ok {
		s.Backoff().Clear(p) // the book spaces the dials; a second spacing only delays healing
	}
	return n.host.Connect(ctx, peer.AddrInfo{ID: p, Addrs: n.known(p)})
}

// known returns the addresses of p: those it signed, and the configured ones.
func (n *Network) known(p peer.ID) []ma.Multiaddr {
	addrs := n.host.Peerstore().Addrs(p)
	for _, b := range n.cfg.Bootstrap {
		if b.ID == p {
			for _, a := range b.Addrs {
				if !slices.ContainsFunc(addrs, a.Equal) {
					addrs = append(addrs, a)
				}
			}
		}
	}
	return addrs
}

// learn keeps a signed address record of a member. Records of others are not
// kept: the address book is no dump.
func (n *Network) learn(envelope []byte) {
	if len(envelope) == 0 || len(envelope) > wire.MaxEnvelope {
		return
	}
	env, rec, err := record.ConsumeEnvelope(envelope, peer.PeerRecordEnvelopeDomain)
	if err != nil {
		return
	}
	pr, ok := rec.(*peer.PeerRecord)
	if !ok || pr.PeerID == n.ID() || n.gater.standing(pr.PeerID) == stranger {
		return
	}
	if cab, ok := peerstore.GetCertifiedAddrBook(n.host.Peerstore()); ok {
		if fresh, err := cab.ConsumePeerRecord(env, peerstore.PermanentAddrTTL); err == nil && fresh {
			n.book.with(pr.PeerID, func(r *remote) { r.next = time.Time{} })
			signal(n.dialing)
		}
	}
}

// envelope returns the signed address record of p, nil if there is none.
func (n *Network) envelope(p peer.ID) []byte {
	cab, ok := peerstore.GetCertifiedAddrBook(n.host.Peerstore())
	if !ok {
		return nil
	}
	env := cab.GetPeerRecord(p)
	if env == nil {
		return nil
	}
	b, err := env.Marshal()
	if err != nil || len(b) > wire.MaxEnvelope {
		return nil
	}
	return b
}

// envelopes returns the address records of members, this peer's first.
func (n *Network) envelopes() [][]byte {
	var out [][]byte
	add := func(p peer.ID) {
		if b := n.envelope(p); b != nil && len(out) < wire.MaxBook {
			out = append(out, b)
		}
	}
	add(n.ID())
	for _, m := range n.deps.Authority().Members() {
		if m.Peer != n.ID() {
			add(m.Peer)
		}
	}
	return out
}

// Peers returns one row for every other member and every peer the configuration
// names, members sorted by id first.
func (n *Network) Peers() []PeerState {
	authority := n.deps.Authority()
	var out []PeerState
	for _, m := range authority.Members() {
		if m.Peer != n.ID() {
			out = append(out, n.state(m.Peer))
		}
	}
	for _, b := range n.cfg.Bootstrap {
		if _, listed := authority.Member(b.ID); !listed && b.ID != n.ID() && n.gater.standing(b.ID) == member {
			out = append(out, n.state(b.ID))
		}
	}
	return out
}

func (n *Network) state(p peer.ID) PeerState {
	s := PeerState{ID: p, Addrs: n.known(p), Latency: n.host.Peerstore().LatencyEWMA(p)}
	conns := n.host.Network().ConnsToPeer(p)
	s.Connected = len(conns) > 0
	s.Relayed = s.Connected
	for _, c := range conns {
		if _, err := c.RemoteMultiaddr().ValueForProtocol(ma.P_CIRCUIT); err != nil {
			s.Relayed = false
		}
	}
	n.book.with(p, func(r *remote) {
		s.LastHeard, s.Error, s.Statement = r.heard, r.err, r.seq
		s.Heads, s.Count, s.Digest, s.Blocks = r.greeting.Heads, r.greeting.Count, r.greeting.Digest, r.greeting.Blocks
		if r.progress != nil {
			p := *r.progress
			s.Sync = &p
		}
	})
	return s
}
