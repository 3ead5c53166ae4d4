package cluster

import (
	"context"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/cluster/internal/abreast"
	"github.com/pinfold/pinfold/cluster/internal/roster"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// AddMirror makes this peer hold, beside its holders, what a member (by name or
// id) holds, or with pinset.MirrorAll the whole pinset. It is a wish in this
// peer's record: every member computes and sees it. What does not fit into the
// lent disk is refused and shown so. Doing it twice is doing it once.
func (c *Cluster) AddMirror(ctx context.Context, of string) error {
	word := of
	if of != pinset.MirrorAll {
		m, err := roster.Named(c.base.State.Authority(), of)
		if err != nil {
			return err
		}
		if m.Peer == c.self {
			return pinset.Invalid("mirror %q: that is this peer", of).WithHint("pinfold peers")
		}
		word = m.Peer.String()
	}
	if a := c.base.State.Authority(); a.Role(c.self) == identity.RoleObserver {
		return pinset.Errorf(pinset.KindForbidden, "mirror %q: this peer is an observer, which stores nothing", of).
			WithHint("ask an admin of the cluster for the role of a keeper")
	}
	return c.amend(ctx, func(r *identity.Record) error {
		words := append(slices.Clone(r.Mirrors), word)
		slices.Sort(words)
		r.Mirrors = slices.Compact(words)
		return nil
	})
}

// RemoveMirror takes a wish back; copies go when others cover what they are of,
// as always. KindNotFound: this peer has no such wish.
func (c *Cluster) RemoveMirror(ctx context.Context, of string) error {
	return c.amend(ctx, func(r *identity.Record) error {
		word, err := roster.WishMeant(c.base.State.Authority(), r.Mirrors, of)
		if err != nil {
			return err
		}
		r.Mirrors = slices.DeleteFunc(slices.Clone(r.Mirrors), func(w string) bool { return w == word })
		return nil
	})
}

// Mirrors tells the wishes of all members, this peer's own first, with how far
// each has got: of this peer by the tracker, of others by their last statement. It
// walks the pinset once.
func (c *Cluster) Mirrors(ctx context.Context) ([]pinset.Mirror, error) {
	wishes := c.mirrorWishes()
	if len(wishes) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.StreamTime)
	defer cancel()
	for pins, err := range abreast.ByCID(c.base.State.Pins(ctx, "")) {
		if err != nil {
			return nil, err
		}
		cl, err := c.claimOf(ctx, pins)
		if err != nil {
			return nil, err
		}
		for i := range wishes {
			if err := c.countMirrored(ctx, &wishes[i], cl); err != nil {
				return nil, err
			}
		}
	}
	return wishes, nil
}

// mirrorWishes reads the members' records.
func (c *Cluster) mirrorWishes() []pinset.Mirror {
	a := c.base.State.Authority()
	var own, others []pinset.Mirror
	for _, r := range a.Members() {
		for _, word := range r.Mirrors {
			m := pinset.Mirror{Peer: r.Peer, Name: r.Name, Self: r.Peer == c.self, Of: word, Idle: roster.IdleMirror(a, r, word)}
			if of, err := peer.Decode(word); err == nil {
				rec, _ := a.Member(of)
				m.OfName = rec.Name
			}
			if m.Self {
				m.Heard = c.cfg.Now()
				own = append(own, m)
				continue
			}
			if s := c.book.Latest(r.Peer); s != nil {
				m.Heard = s.At
			}
			others = append(others, m)
		}
	}
	return append(own, others...)
}

// countMirrored counts the pins of one CID into a wish that is about it.
func (c *Cluster) countMirrored(ctx context.Context, m *pinset.Mirror, cl claim) error {
	if !cl.assigned(m.Peer) {
		return nil
	}
	if of, err := peer.Decode(m.Of); err == nil && !cl.assigned(of) {
		return nil
	}
	size := cl.size
	for _, p := range cl.pins {
		size = max(size, p.Size)
		if p.Created.After(m.Changed) {
			m.Changed = p.Created
		}
	}
	n := uint64(len(cl.pins))
	m.Pins += n
	m.Bytes += size
	if size == 0 {
		m.Unsized += n
	}
	held, err := c.mirrored(ctx, m, cl)
	if err == nil && !held {
		m.Behind += n
		m.Missing += size
	}
	return err
}

// mirrored says whether who mirrors has a CID.
func (c *Cluster) mirrored(ctx context.Context, m *pinset.Mirror, cl claim) (bool, error) {
	if !m.Self {
		return c.coversAll(ctx, cl, m.Peer), nil
	}
	l, err := c.parts.Tracker.Local(ctx, cl.pins[0].CID)
	return l.Status == pinset.StatusPinned && (l.Mode == pinset.Recursive || cl.mode == pinset.Direct), err
}
