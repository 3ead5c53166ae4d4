package cluster

import (
	"context"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"github.com/pinfold/pinfold/cluster/internal/ask"
	"github.com/pinfold/pinfold/cluster/internal/roster"
	"github.com/pinfold/pinfold/cluster/internal/statement"
	"github.com/pinfold/pinfold/pinset"
)

// claim is who shall hold one CID, all its pins together.
type claim struct {
	pins    []pinset.Pin
	size    uint64 // as members published it
	want    pinset.Replication
	mode    pinset.Mode
	need    int    // copies promised
	reason  string // why some of them cannot be made
	holders []peer.ID
	binding map[peer.ID]bool
	extra   []peer.ID // mirrors: they hold it too
}

// claimOf allocates every pin of a CID.
func (c *Cluster) claimOf(ctx context.Context, pins []pinset.Pin) (claim, error) {
	cl := claim{pins: pins, mode: pinset.Direct, binding: map[peer.ID]bool{}}
	if len(pins) == 0 {
		return cl, nil
	}
	size, err := c.base.State.Size(ctx, pins[0].CID)
	if err != nil {
		return cl, err
	}
	cl.size = size
	view, policy := c.View(), c.base.State.Authority().Policy()
	for _, p := range pins {
		at := view.Allocate(roster.Item(p, size))
		for i, id := range at.Holders {
			if !slices.Contains(cl.holders, id) {
				cl.holders = append(cl.holders, id)
			}
			cl.binding[id] = cl.binding[id] || i < at.Binding
		}
		for _, id := range at.Mirrors {
			if !slices.Contains(cl.extra, id) {
				cl.extra = append(cl.extra, id)
			}
		}
		if at.Short > 0 && cl.reason == "" {
			cl.reason = at.Reason
		}
		want := p.Replication.Or(pinset.Replication{Min: policy.Min, Max: policy.Max})
		if need := at.Binding + at.Short; need > cl.need || cl.want.IsDefault() {
			cl.need, cl.want = max(need, cl.need), want
		}
		if p.Mode == pinset.Recursive {
			cl.mode = pinset.Recursive
		}
	}
	return cl, nil
}

func (cl claim) assigned(id peer.ID) bool {
	return slices.Contains(cl.holders, id) || slices.Contains(cl.extra, id)
}

// Status tells everything known of one CID. With local, only this peer is asked.
// A CID that is not in the pinset has no pins in its summary.
func (c *Cluster) Status(ctx context.Context, k cid.Cid, local bool) (pinset.Summary, error) {
	if !k.Defined() {
		return pinset.Summary{}, pinset.Invalid("cid: missing")
	}
	cl, err := c.claimAt(ctx, k)
	if err != nil {
		return pinset.Summary{}, err
	}
	var holdings []pinset.Holding
	if local {
		h, err := c.holding(ctx, k, cl, c.self)
		if err != nil {
			return pinset.Summary{}, err
		}
		holdings = append(holdings, h)
	} else {
		holdings = c.holdings(ctx, k, cl)
	}
	return cl.summary(k, holdings), nil
}

func (c *Cluster) claimAt(ctx context.Context, k cid.Cid) (claim, error) {
	pins, err := c.base.State.PinsOf(ctx, k)
	if err != nil {
		return claim{}, err
	}
	return c.claimOf(ctx, pins)
}

// askedAll is the number of connected members up to which all are asked about one
// CID; in a larger cluster only those who shall have it.
const askedAll = 48

// holdings asks this peer, whoever shall hold k, and the others that are there.
func (c *Cluster) holdings(ctx context.Context, k cid.Cid, cl claim) []pinset.Holding {
	here := c.reachable()
	ids := append(slices.Clone(cl.holders), cl.extra...)
	for _, m := range c.base.State.Authority().Members() {
		if !slices.Contains(ids, m.Peer) && (m.Peer == c.self || here[m.Peer] && len(here) <= askedAll) {
			ids = append(ids, m.Peer)
		}
	}
	if !slices.Contains(ids, c.self) {
		ids = append(ids, c.self)
	}
	out := make([]pinset.Holding, len(ids))
	g := new(errgroup.Group)
	g.SetLimit(atOnce)
	for i, id := range ids {
		g.Go(func() error {
			if !here[id] && id != c.self {
				out[i] = c.lastWord(ctx, k, cl, id, nil)
				return nil
			}
			h, err := c.holding(ctx, k, cl, id)
			if err != nil {
				h = c.lastWord(ctx, k, cl, id, err)
			}
			out[i] = h
			return nil
		})
	}
	_ = g.Wait() // they return none
	return out
}

// holding asks one member, or this peer itself.
func (c *Cluster) holding(ctx context.Context, k cid.Cid, cl claim, id peer.ID) (pinset.Holding, error) {
	h := c.blank(cl, id)
	if id == c.self {
		var err error
		h.Local, err = c.parts.Tracker.Local(ctx, k)
		return h, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.AskTime)
	defer cancel()
	f, err := askOne(ctx, c.parts.Network, id, ask.Request{What: ask.Item, CID: k})
	if err != nil {
		return h, err
	}
	if len(f.Locals) != 1 || pinset.V1(f.Locals[0].CID) != pinset.V1(k) {
		return h, pinset.Errorf(pinset.KindUnavailable, "ask %s about %s: answer about something else", id, k)
	}
	h.Local = f.Locals[0]
	return h, nil
}

// blank is a holding of which nothing but the member is known.
func (c *Cluster) blank(cl claim, id peer.ID) pinset.Holding {
	h := pinset.Holding{Peer: id, Assigned: cl.assigned(id), Binding: cl.binding[id]}
	if m, ok := c.base.State.Authority().Member(id); ok {
		h.Name, h.IPFS = m.Name, m.IPFSPeer
	}
	if n := c.contacts.Get(id).Node; n.Peer != "" {
		h.IPFS = n.Peer
	}
	return h
}

// lastWord is what a member that does not answer has said before. why is the
// error of asking, nil: it is not connected.
func (c *Cluster) lastWord(ctx context.Context, k cid.Cid, cl claim, id peer.ID, why error) pinset.Holding {
	h := c.blank(cl, id)
	h.CID, h.Mode, h.Status = k, cl.mode, pinset.StatusClusterError
	if id == c.self {
		h.Error = why.Error()
		return h
	}
	s := c.book.Latest(id)
	switch {
	case !h.Assigned:
		h.Error = "not reached; it need not hold this"
	case s == nil:
		h.Error = "not reached, and it has never said what it holds"
	case c.coversAll(ctx, cl, id):
		h.Status, h.Since = pinset.StatusPinned, s.Since
		h.Age = c.age(s)
		return h
	case s.Except.Has(statement.Hash(k.Hash())):
		h.Age = c.age(s)
		h.Error = "not reached; when it spoke last, it did not have this yet"
	default:
		h.Age = c.age(s)
		h.Error = "not reached; its last word is older than this pin or the present membership"
	}
	if why != nil {
		h.Error += ": " + why.Error()
	}
	return h
}

// coversAll says whether a member's word covers every pin that is assigned to it.
func (c *Cluster) coversAll(ctx context.Context, cl claim, id peer.ID) bool {
	some := false
	for _, p := range cl.pins {
		if !c.View().Holds(id, roster.Item(p, cl.size)) {
			continue
		}
		if some = true; !c.Covered(ctx, p, id) {
			return false
		}
	}
	return some
}

// age is how old a member's word is: until it was last heard it held it up, if it
// had not said anything newer.
func (c *Cluster) age(s *statement.Statement) time.Duration {
	at := s.At
	for _, p := range c.parts.Network.Peers() {
		if p.ID == s.Author && p.Statement == s.Seq && p.LastHeard.After(at) {
			at = p.LastHeard
		}
	}
	return max(c.cfg.Now().Sub(at), time.Second) // 0 would be: just now, by itself
}

// reachable returns the members that can be asked.
func (c *Cluster) reachable() map[peer.ID]bool {
	a, out := c.base.State.Authority(), map[peer.ID]bool{}
	for _, p := range c.parts.Network.Peers() {
		if p.Connected && a.Is(p.ID) && p.ID != c.self {
			out[p.ID] = true
		}
	}
	return out
}

// summary counts the copies.
func (cl claim) summary(k cid.Cid, holdings []pinset.Holding) pinset.Summary {
	s := pinset.Summary{CID: k, Pins: cl.pins, Allocation: cl.holders, Want: cl.want, Holdings: holdings}
	nodes := map[peer.ID]bool{}
	for _, h := range holdings {
		if h.Status == pinset.StatusPinned && (h.Mode == pinset.Recursive || cl.mode == pinset.Direct) && !nodes[h.IPFS] {
			s.Copies++
			nodes[h.IPFS] = h.IPFS != "" // two members on one IPFS node have one copy
		}
	}
	s.Short = max(0, cl.need-s.Copies)
	s.Reason = cl.reason // also while copies that were made before stand in
	return s
}

// Recover tries again at once what failed with one CID, here and at the members
// that shall hold it.
func (c *Cluster) Recover(ctx context.Context, k cid.Cid) (pinset.Summary, error) {
	if !k.Defined() {
		return pinset.Summary{}, pinset.Invalid("cid: missing")
	}
	if err := c.parts.Tracker.Recover(ctx, k); err != nil && pinset.KindOf(err) != pinset.KindNotFound {
		return pinset.Summary{}, err
	}
	cl, err := c.claimAt(ctx, k)
	if err != nil {
		return pinset.Summary{}, err
	}
	c.tell(ctx, ask.Request{What: ask.Recover, CID: k}, cl.assigned)
	return cl.summary(k, c.holdings(ctx, k, cl)), nil
}

// RecoverAll tries again at once everything that failed, here and at the members
// that can be reached.
func (c *Cluster) RecoverAll(ctx context.Context) error {
	c.tell(ctx, ask.Request{What: ask.Recover}, func(peer.ID) bool { return true })
	return c.parts.Tracker.RecoverAll(ctx)
}

// tell sends a request to the reachable members that which picks. What does not
// arrive is no error: its effect shows in the status.
func (c *Cluster) tell(ctx context.Context, r ask.Request, which func(peer.ID) bool) {
	g := new(errgroup.Group)
	g.SetLimit(atOnce)
	for id := range c.reachable() {
		if !which(id) {
			continue
		}
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, c.cfg.AskTime)
			defer cancel()
			if _, err := askOne(ctx, c.parts.Network, id, r); err != nil {
				c.cfg.Log.Debug("member not told", "peer", id, "what", r.What, "err", err)
			}
			return nil
		})
	}
	_ = g.Wait()
}
