package cluster

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"github.com/pinfold/pinfold/cluster/internal/ask"
	"github.com/pinfold/pinfold/cluster/internal/contact"
	"github.com/pinfold/pinfold/pinset"
)

// Answer serves a question of another member (package ask). It is safe for
// concurrent use; from is trusted to be a member.
func (m *Members) Answer(ctx context.Context, from peer.ID, question []byte, yield func([]byte) error) error {
	r, err := ask.ParseRequest(question)
	if err != nil {
		return err
	}
	parts := m.parts.Load()
	if parts == nil {
		return pinset.Errorf(pinset.KindUnavailable, "starting; ask again")
	}
	send := func(f ask.Frame) error {
		b, err := f.Encode()
		if err != nil {
			return err
		}
		return yield(b)
	}
	switch r.What {
	case ask.About:
		about := m.about(ctx, parts)
		return send(ask.Frame{Member: &about})
	case ask.All:
		return m.sendAll(ctx, parts.Tracker, send)
	case ask.Prove:
		f, err := m.prove(ctx, r)
		if err != nil {
			return err
		}
		return send(f)
	case ask.Drain, ask.Undrain, ask.Replace:
		if err := m.obey(ctx, from, r); err != nil {
			return err
		}
		return send(ask.Frame{})
	case ask.Recover:
		if !r.CID.Defined() {
			if err := parts.Tracker.RecoverAll(ctx); err != nil {
				return err
			}
			return send(ask.Frame{})
		}
		if err := parts.Tracker.Recover(ctx, r.CID); err != nil {
			return err
		}
	}
	l, err := parts.Tracker.Local(ctx, r.CID)
	if err != nil {
		return err
	}
	return send(ask.Frame{Locals: []pinset.Local{l}})
}

// about is what this peer says of itself.
func (m *Members) about(ctx context.Context, parts *Parts) ask.Member {
	usage := parts.Keeper.Usage()
	out := ask.Member{Version: m.cfg.Version, Used: usage.Used, Queued: usage.Queued, Traffic: usage.Traffic, Pins: m.base.State.Summary().Count}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.AskTime*4/5) // so that the answer still arrives in time
	defer cancel()
	var err error
	if out.IPFS, err = m.base.Node.Identity(ctx); err != nil {
		out.IPFSError = err.Error()
	}
	return out
}

func (m *Members) sendAll(ctx context.Context, t Tracker, send func(ask.Frame) error) error {
	batch := make([]pinset.Local, 0, ask.BatchLocals)
	for l, err := range t.All(ctx) {
		if err != nil {
			return err
		}
		if batch = append(batch, l); len(batch) == cap(batch) {
			if err := send(ask.Frame{Locals: batch}); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return send(ask.Frame{Locals: batch})
}

const (
	contactFresh = 10 * time.Minute // an answer about addresses is taken for this long
	connectAgain = 10 * time.Second // a connection is not made again within it,
	connectRetry = 3 * time.Second  // nor tried again within it when it failed
	nearFresh    = 5 * time.Second  // who can be reached is looked up again after it
	likelyPeers  = 16               // members that are tried for one CID
	atOnce       = 16               // members that are asked or connected at one time
)

// ConnectHolders brings the IPFS node into contact with the origins that the pins of
// c name, and with the nodes of its holders, of whoever pinned it (data that was
// just added is nowhere else yet), and of some other members. It is called beside a
// fetch, keeps its errors to itself, and goes on until ctx ends: who is away now, or
// has only just come, may be the one who has it.
func (m *Members) ConnectHolders(ctx context.Context, c cid.Cid, holders []peer.ID) {
	parts := m.parts.Load()
	if parts == nil {
		return
	}
	var origins sync.WaitGroup
	defer origins.Wait()
	origins.Go(func() { m.connectOrigins(ctx, c) })
	tick := time.NewTicker(connectRetry)
	defer tick.Stop()
	for {
		m.connectAll(ctx, parts.Network, m.sources(ctx, c, parts.Network, holders))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (m *Members) connectAll(ctx context.Context, n Network, ids []peer.ID) {
	g := new(errgroup.Group)
	g.SetLimit(atOnce)
	for _, id := range ids {
		g.Go(func() error { m.connect(ctx, n, id); return nil })
	}
	_ = g.Wait() // they return none
}

// sources are the members that may have c, the likeliest first: its holders, the
// authors of its pins, and of the others that can be reached as many as make
// likelyPeers.
func (m *Members) sources(ctx context.Context, c cid.Cid, n Network, holders []peer.ID) []peer.ID {
	var out []peer.ID
	add := func(id peer.ID) {
		if id != m.self && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	for _, id := range holders {
		add(id)
	}
	if pins, err := m.base.State.PinsOf(ctx, c); err == nil {
		for _, p := range pins {
			if author, _, err := m.base.State.Origin(ctx, p.Key()); err == nil {
				add(author)
			}
		}
	}
	for _, id := range m.near(n) {
		if len(out) < likelyPeers {
			add(id)
		}
	}
	return out
}

// near returns members that can be reached, as of a moment ago: it is asked for
// each fetch.
func (m *Members) near(n Network) []peer.ID {
	now := m.cfg.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.nearAt.IsZero() || now.Sub(m.nearAt) > nearFresh {
		m.nearAt, m.nearIDs = now, nil
		for _, s := range n.Peers() {
			if s.Connected {
				m.nearIDs = append(m.nearIDs, s.ID)
			}
		}
	}
	return m.nearIDs
}

func (m *Members) connect(ctx context.Context, n Network, id peer.ID) {
	row, now := m.contacts.Get(id), m.cfg.Now()
	if now.Sub(row.Connected) < connectAgain || now.Sub(row.Tried) < connectRetry {
		return
	}
	m.contacts.Trying(id, now)
	if now.Sub(row.Asked) > contactFresh {
		about, err := m.askAbout(ctx, n, id)
		if err == nil {
			row.Node = about.IPFS
		} else {
			m.cfg.Log.Debug("addresses of a member's IPFS node not told", "peer", id, "err", err)
		}
	}
	addrs := contact.Addresses(row.Node)
	if len(addrs) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.NodeTime)
	defer cancel()
	if err := m.base.Node.Connect(ctx, addrs...); err != nil {
		m.cfg.Log.Debug("IPFS node not connected to a member's", "peer", id, "err", err)
		m.contacts.Failed(id)
		return
	}
	m.contacts.Connected(id, now)
}

// connectOrigins connects the IPFS node to the peers that the pins of c name.
func (m *Members) connectOrigins(ctx context.Context, c cid.Cid) {
	pins, err := m.base.State.PinsOf(ctx, c)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.NodeTime)
	defer cancel()
	g := new(errgroup.Group)
	g.SetLimit(atOnce)
	for _, addrs := range contact.ByPeer(pins) {
		g.Go(func() error {
			if err := m.base.Node.Connect(ctx, addrs...); err != nil {
				m.cfg.Log.Debug("IPFS node not connected to an origin", "cid", c, "origin", addrs[0], "err", err)
			}
			return nil
		})
	}
	_ = g.Wait() // they return none
}

// askAbout asks a member about itself and remembers its IPFS node.
func (m *Members) askAbout(ctx context.Context, n Network, id peer.ID) (ask.Member, error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.AskTime)
	defer cancel()
	f, err := askOne(ctx, n, id, ask.Request{What: ask.About})
	if err != nil {
		return ask.Member{}, err
	}
	if f.Member == nil {
		return ask.Member{}, pinset.Errorf(pinset.KindUnavailable, "ask %s: empty answer", id)
	}
	if err := m.contacts.Learn(ctx, id, f.Member.IPFS, m.cfg.Now()); err != nil {
		m.cfg.Log.Warn("addresses not kept", "err", err)
	}
	return *f.Member, nil
}

// askOne asks for an answer of one frame. ctx has a deadline.
func askOne(ctx context.Context, n Network, id peer.ID, r ask.Request) (ask.Frame, error) {
	q, err := r.Encode()
	if err != nil {
		return ask.Frame{}, err
	}
	for b, err := range n.Ask(ctx, id, q) {
		if err != nil {
			return ask.Frame{}, pinset.Wrap(pinset.KindUnavailable, err, "ask %s", id)
		}
		return ask.ParseFrame(b)
	}
	return ask.Frame{}, pinset.Errorf(pinset.KindUnavailable, "ask %s: no answer", id)
}
