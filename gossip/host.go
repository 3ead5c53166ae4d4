package gossip

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	ma "github.com/multiformats/go-multiaddr"
)

// hostDeps is what a host needs beside its configuration.
type hostDeps struct {
	gater   *gater
	traffic metrics.Reporter
	relays  func(n int) []peer.AddrInfo // members that may relay for this one
}

// newHost makes the libp2p host: on the private network TCP and WebSocket, since
// nothing else can carry its key; QUIC too when the network is open.
func newHost(cfg Config, d hostDeps) (host.Host, error) {
	conns, err := connmgr.NewConnManager(400, 600)
	if err != nil {
		return nil, fmt.Errorf("make connection manager: %w", err)
	}
	opts := []libp2p.Option{
		libp2p.Identity(cfg.Key.Private()),
		libp2p.ListenAddrs(cfg.Listen...),
		libp2p.ConnectionGater(d.gater),
		libp2p.ConnectionManager(conns),
		libp2p.BandwidthReporter(d.traffic),
		libp2p.UserAgent("pinfold"),
		libp2p.DisableMetrics(),
		// A long split looks like a black hole, and when it heals these would refuse to dial.
		libp2p.UDPBlackHoleSuccessCounter(nil),
		libp2p.IPv6BlackHoleSuccessCounter(nil),
	}
	if cfg.Open {
		opts = append(opts, transports(d.gater, nil), libp2p.Transport(quic.NewTransport))
	} else {
		psk := cfg.Secret.PSK()
		opts = append(opts, transports(d.gater, psk), libp2p.PrivateNetwork(psk))
	}
	if cfg.PortMap {
		opts = append(opts, libp2p.NATPortMap())
	}
	opts = append(opts, relayOptions(cfg, d)...)
	h, err := cfg.NewHost(opts...)
	if err != nil {
		return nil, fmt.Errorf("make host: %w", err)
	}
	return h, nil
}

// realHost makes a host on this machine. Its limits are libp2p's own, but that more
// than eight members may live behind one address: a school, a hackerspace, a
// hoster.
func realHost(opts ...libp2p.Option) (host.Host, error) {
	scaled := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&scaled)
	limits, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(scaled.AutoScale()), rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: 128}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: 128}, {PrefixLength: 48, ConnCount: 512}},
		))
	if err != nil {
		return nil, fmt.Errorf("make resource manager: %w", err)
	}
	h, err := libp2p.New(append(opts, libp2p.ResourceManager(limits))...)
	if err != nil {
		return nil, errors.Join(err, limits.Close())
	}
	return h, nil
}

// relayOptions lets a member that is reachable relay for the others, without
// limits but for members only, and a member that is not look for one that is.
func relayOptions(cfg Config, d hostDeps) []libp2p.Option {
	if !cfg.Relay {
		return []libp2p.Option{libp2p.DisableRelay()}
	}
	res := relay.DefaultResources()
	res.Limit = nil
	res.MaxReservations, res.MaxReservationsPerIP, res.MaxReservationsPerASN = 512, 32, 512
	res.MaxCircuits = 64
	source := func(_ context.Context, num int) <-chan peer.AddrInfo {
		found := d.relays(num)
		out := make(chan peer.AddrInfo, len(found))
		for _, p := range found {
			out <- p
		}
		close(out)
		return out
	}
	return []libp2p.Option{
		libp2p.EnableRelay(),
		libp2p.EnableRelayService(relay.WithResources(res), relay.WithInfiniteLimits(), relay.WithACL(relayACL{d.gater})),
		libp2p.EnableAutoRelayWithPeerSource(source, autorelay.WithMinCandidates(1), autorelay.WithNumRelays(2),
			autorelay.WithBootDelay(10*time.Second), autorelay.WithMinInterval(5*time.Second), autorelay.WithBackoff(2*time.Minute)),
		libp2p.EnableNATService(),
		libp2p.EnableHolePunching(),
	}
}

// relayACL relays between members only.
type relayACL struct{ gater *gater }

func (a relayACL) AllowReserve(p peer.ID, _ ma.Multiaddr) bool {
	return a.gater.standing(p) == member
}

func (a relayACL) AllowConnect(src peer.ID, _ ma.Multiaddr, dest peer.ID) bool {
	return a.gater.standing(src) >= candidate && a.gater.standing(dest) >= candidate
}

// guarded is the host as pubsub sees it. Pubsub opens and accepts its streams as
// soon as a connection is there; a stranger's must wait until he has a standing,
// and end with the connection if he gets none.
type guarded struct {
	host.Host
	gater *gater
}

var errNoStanding = errors.New("peer has no standing")

// wait returns when p has a standing, or has no connection, or ctx ends.
func (g guarded) wait(ctx context.Context, p peer.ID) error {
	for {
		risen := g.gater.risen()
		if g.gater.standing(p) != stranger {
			return nil
		}
		if g.Network().Connectedness(p) != network.Connected {
			return errNoStanding
		}
		select {
		case <-risen:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (g guarded) NewStream(ctx context.Context, p peer.ID, pids ...protocol.ID) (network.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, knockTime)
	defer cancel()
	if err := g.wait(ctx, p); err != nil {
		return nil, err
	}
	return g.Host.NewStream(ctx, p, pids...)
}

func (g guarded) hold(s network.Stream) bool {
	ctx, cancel := context.WithTimeout(context.Background(), knockTime)
	defer cancel()
	if g.wait(ctx, s.Conn().RemotePeer()) != nil {
		_ = s.Reset()
		return false
	}
	return true
}

func (g guarded) SetStreamHandler(pid protocol.ID, h network.StreamHandler) {
	g.Host.SetStreamHandler(pid, func(s network.Stream) {
		if g.hold(s) {
			h(s)
		}
	})
}

func (g guarded) SetStreamHandlerMatch(pid protocol.ID, m func(protocol.ID) bool, h network.StreamHandler) {
	g.Host.SetStreamHandlerMatch(pid, m, func(s network.Stream) {
		if g.hold(s) {
			h(s)
		}
	})
}
