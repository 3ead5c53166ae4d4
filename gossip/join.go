package gossip

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/pinfold/pinfold/gossip/internal/wire"
	"github.com/pinfold/pinfold/identity"
)

const joinProtocol protocol.ID = "/pinfold/join/1"

const (
	maxKnock   = 32 << 10
	maxWelcome = 4 << 20
)

// ErrUnreachable means that no peer of the invite let this one in: its address
// is wrong or away, or the secret is not the cluster's.
var ErrUnreachable = errors.New("no peer of the invite could be reached: secret or address wrong, or all of them are away")

// serveJoin answers /pinfold/join/1: the one thing a stranger may do.
func (n *Network) serveJoin(_ context.Context, s wire.Timed) error {
	p := s.Conn().RemotePeer()
	from := hostOf(s.Conn().RemoteMultiaddr().String())
	if n.gater.standing(p) == stranger && !n.gater.mayKnock(from) {
		n.faults.count(faultKnock, from)
		return errNoStanding
	}
	k, err := wire.ReadMessage[wire.Knock](bufio.NewReader(s), maxKnock)
	if err != nil {
		n.faults.count(faultForm, from)
		return fmt.Errorf("read record: %w", err)
	}
	w := n.welcome(p, k)
	if w.Refused != "" {
		if !n.deps.Authority().Ever(p) { // who was removed and has not heard of it asks to be known, not to join
			n.faults.count(faultKnock, from)
		}
		n.log.Info("refused to let a peer join", "peer", p, "addr", from, "why", w.Refused)
	}
	return wire.WriteMessage(s, w)
}

// welcome judges a record: it must be the knocking peer's own, prove the secret,
// and be one that the state would admit as a first delta.
func (n *Network) welcome(p peer.ID, k *wire.Knock) wire.Welcome {
	if k.Cluster != string(n.cfg.Founding.ID()) {
		return wire.Welcome{Refused: "another cluster"}
	}
	if n.gater.standing(p) != member {
		rec, err := n.deps.Authority().CheckRecord(k.Record)
		if err != nil {
			return wire.Welcome{Refused: err.Error()}
		}
		if rec.Peer != p {
			return wire.Welcome{Refused: "the record is another peer's"}
		}
		if !n.gater.admit(p) {
			return wire.Welcome{Refused: "too many are joining; try later"}
		}
		n.log.Info("a peer is joining", "peer", p, "name", rec.Name)
	}
	return wire.Welcome{Founding: n.cfg.Founding.Marshal(), Book: n.envelopes()}
}

// showRecord makes this peer a candidate at p.
func (n *Network) showRecord(ctx context.Context, p peer.ID) error {
	w, err := knockAt(ctx, n.host, p, wire.Knock{Cluster: string(n.cfg.Founding.ID()), Record: n.cfg.Record})
	if err != nil {
		return err
	}
	for _, env := range w.Book {
		n.learn(env)
	}
	return nil
}

func knockAt(ctx context.Context, h host.Host, p peer.ID, k wire.Knock) (*wire.Welcome, error) {
	ctx, cancel := context.WithTimeout(ctx, wire.Patience)
	defer cancel()
	raw, err := h.NewStream(network.WithNoDial(ctx, "connected before"), p, joinProtocol)
	if err != nil {
		return nil, fmt.Errorf("open %s to %s: %w", joinProtocol, p, err)
	}
	s := wire.Timed{Stream: raw, Limit: wire.Patience}
	defer s.Reset()
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	if err := wire.WriteMessage(s, k); err != nil {
		return nil, fmt.Errorf("show record to %s: %w", p, err)
	}
	w, err := wire.ReadMessage[wire.Welcome](bufio.NewReader(s), maxWelcome)
	if err != nil {
		return nil, fmt.Errorf("read answer of %s: %w", p, err)
	}
	if w.Refused != "" {
		return nil, fmt.Errorf("%w: %s", errRefused, w.Refused)
	}
	return w, nil
}

// FetchFounding asks the invite's peers for the cluster's founding record and
// checks it against the invite. Of the configuration it needs Key, Open and
// NewHost; record is this peer's sealed member record. It returns ErrUnreachable,
// with what each peer answered, when nobody let it in.
func FetchFounding(ctx context.Context, cfg Config, invite identity.Invite, record []byte) (*identity.Founding, error) {
	cfg.Secret, cfg.Relay, cfg.PortMap = invite.Secret, false, false
	cfg = cfg.withDefaults()
	h, err := dialler(cfg)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	problems := []error{ErrUnreachable}
	for _, p := range invite.Peers {
		if p.ID == h.ID() {
			continue
		}
		f, err := foundingFrom(ctx, h, p, invite, record)
		if err == nil {
			return f, nil
		}
		cfg.Log.Info("founding record not fetched", slog.String("peer", p.ID.String()), slog.Any("err", err))
		problems = append(problems, err)
	}
	return nil, errors.Join(problems...)
}

// dialler makes a host that listens nowhere and lets nobody in.
func dialler(cfg Config) (host.Host, error) {
	opts := []libp2p.Option{libp2p.Identity(cfg.Key.Private()), libp2p.NoListenAddrs, libp2p.DisableRelay(), libp2p.DisableMetrics()}
	if !cfg.Open {
		opts = append(opts, libp2p.PrivateNetwork(cfg.Secret.PSK()))
	}
	h, err := cfg.NewHost(opts...)
	if err != nil {
		return nil, fmt.Errorf("make host: %w", err)
	}
	return h, nil
}

func foundingFrom(ctx context.Context, h host.Host, p peer.AddrInfo, invite identity.Invite, record []byte) (*identity.Founding, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime+wire.Patience)
	defer cancel()
	if err := h.Connect(ctx, p); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", p.ID, err)
	}
	w, err := knockAt(ctx, h, p.ID, wire.Knock{Cluster: string(invite.Cluster), Record: record})
	if err != nil {
		return nil, err
	}
	f, err := identity.ParseFounding(w.Founding)
	if err != nil {
		return nil, fmt.Errorf("read founding record of %s: %w", p.ID, err)
	}
	if f.ID() != invite.Cluster {
		return nil, fmt.Errorf("founding record of %s: cluster %s, the invite is for %s", p.ID, f.ID(), invite.Cluster)
	}
	if err := f.CheckSecret(invite.Secret); err != nil {
		return nil, fmt.Errorf("founding record of %s: %w", p.ID, err)
	}
	return f, nil
}
