package tracker

import (
	"context"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// Adopt takes over the pin that the IPFS node's owner has of c, as it is spelled: it
// gets our mark and a line in the ledger, counts towards the lent bytes, and from
// then on goes as any copy of ours does. Only the owner may ask for it. Where there
// is no such pin, or it is ours, nothing is done. When it returns without an error,
// node and ledger both say so.
//
// KindRefused: it does not fit into the lent bytes. KindConflict: blocks of it are
// missing at the node, which would drop the pin before it looks for them.
func (t *Tracker) Adopt(ctx context.Context, c cid.Cid) error {
	j, err := t.claim(ctx, keyOf(c))
	if err != nil {
		return err
	}
	g := &gathered{facts: facts{key: keyOf(c), mark: t.mark}, view: t.deps.Views.View()}
	err = t.adopt(ctx, g, c)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.putBack(j)
		return pinset.Wrap(protectKind(err), err, "adopt %s", c)
	}
	j.Party, j.Class = g.want.party, g.want.class
	out := outcome{entry: g.stored, at: time.Now().Add(t.cfg.Recheck)}
	if g.stored.held() < g.stored.Want { // there was nothing to adopt: it is to be fetched
		out.at = time.Time{}
	}
	t.settle(j, out)
	return nil
}

func (t *Tracker) adopt(ctx context.Context, g *gathered, c cid.Cid) (err error) {
	release := t.deps.Turns.take(g.key) // the other clusters' too
	defer release()
	if g.stored, err = t.load(ctx, g.key); err != nil {
		return err
	}
	g.entry = g.stored
	if err := t.askState(ctx, g); err != nil {
		return err
	}
	e := &g.entry
	if !e.exists() || e.held() == nothing {
		e.V0 = c.Version() == 0
	}
	if err := t.askNode(ctx, g); err != nil {
		return err
	}
	if g.node.extent == nothing || t.mark.on(g.node.name) {
		return nil
	}
	if err := t.count(ctx, g); err != nil {
		return err
	}
	// The name is in the ledger before the node is asked.
	e.Name, e.Borrowed, e.Owner = g.want.name, nothing, ""
	e.intend(g.want, len(g.pins))
	if e.Want < g.node.extent {
		e.Interim = g.node.extent
	}
	done := *e
	e.become(pinset.StatusQueued, time.Now())
	if err := t.write(ctx, g, *e); err != nil {
		return err
	}
	call, cancel := context.WithTimeout(ctx, measureTime)
	defer cancel()
	if err := t.deps.Node.Pin(call, e.form(g.key), pinset.PinOptions{Mode: g.node.extent.mode(), Name: e.Name}); err != nil {
		return err
	}
	done.Placed, done.Attempts, done.Retry, done.Error = g.node.extent, 0, 0, ""
	done.become(pinset.StatusPinned, time.Now())
	return t.write(ctx, g, done)
}

// count finds out how large the owner's pin is, that it is whole, and that it fits.
func (t *Tracker) count(ctx context.Context, g *gathered) error {
	call, cancel := context.WithTimeout(ctx, measureTime)
	defer cancel()
	size, err := t.deps.Node.DAGSize(call, g.entry.form(g.key), g.node.extent.mode())
	switch {
	case pinset.KindOf(err) == pinset.KindNotFound && err != nil:
		return pinset.Errorf(pinset.KindConflict, "blocks of it are missing at the IPFS node").WithHint("ipfs pin verify")
	case err != nil:
		return err
	}
	if t.acct.room(nil, g.stored).over(size.Bytes) {
		return pinset.Errorf(pinset.KindRefused, "it takes %s, and the lent bytes are used up", pinset.FormatSize(size.Bytes)).
			WithHint("lend more: pinfold give")
	}
	g.entry.Size = size.Bytes
	return nil
}
