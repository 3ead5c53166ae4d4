package ipfsnode

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/boxo/bitswap"
	bsnet "github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/peering"
	"github.com/ipfs/boxo/verifcid"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/conngater"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/pinfold/pinfold/ipfsnode/store"
	"github.com/pinfold/pinfold/pinset"
)

// swarm is the node among other IPFS nodes: a libp2p host, bitswap on it, and the
// connections to members that it keeps.
type swarm struct {
	cfg     Config
	host    host.Host
	gater   *conngater.BasicConnectionGater
	bitswap *bitswap.Bitswap
	fetcher *fetcher
	sent    *pace
	peering *peering.PeeringService
	dag     ipld.DAGService
	cancel  context.CancelFunc

	exchanges *exchanges
}

func newSwarm(cfg Config, st *store.Store) (*swarm, error) {
	conns, err := connmgr.NewConnManager(32, 96, connmgr.WithGracePeriod(time.Minute))
	if err != nil {
		return nil, fmt.Errorf("start IPFS node's host: %w", err)
	}
	gater, err := conngater.NewBasicConnectionGater(nil)
	if err != nil {
		return nil, fmt.Errorf("start IPFS node's host: %w", err)
	}
	opts := []libp2p.Option{
		libp2p.ConnectionGater(gater),
		libp2p.Identity(cfg.Key), libp2p.UserAgent(cfg.Agent), libp2p.ListenAddrs(cfg.Listen...),
		libp2p.Transport(tcp.NewTCPTransport), libp2p.Transport(quic.NewTransport),
		libp2p.ConnectionManager(conns), libp2p.DisableRelay(), libp2p.DisableMetrics(),
		libp2p.ForceReachabilityPublic(), // keeps AutoNAT from asking around
	}
	if len(cfg.Listen) == 0 {
		opts = append(opts, libp2p.NoListenAddrs)
	}
	if cfg.PortMap {
		opts = append(opts, libp2p.NATPortMap())
	}
	h, err := libp2p.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("start IPFS node's host: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background()) // until close
	s := &swarm{cfg: cfg, host: h, gater: gater, cancel: cancel, peering: peering.NewPeeringService(h), exchanges: &exchanges{with: map[peer.ID]flow{}},
		sent: newPace(cfg.SendRate)}
	bs := blockstore{st}
	s.bitswap = bitswap.New(ctx, bsnet.NewFromIpfsHost(h), nil, sending{bs, s.sent},
		bitswap.WithPeerBlockRequestFilter(func(p peer.ID, _ cid.Cid) bool { return cfg.Allowed(p) }),
		bitswap.EngineBlockstoreWorkerCount(8), bitswap.EngineTaskWorkerCount(4), bitswap.TaskWorkerCount(4),
		bitswap.WithoutDuplicatedBlockStats(), bitswap.ProviderSearchDelay(time.Second), bitswap.WithTracer(s.exchanges),
	)
	s.fetcher = newFetcher(s.bitswap, st)
	s.fetcher.pace = newPace(cfg.FetchRate)
	s.dag = merkledag.NewDAGService(blockservice.New(bs, s.fetcher))
	if err := s.peering.Start(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *swarm) close() error {
	s.peering.Stop()
	s.cancel()
	return errors.Join(s.bitswap.Close(), s.host.Close())
}

// arrived tells those who wait for a block, here and elsewhere, that it is here.
func (s *swarm) arrived(ctx context.Context, b blocks.Block) {
	// It fails only while the node closes.
	_ = s.bitswap.NotifyNewBlocks(ctx, b)
}

// checkHash refuses hash functions that IPFS nodes do not serve.
func checkHash(c cid.Cid) error {
	if err := verifcid.ValidateCid(verifcid.DefaultAllowlist, c); err != nil {
		return pinset.Invalid("cid %s: %w", c, err)
	}
	return nil
}

func isNotFound(err error) bool { return err != nil && ipld.IsNotFound(err) }

// Identity returns the node's peer ID, its addresses with /p2p/, and its agent.
func (n *Node) Identity(context.Context) (pinset.NodeID, error) {
	h := n.swarm.host
	addrs, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()})
	if err != nil {
		return pinset.NodeID{}, fmt.Errorf("list addresses: %w", err)
	}
	id := pinset.NodeID{Peer: h.ID(), Agent: n.cfg.Agent}
	for _, a := range addrs {
		id.Addresses = append(id.Addresses, a.String())
	}
	return id, nil
}

// Sign signs as `ipfs key sign` does.
func (n *Node) Sign(_ context.Context, data []byte) ([]byte, error) {
	sig, err := n.cfg.Key.Sign(append([]byte("libp2p-key signed message:"), data...))
	if err != nil {
		return nil, fmt.Errorf("sign with IPFS node's key: %w", err)
	}
	return sig, nil
}

// Connect connects to every peer among the addresses, which end in /p2p/, by
// whichever of its addresses answers first. Connections to peers that are allowed
// are kept: protected, and made again when they break. The error names every peer
// that did not answer.
func (n *Node) Connect(ctx context.Context, addrs ...string) error {
	var parsed []ma.Multiaddr
	for _, a := range addrs {
		m, err := ma.NewMultiaddr(a)
		if err != nil {
			return pinset.Invalid("address %q: %w", a, err)
		}
		parsed = append(parsed, m)
	}
	infos, err := peer.AddrInfosFromP2pAddrs(parsed...)
	if err != nil {
		return pinset.Invalid("addresses %q: %w", addrs, err)
	}
	infos = slices.DeleteFunc(infos, func(i peer.AddrInfo) bool { return i.ID == n.swarm.host.ID() })
	errs := make([]error, len(infos))
	var wg sync.WaitGroup
	for i, info := range infos {
		if n.cfg.Allowed(info.ID) {
			n.swarm.peering.AddPeer(info)
		}
		wg.Go(func() {
			if err := n.swarm.host.Connect(ctx, info); err != nil {
				errs[i] = pinset.Wrap(pinset.KindUnavailable, err, "connect %s", info.ID)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// forget stops keeping connections to peers that are no longer allowed.
func (s *swarm) forget() {
	for _, info := range s.peering.ListPeers() {
		if !s.cfg.Allowed(info.ID) {
			s.peering.RemovePeer(info.ID)
		}
	}
}

// blockstore is the store as boxo wants it.
type blockstore struct{ st *store.Store }

func (b blockstore) Has(ctx context.Context, c cid.Cid) (bool, error) {
	_, err := b.st.Size(ctx, c)
	if isNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

func (b blockstore) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	data, err := b.st.Get(ctx, c)
	if err != nil {
		return nil, err
	}
	return blocks.NewBlockWithCid(data, c)
}

func (b blockstore) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	size, err := b.st.Size(ctx, c)
	if err != nil {
		return -1, err
	}
	return size, nil
}

func (b blockstore) Put(ctx context.Context, blk blocks.Block) error { return b.st.Keep(ctx, blk) }

func (b blockstore) PutMany(ctx context.Context, blks []blocks.Block) error {
	for _, blk := range blks {
		if err := b.st.Keep(ctx, blk); err != nil {
			return err
		}
	}
	return nil
}

func (b blockstore) DeleteBlock(context.Context, cid.Cid) error { return errors.ErrUnsupported }

func (b blockstore) AllKeysChan(context.Context) (<-chan cid.Cid, error) {
	return nil, errors.ErrUnsupported
}
