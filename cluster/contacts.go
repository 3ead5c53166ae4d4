package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"github.com/pinfold/pinfold/canon"
	"github.com/pinfold/pinfold/cluster/internal/ask"
	"github.com/pinfold/pinfold/pinset"
)

const (
	contactPrefix = "/contact/"
	contactFresh  = 10 * time.Minute // an answer about addresses is taken for this long
	connectAgain  = time.Minute      // a connection is not made again within it
	atOnce        = 16               // members that are asked or connected at one time
)

// contacts remembers where the members' IPFS nodes are, over restarts, so that
// data can come from a member whose pinfold is away.
type contacts struct {
	store ds.Datastore

	mu   sync.Mutex
	rows map[peer.ID]contact
}

type contact struct {
	node      pinset.NodeID
	asked     time.Time // when it told them, zero: before the start
	connected time.Time
}

type contactRecord struct {
	Peer  []byte   `cbor:"peer"`
	Addrs []string `cbor:"addrs"`
}

func openContacts(ctx context.Context, store ds.Datastore) (*contacts, error) {
	c := &contacts{store: store, rows: map[peer.ID]contact{}}
	rows, err := store.Query(ctx, query.Query{Prefix: contactPrefix})
	if err != nil {
		return nil, fmt.Errorf("read addresses: %w", err)
	}
	defer rows.Close()
	for row := range rows.Next() {
		if row.Error != nil {
			return nil, fmt.Errorf("read addresses: %w", row.Error)
		}
		id, err := peer.Decode(strings.TrimPrefix(row.Key, contactPrefix))
		var w contactRecord
		if err != nil || canon.Unmarshal(row.Value, &w) != nil {
			continue // it is asked again
		}
		c.rows[id] = contact{node: pinset.NodeID{Peer: peer.ID(w.Peer), Addresses: w.Addrs}}
	}
	return c, nil
}

func (c *contacts) get(id peer.ID) contact {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rows[id]
}

// learn keeps what a member told of its IPFS node.
func (c *contacts) learn(ctx context.Context, id peer.ID, n pinset.NodeID, now time.Time) error {
	if n.Peer == "" {
		return nil
	}
	c.mu.Lock()
	old := c.rows[id]
	same := old.node.Peer == n.Peer && slices.Equal(old.node.Addresses, n.Addresses)
	row := contact{node: n, asked: now, connected: old.connected}
	if !same {
		row.connected = time.Time{}
	}
	c.rows[id] = row
	c.mu.Unlock()
	if same {
		return nil
	}
	b, err := canon.Marshal(contactRecord{Peer: []byte(n.Peer), Addrs: n.Addresses})
	if err == nil {
		err = c.store.Put(ctx, ds.RawKey(contactPrefix+id.String()), b)
	}
	if err != nil {
		return fmt.Errorf("keep addresses of %s: %w", id, err)
	}
	return nil
}

func (c *contacts) connected(id peer.ID, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	row := c.rows[id]
	row.connected = now
	c.rows[id] = row
}

// ConnectHolders brings the IPFS node into contact with those of the holders, and
// with the origins that the pins of c name. It is called beside a fetch, keeps
// its errors to itself, and ends with ctx.
func (m *Members) ConnectHolders(ctx context.Context, c cid.Cid, holders []peer.ID) {
	parts := m.parts.Load()
	if parts == nil {
		return
	}
	g := new(errgroup.Group)
	g.SetLimit(atOnce)
	for _, id := range holders {
		if id != m.self {
			g.Go(func() error { m.connect(ctx, parts.Network, id); return nil })
		}
	}
	g.Go(func() error { m.connectOrigins(ctx, c); return nil })
	_ = g.Wait() // they return none
}

func (m *Members) connect(ctx context.Context, n Network, id peer.ID) {
	row, now := m.contacts.get(id), m.cfg.Now()
	if now.Sub(row.connected) < connectAgain {
		return
	}
	if now.Sub(row.asked) > contactFresh {
		about, err := m.askAbout(ctx, n, id)
		if err == nil {
			row.node = about.IPFS
		} else {
			m.cfg.Log.Debug("addresses of a member's IPFS node not told", "peer", id, "err", err)
		}
	}
	addrs := dialable(row.node)
	if len(addrs) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.NodeTime)
	defer cancel()
	if err := m.base.Node.Connect(ctx, addrs...); err != nil {
		m.cfg.Log.Debug("IPFS node not connected to a member's", "peer", id, "err", err)
		return
	}
	m.contacts.connected(id, now)
}

func (m *Members) connectOrigins(ctx context.Context, c cid.Cid) {
	pins, err := m.base.State.PinsOf(ctx, c)
	var origins []string
	for _, p := range pins {
		origins = append(origins, p.Origins...)
	}
	if err != nil || len(origins) == 0 {
		return
	}
	slices.Sort(origins)
	ctx, cancel := context.WithTimeout(ctx, m.cfg.NodeTime)
	defer cancel()
	if err := m.base.Node.Connect(ctx, slices.Compact(origins)...); err != nil {
		m.cfg.Log.Debug("IPFS node not connected to origins", "cid", c, "err", err)
	}
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
	if err := m.contacts.learn(ctx, id, f.Member.IPFS, m.cfg.Now()); err != nil {
		m.cfg.Log.Warn("addresses not kept", "err", err)
	}
	return *f.Member, nil
}

// dialable returns the addresses of an IPFS node with its id at the end of each.
func dialable(n pinset.NodeID) []string {
	if n.Peer == "" {
		return nil
	}
	var out []string
	suffix := "/p2p/" + n.Peer.String()
	for _, a := range n.Addresses {
		if !strings.HasSuffix(a, suffix) {
			a = strings.TrimSuffix(a, "/") + suffix
		}
		out = append(out, a)
	}
	return out
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
