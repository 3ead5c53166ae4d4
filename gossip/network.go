package gossip

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	ma "github.com/multiformats/go-multiaddr"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/pinfold/pinfold/gossip/internal/wire"
	"github.com/pinfold/pinfold/identity"
)

// Network is one peer's end of a cluster's network. It is safe for concurrent use.
type Network struct {
	cfg  Config
	deps Deps
	log  *slog.Logger

	host    host.Host
	gater   *gater
	book    *book
	faults  *faults
	traffic traffic
	fetcher *fetcher
	outbox  outbox

	following sync.Mutex // held while a genesis is taken over
	inbox     inbox
	pace      pace
	packer    *wire.Packer
	codecs    wire.Codecs

	serving, answering *gate
	patience           time.Duration
	numbers            counter
	sent               atomic.Uint64 // deltas served to others
	beat               chan struct{} // a heartbeat is wanted soon

	talking chan peer.ID  // exchanges to have
	dialing chan struct{} // somebody may be due

	mu    sync.Mutex
	ended bool
	work  sync.WaitGroup
}

// New makes the host and listens. It talks to nobody before Run.
func New(cfg Config, deps Deps) (*Network, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	packer, err := wire.NewPacker()
	if err != nil {
		return nil, err
	}
	n := &Network{
		cfg: cfg, deps: deps, log: cfg.Log.With("component", "gossip"),
		book: newBook(), faults: &faults{}, packer: packer,
		outbox:  outbox{wake: make(chan struct{}, 1)},
		inbox:   inbox{by: make(map[peer.ID]*batch), wake: make(chan struct{}, 1)},
		serving: newGate(servedAtOnce, servedToOne), answering: newGate(askedAtOnce, askedByOne),
		patience: wire.Patience, beat: make(chan struct{}, 1), talking: make(chan peer.ID, 256),
		dialing: make(chan struct{}, 1),
	}
	n.pace.by = make(map[peer.ID]*rate.Limiter)
	n.gater = newGater(cfg.Key.ID(), deps.Authority, cfg.Bootstrap, n.faults)
	n.fetcher = newFetcher(&fetcher{known: deps.Blocks.Known, get: n.fetch, connected: n.connected, spread: n.spread, log: n.log})
	n.host, err = newHost(cfg, hostDeps{gater: n.gater, traffic: &n.traffic, relays: n.relays})
	if err != nil {
		return nil, err
	}
	for _, p := range cfg.Bootstrap {
		n.host.Peerstore().AddAddrs(p.ID, p.Addrs, peerstore.PermanentAddrTTL)
	}
	return n, nil
}

// ID returns this peer's id.
func (n *Network) ID() peer.ID { return n.cfg.Key.ID() }

// Addrs returns the addresses this peer can be reached at, as far as it knows.
func (n *Network) Addrs() []ma.Multiaddr { return n.host.Addrs() }

// Listening returns where it listens, with the ports that the machine chose for 0.
func (n *Network) Listening() []ma.Multiaddr { return n.host.Network().ListenAddresses() }

// Book returns the addresses of all members that are known, this peer left out:
// what the next run's Bootstrap should be.
func (n *Network) Book() []peer.AddrInfo {
	var out []peer.AddrInfo
	for _, s := range n.Peers() {
		if len(s.Addrs) > 0 {
			out = append(out, peer.AddrInfo{ID: s.ID, Addrs: s.Addrs})
		}
	}
	return out
}

// Traffic returns the bytes received and sent since the process began.
func (n *Network) Traffic() (in, out uint64) {
	return uint64(n.traffic.in.Load()), uint64(n.traffic.out.Load())
}

// Close ends what New began. Run does it too.
func (n *Network) Close() error {
	n.mu.Lock()
	ended := n.ended
	n.ended = true
	n.mu.Unlock()
	if ended {
		return nil
	}
	err := n.host.Close()
	n.gater.stir()
	n.packer.Close()
	return err
}

// Run takes part in the cluster until ctx ends, and closes the host.
func (n *Network) Run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		err = errors.Join(err, n.Close())
		n.work.Wait()
	}()
	events, err := n.host.EventBus().Subscribe([]any{new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerConnectednessChanged)})
	if err != nil {
		return fmt.Errorf("subscribe to connections: %w", err)
	}
	defer events.Close()
	n.serve(ctx)
	topic, sub, err := n.join(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	defer sub.Cancel()
	closer, err := n.discover(ctx)
	if err != nil {
		n.log.Warn("members on the local network are not looked for", "err", err)
	} else {
		defer closer.Close()
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, part := range []func(){
		func() { n.publish(ctx, topic) },
		func() { n.listen(ctx, sub) },
		func() { n.receive(ctx) },
		func() { n.fetcher.run(ctx) },
		func() { n.converse(ctx) },
		func() { n.watch(ctx, events) },
		func() { n.tend(ctx) },
	} {
		g.Go(func() error { part(); return nil })
	}
	return g.Wait()
}

// spawn runs f in a goroutine that Run waits for.
func (n *Network) spawn(f func()) {
	if n.begin() {
		go func() {
			defer n.work.Done()
			f()
		}()
	}
}

// begin counts a piece of work that Run waits for; it says no after the end.
func (n *Network) begin() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.ended {
		n.work.Add(1)
	}
	return !n.ended
}

// serve registers the protocols.
func (n *Network) serve(ctx context.Context) {
	for proto, f := range map[protocol.ID]func(context.Context, wire.Timed) error{
		syncProtocol: n.serveSync, joinProtocol: n.serveJoin, askProtocol: n.serveAsk,
	} {
		n.host.SetStreamHandler(proto, func(s network.Stream) {
			if !n.begin() {
				_ = s.Reset()
				return
			}
			defer n.work.Done()
			stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
			defer stop()
			err := f(ctx, wire.Timed{Stream: s, Limit: n.patience})
			if err == nil {
				err = s.Close()
			}
			if err != nil { // and only then: a reset also takes back what was sent
				_ = s.Reset()
				n.log.Debug("stream not served", "protocol", proto, "peer", s.Conn().RemotePeer(), "err", err)
			}
		})
	}
}

// watch follows connections: who has come is greeted, and when the first one
// comes after a silence, the others are tried at once.
func (n *Network) watch(ctx context.Context, events event.Subscription) {
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-events.Out():
			if !ok {
				return
			}
			switch e := e.(type) {
			case event.EvtPeerIdentificationCompleted:
				if n.gater.standing(e.Peer) == member {
					n.talk(e.Peer)
				}
			case event.EvtPeerConnectednessChanged:
				n.gater.stir()
				if e.Connectedness == network.Connected && n.gater.standing(e.Peer) == member {
					n.book.dialled(e.Peer, nil)
					n.book.retry(3 * time.Second)
				}
			}
		}
	}
}

// tend does what is regular: dialling, sweeping, and now and then an exchange
// with a random member, which alone makes two halves one again.
func (n *Network) tend(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	exchange := time.NewTimer(jitter(exchangeEvery))
	defer exchange.Stop()
	n.reconnect(ctx)
	authority := n.deps.Authority()
	for {
		select {
		case <-ctx.Done():
			return
		case <-exchange.C:
			exchange.Reset(jitter(exchangeEvery))
			if p := randomPeer(n.connected()); p != "" {
				n.talk(p)
			}
		case <-n.dialing:
			n.reconnect(ctx)
		case now := <-tick.C:
			for _, p := range n.gater.sweep(now, n.host.Network().Peers()) {
				n.log.Info("connection closed: no member", "peer", p)
				_ = n.host.Network().ClosePeer(p)
			}
			if now := n.deps.Authority(); now != authority {
				authority = now
				n.findAddresses()
			}
			n.reconnect(ctx)
		}
	}
}

// findAddresses asks somebody for addresses if there is a member without one: its
// record may have come before this peer knew that it is a member.
func (n *Network) findAddresses() {
	if p := randomPeer(n.connected()); p != "" && n.addressMissing() {
		n.talk(p)
	}
}

func (n *Network) addressMissing() bool {
	for _, m := range n.deps.Authority().Members() {
		if m.Peer != n.ID() && len(n.host.Peerstore().Addrs(m.Peer)) == 0 {
			return true
		}
	}
	return false
}

const exchangeEvery = 30 * time.Second

// talk queues an exchange with p.
func (n *Network) talk(p peer.ID) {
	select {
	case n.talking <- p:
	default: // many wait; the regular exchange will come
	}
}

// talkSoon queues an exchange unless there was one a moment ago.
func (n *Network) talkSoon(p peer.ID) {
	recent := false
	n.book.with(p, func(r *remote) {
		recent = time.Since(r.greeted) < greetingGap
	})
	if !recent {
		n.talk(p)
	}
}

const talksAtOnce = 4

// converse has the queued exchanges, a few at once.
func (n *Network) converse(ctx context.Context) {
	slots := make(chan struct{}, talksAtOnce)
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-n.talking:
			if n.host.Network().Connectedness(p) != network.Connected {
				continue
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			n.spawn(func() {
				defer func() { <-slots }()
				if err := n.converseWith(ctx, p); err != nil && ctx.Err() == nil {
					n.log.Debug("exchange failed", "peer", p, "err", err)
				}
			})
		}
	}
}

// converseWith has an exchange with p, which hears of this peer's record first if
// the state does not list it, and in the end if p does not know of that yet.
func (n *Network) converseWith(ctx context.Context, p peer.ID) error {
	a := n.deps.Authority()
	show := n.presentable(a)
	if show && !a.Is(n.ID()) {
		if err := n.showRecord(ctx, p); err != nil {
			return err
		}
		show = false
	}
	var first bool
	n.book.with(p, func(r *remote) { first = r.greeted.IsZero() || time.Since(r.greeted) > 5*time.Minute })
	err := n.exchange(ctx, p, first || n.addressMissing())
	if err == nil || !show || ctx.Err() != nil {
		return err
	}
	if err := n.showRecord(ctx, p); err != nil {
		return err
	}
	return n.exchange(ctx, p, true)
}

// presentable says whether the record to show is worth it: who was removed and
// knows it is only refused.
func (n *Network) presentable(a *identity.Authority) bool {
	_, err := a.CheckRecord(n.cfg.Record)
	return err == nil
}

// spread asks for a heartbeat soon: the others may lack what this peer got.
func (n *Network) spread() { signal(n.beat) }

// connected lists the members that have a connection, in random order.
func (n *Network) connected() []peer.ID {
	var out []peer.ID
	for _, p := range n.host.Network().Peers() {
		if n.host.Network().Connectedness(p) == network.Connected && n.gater.standing(p) >= candidate {
			out = append(out, p)
		}
	}
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// relays lists up to num connected members that may relay for this one.
func (n *Network) relays(num int) []peer.AddrInfo {
	if n.host == nil {
		return nil // still being made
	}
	var out []peer.AddrInfo
	for _, p := range n.connected() {
		if len(out) < num && n.gater.standing(p) == member {
			out = append(out, peer.AddrInfo{ID: p, Addrs: n.known(p)})
		}
	}
	return out
}

// alone says that no member is connected though there are others.
func (n *Network) alone() (HealthEntry, bool) {
	others := len(n.Peers())
	if others == 0 || len(n.connected()) > 0 {
		return HealthEntry{}, false
	}
	return HealthEntry{
		Code: "alone", Severity: "warning", Title: "no other member is connected",
		Detail: fmt.Sprintf("%d others are known", others), Do: "check this machine's network; `pinfold peers` shows what each dial found",
	}, true
}

// Cut closes the connections to these peers and lets no new ones come: a split
// for tests. Heal ends it.
func (n *Network) Cut(ids ...peer.ID) {
	n.gater.block(ids)
	for _, p := range ids {
		_ = n.host.Network().ClosePeer(p)
	}
}

// Heal undoes every Cut and dials at once.
func (n *Network) Heal() {
	n.gater.unblock()
	n.book.retry(0)
	signal(n.dialing)
}

// discover looks for members on the local network. The service's name tells
// nobody which cluster it is who does not know its id.
func (n *Network) discover(ctx context.Context) (io.Closer, error) {
	if !n.cfg.MDNS {
		return io.NopCloser(nil), nil
	}
	sum := sha256.Sum256([]byte("pinfold/mdns/1\x00" + string(n.cfg.Founding.ID())))
	s := mdns.NewMdnsService(n.host, "_pf-"+hex.EncodeToString(sum[:5])+"._udp", found(func(p peer.AddrInfo) {
		if ctx.Err() != nil || n.gater.standing(p.ID) != member {
			return
		}
		n.host.Peerstore().AddAddrs(p.ID, p.Addrs, peerstore.TempAddrTTL)
		n.book.with(p.ID, func(r *remote) { r.next = time.Time{} })
	}))
	if err := s.Start(); err != nil {
		return nil, fmt.Errorf("start mdns: %w", err)
	}
	return s, nil
}

type found func(peer.AddrInfo)

func (f found) HandlePeerFound(p peer.AddrInfo) { f(p) }

// lacks says whether a head is not admitted here.
func (n *Network) lacks(ctx context.Context, heads []cid.Cid) bool {
	for _, h := range heads {
		if ok, err := n.deps.Blocks.Known(ctx, h); err != nil || !ok {
			return true
		}
	}
	return false
}

// feed yields deltas one by one.
func feed(blocks [][]byte) func() ([]byte, error) {
	return func() ([]byte, error) {
		if len(blocks) == 0 {
			return nil, io.EOF
		}
		raw := blocks[0]
		blocks = blocks[1:]
		return raw, nil
	}
}

// pubsubLog is pubsub's logger: its warnings are our debug lines.
func (n *Network) pubsubLog() *slog.Logger { return slog.New(slog.DiscardHandler) }
