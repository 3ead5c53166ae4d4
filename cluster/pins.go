package cluster

import (
	"bytes"
	"context"
	"iter"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/cluster/internal/contact"
	"github.com/pinfold/pinfold/cluster/internal/roster"
	"github.com/pinfold/pinfold/pinset"
)

// Pin adds or replaces one owner's pin and returns it as it is kept; it is durable
// here when Pin returns. Pinning what is pinned in the same way changes nothing.
// KindInvalid names the field that is wrong, KindForbidden: this peer may not
// write pins.
func (c *Cluster) Pin(ctx context.Context, p pinset.Pin) (pinset.Pin, pinset.Receipt, error) {
	op, p, err := c.pinOp(ctx, p)
	if err != nil {
		return pinset.Pin{}, pinset.Receipt{}, err
	}
	if op.Value == nil { // it is there
		author, seq, err := c.base.State.Origin(ctx, op.Key)
		if err == nil {
			return p, pinset.Receipt{Author: author, Seq: seq}, nil
		}
		if op.Value, err = p.Encode(); err != nil { // it was removed just now
			return pinset.Pin{}, pinset.Receipt{}, err
		}
	}
	r, err := c.base.State.Commit(ctx, op)
	if err != nil {
		return pinset.Pin{}, pinset.Receipt{}, err
	}
	return p, r, nil
}

// pinOp applies the rules to a pin. An Op without a value: the same pin is there.
func (c *Cluster) pinOp(ctx context.Context, p pinset.Pin) (Op, pinset.Pin, error) {
	if err := c.mayWrite(); err != nil {
		return Op{}, p, err
	}
	if !p.CID.Defined() {
		return Op{}, p, pinset.Invalid("cid: missing")
	}
	if err := pinset.ValidateOwner(p.Owner); err != nil {
		return Op{}, p, err
	}
	now := c.cfg.Now()
	old, err := c.base.State.Pin(ctx, p.CID, p.Owner)
	there := err == nil
	if err != nil && pinset.KindOf(err) != pinset.KindNotFound {
		return Op{}, p, err
	}
	if p.Created.IsZero() {
		if p.Created = now; there {
			p.Created = old.Created
		}
	}
	if there && p.Size == 0 {
		p.Size = old.Size // what was measured stays true: it is of the CID
	}
	p.Normalise()
	if there {
		p = p.Over(old)
	}
	if err := c.checkPin(p, now); err != nil {
		return Op{}, p, err
	}
	value, err := p.Encode()
	if err != nil {
		return Op{}, p, err
	}
	if there {
		if before, err := old.Encode(); err == nil && bytes.Equal(before, value) {
			return Op{Key: p.Key()}, old, nil
		}
	}
	return Op{Key: p.Key(), Value: value}, p, nil
}

// checkPin holds the rules that need more than the pin itself.
func (c *Cluster) checkPin(p pinset.Pin, now time.Time) error {
	if err := p.Validate(); err != nil {
		return err
	}
	if p.Expired(now) {
		return pinset.Invalid("pin %s: expires at %s, which is past", p.CID, p.ExpireAt.Format(time.RFC3339))
	}
	a := c.base.State.Authority()
	for _, id := range p.Include {
		if !a.Is(id) {
			return pinset.Invalid("pin %s: %s is no member", p.CID, id).WithHint("pinfold peers")
		}
	}
	for _, o := range p.Origins {
		if err := contact.CheckOrigin(o); err != nil {
			return pinset.Invalid("pin %s: origin %q: %w", p.CID, o, err).
				WithHint("an origin looks like /ip4/203.0.113.7/tcp/4001/p2p/12D3Koo…")
		}
	}
	return nil
}

// mayWrite says whether this peer may write pins, and if not, why.
func (c *Cluster) mayWrite() error {
	a := c.base.State.Authority()
	switch {
	case a.CanWrite(c.self):
		return nil
	case !a.Is(c.self) && a.Ever(c.self):
		return pinset.Errorf(pinset.KindForbidden, "this peer was removed from the cluster").WithHint("ask a member for a new invite: pinfold join INVITE")
	case !a.Is(c.self):
		return pinset.Errorf(pinset.KindUnavailable, "this peer is not a member yet: the first synchronisation is not done").WithHint("pinfold status")
	}
	return pinset.Errorf(pinset.KindForbidden, "this peer has the role %s here and may not write pins", a.Role(c.self)).
		WithHint("ask an admin of the cluster for the role of a writer")
}

// PinOf returns one owner's pin. KindNotFound: it has none.
func (c *Cluster) PinOf(ctx context.Context, k cid.Cid, owner string) (pinset.Pin, error) {
	if !k.Defined() {
		return pinset.Pin{}, pinset.Invalid("cid: missing")
	}
	if err := pinset.ValidateOwner(owner); err != nil {
		return pinset.Pin{}, err
	}
	return c.base.State.Pin(ctx, k, owner)
}

// Pins yields all owners' pins in the order of their keys.
func (c *Cluster) Pins(ctx context.Context) iter.Seq2[pinset.Pin, error] {
	return c.base.State.Pins(ctx, "")
}

// Allocate returns who shall hold a pin, in rank order.
func (c *Cluster) Allocate(p pinset.Pin) []peer.ID {
	return c.View().Allocate(roster.Item(p, 0)).Holders
}
