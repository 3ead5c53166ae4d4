package cluster

import (
	"context"
	"iter"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/cluster/internal/abreast"
	"github.com/pinfold/pinfold/cluster/internal/ask"
	"github.com/pinfold/pinfold/pinset"
)

// StatusAll tells everything known of every CID that is in the pinset or at a
// member that can be reached, in the order of the pinset's keys. With local, only
// this peer is asked. Members that need not hold a CID and have nothing of it are
// left out. It holds a batch of each member's answer in memory, never all.
func (c *Cluster) StatusAll(ctx context.Context, local bool) iter.Seq2[pinset.Summary, error] {
	return func(yield func(pinset.Summary, error) bool) {
		ctx, cancel := context.WithTimeout(ctx, c.cfg.StreamTime)
		defer cancel()
		m := &statusMerge{c: c, local: local, byID: map[peer.ID]*abreast.List{}}
		m.open(ctx)
		defer m.close()
		for {
			s, more, err := m.next(ctx)
			if err != nil {
				yield(pinset.Summary{}, err)
				return
			}
			if !more || !yield(s, nil) {
				return
			}
		}
	}
}

// statusMerge walks the pinset and the members' lists side by side: all are in
// the order of the pinset's keys.
type statusMerge struct {
	c     *Cluster
	local bool

	pins    func() ([]pinset.Pin, error, bool)
	stop    func()
	group   []pinset.Pin // the pins of the next CID
	sources []*abreast.List
	byID    map[peer.ID]*abreast.List
}

func (m *statusMerge) open(ctx context.Context) {
	m.pins, m.stop = iter.Pull2(abreast.ByCID(m.c.base.State.Pins(ctx, "")))
	add := func(id peer.ID, list iter.Seq2[pinset.Local, error]) {
		s := abreast.Read(id, list)
		m.sources, m.byID[id] = append(m.sources, s), s
	}
	add(m.c.self, m.c.parts.Tracker.All(ctx))
	if m.local {
		return
	}
	for id := range m.c.reachable() {
		add(id, m.c.list(ctx, id))
	}
}

func (m *statusMerge) close() {
	m.stop()
	for _, s := range m.sources {
		s.Stop()
	}
}

// list asks a member for everything that is there.
func (c *Cluster) list(ctx context.Context, id peer.ID) iter.Seq2[pinset.Local, error] {
	return func(yield func(pinset.Local, error) bool) {
		q, err := ask.Request{What: ask.All}.Encode()
		if err != nil {
			yield(pinset.Local{}, err)
			return
		}
		for b, err := range c.parts.Network.Ask(ctx, id, q) {
			var f ask.Frame
			if err == nil {
				f, err = ask.ParseFrame(b)
			}
			if err != nil {
				yield(pinset.Local{}, err)
				return
			}
			for _, l := range f.Locals {
				if !yield(l, nil) {
					return
				}
			}
		}
	}
}

// next returns the summary of the next CID.
func (m *statusMerge) next(ctx context.Context) (pinset.Summary, bool, error) {
	if err := m.advance(); err != nil {
		return pinset.Summary{}, false, err
	}
	key, k := "", cid.Undef
	see := func(other string, at cid.Cid) {
		if other != "" && (key == "" || other < key) {
			key, k = other, at
		}
	}
	if len(m.group) > 0 {
		see(pinset.CIDPrefix(m.group[0].CID), m.group[0].CID)
	}
	for _, s := range m.sources {
		see(s.Head())
	}
	if key == "" {
		return pinset.Summary{}, false, ctx.Err()
	}
	var pins []pinset.Pin
	if len(m.group) > 0 && pinset.CIDPrefix(m.group[0].CID) == key {
		pins, m.group = m.group, nil
	}
	cl, err := m.c.claimOf(ctx, pins)
	if err != nil {
		return pinset.Summary{}, false, err
	}
	return cl.summary(k, m.collect(ctx, key, k, cl)), true, nil
}

// advance fills what the last CID has used up.
func (m *statusMerge) advance() error {
	if m.group == nil {
		g, err, more := m.pins()
		if err != nil {
			return err
		}
		if m.group = g; !more {
			m.group = []pinset.Pin{}
		}
	}
	for _, s := range m.sources {
		s.Advance()
		if err := s.Err(); err != nil && s.Peer == m.c.self {
			return err
		}
	}
	return nil
}

// collect takes what the sources have of one CID.
func (m *statusMerge) collect(ctx context.Context, key string, k cid.Cid, cl claim) []pinset.Holding {
	var out []pinset.Holding
	for _, id := range cl.holders {
		out = m.one(ctx, out, key, k, cl, id)
	}
	for _, id := range cl.extra {
		if !slices.Contains(cl.holders, id) {
			out = m.one(ctx, out, key, k, cl, id)
		}
	}
	for _, s := range m.sources {
		if !cl.assigned(s.Peer) {
			out = m.one(ctx, out, key, k, cl, s.Peer)
		}
	}
	return out
}

// one appends what one member has of a CID, or what it said before.
func (m *statusMerge) one(ctx context.Context, out []pinset.Holding, key string, k cid.Cid, cl claim, id peer.ID) []pinset.Holding {
	h, s := m.c.blank(cl, id), m.byID[id]
	switch {
	case s == nil && m.local:
		return out
	case s == nil:
		return append(out, m.c.lastWord(ctx, k, cl, id, nil))
	}
	if l, ok := s.Take(key); ok {
		h.Local = l
		return append(out, h)
	}
	switch {
	case s.Err() != nil && h.Assigned:
		return append(out, m.c.lastWord(ctx, k, cl, id, s.Err()))
	case h.Assigned: // it has not come to look at it yet
		h.CID, h.Mode, h.Status = k, cl.mode, pinset.StatusQueued
		return append(out, h)
	case id == m.c.self && m.local:
		h.CID, h.Mode, h.Status = k, cl.mode, pinset.StatusRemote
		return append(out, h)
	}
	return out
}
