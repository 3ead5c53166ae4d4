package cluster

import (
	"context"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/cluster/internal/receipt"
	"github.com/pinfold/pinfold/cluster/internal/roster"
	"github.com/pinfold/pinfold/cluster/internal/statement"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// VerifyReceipt says what a receipt is worth, without any cluster; see
// receipt.Verify.
func VerifyReceipt(doc pinset.SignedReceipt, secret func(identity.ClusterID) *identity.Secret) (pinset.ReceiptCheck, error) {
	return receipt.Verify(doc, secret)
}

// Receipt signs a document that shows who holds a CID, by what they signed, to
// whoever has nothing else. It asks nobody. KindNotFound: it is not in the pinset;
// KindUnavailable: nobody says yet that it holds it.
func (c *Cluster) Receipt(ctx context.Context, k cid.Cid) (pinset.SignedReceipt, error) {
	f := c.cfg.Founding
	a := c.base.State.Authority()
	view := allocation.NewView(roster.Of(a))
	r := receipt.Receipt{At: c.cfg.Now(), CID: k, Founding: f.Marshal(), View: view.Digest(), Evidence: a.Evidence()}
	if said := c.book.Latest(f.Founder()); said != nil && said.View == r.View {
		r.Founder = c.book.Record(f.Founder())
	} else if a.Is(f.Founder()) && !slices.Contains(c.agreement().Silent, f.Founder()) {
		return pinset.SignedReceipt{}, pinset.Errorf(pinset.KindUnavailable, "the cluster's founder has not spoken of its present members yet").
			WithHint("try again in a minute: its word ties them to the cluster")
	}
	if err := c.receiptPins(ctx, &r); err != nil {
		return pinset.SignedReceipt{}, err
	}
	var ids []peer.ID
	for _, p := range r.Pins {
		at := view.Allocate(roster.Item(p.Pin, r.Size))
		ids = append(append(ids, at.Holders...), at.Mirrors...)
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if err := c.receiptWord(ctx, &r, view, id); err != nil {
			return pinset.SignedReceipt{}, err
		}
	}
	if len(r.Words) == 0 {
		return pinset.SignedReceipt{}, pinset.Errorf(pinset.KindUnavailable, "%s: nobody has said yet that it holds it", k).
			WithHint("see what keeps it: pinfold status %s", k)
	}
	signed, err := r.Seal(c.cfg.Key, f.ID())
	if err != nil {
		return pinset.SignedReceipt{}, err
	}
	return receipt.Document(f.ID(), signed, &c.cfg.Secret)
}

// receiptPins fills in what is pinned, and by which changes.
func (c *Cluster) receiptPins(ctx context.Context, r *receipt.Receipt) error {
	pins, err := c.base.State.PinsOf(ctx, r.CID)
	if err == nil && len(pins) == 0 {
		err = pinset.NotFound("%s: not in the pinset", r.CID)
	}
	if err != nil {
		return err
	}
	by := func(key string) (receipt.Change, error) {
		author, seq, err := c.base.State.Origin(ctx, key)
		return receipt.Change{Author: author, Seq: seq}, err
	}
	for _, p := range pins {
		at, err := by(p.Key())
		if err != nil {
			return err
		}
		r.Pins = append(r.Pins, receipt.Pin{Pin: p, By: at})
	}
	if r.PolicyBy, err = by(identity.PolicyKey); err != nil && pinset.KindOf(err) != pinset.KindNotFound {
		return err
	}
	if r.Size, err = c.base.State.Size(ctx, r.CID); err != nil || r.Size == 0 {
		return err
	}
	r.SizeBy, err = by(c.base.State.SizeOp(r.CID, r.Size).Key)
	return err
}

// receiptWord adds what a member said, if it says that it holds the CID: the first
// of its kept statements since which it has always said so, and the latest.
func (c *Cluster) receiptWord(ctx context.Context, r *receipt.Receipt, view *allocation.View, id peer.ID) error {
	last := c.book.Latest(id)
	if last == nil || r.Covers(view, last) != "" {
		return nil
	}
	w := receipt.Word{Holder: id, Latest: c.book.Record(id)}
	rows := c.book.History().Rows(id)
	for _, row := range slices.Backward(rows) {
		if row.Seq >= last.Seq {
			continue
		}
		raw, err := c.book.History().Raw(ctx, id, row.Seq)
		if err != nil {
			return err
		}
		s, err := statement.Open(c.cfg.Founding.ID(), raw)
		if err != nil || r.Covers(view, s) != "" {
			break
		}
		w.First = raw
	}
	r.Words = append(r.Words, w)
	return nil
}
