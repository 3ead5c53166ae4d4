package tracker

import (
	"context"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/pinset"
	"github.com/pinfold/pinfold/tracker/internal/queue"
)

// measureTime bounds counting the blocks of one DAG.
const measureTime = time.Hour

// gathered is what a decision rests on, and what is needed to carry it out.
type gathered struct {
	facts
	view    *allocation.View
	pins    []pinset.Pin // of the CID
	stored  entry        // as it stands in the ledger
	holders []peer.ID
	release func() // lets other clusters of this daemon have their turn at the CID
}

// gather looks at the pinset, the allocation, the ledger and the node. Without an
// error the caller has the turn at the CID and releases it.
// Last is what the round before has gathered, nil in the first one.
func (t *Tracker) gather(ctx context.Context, r *run, last *gathered, fetched bool) (g *gathered, err error) {
	k := r.key()
	g = &gathered{facts: facts{key: k, mark: t.mark, grace: t.cfg.Grace(), fetched: fetched}, view: t.deps.Views.View()}
	release := t.deps.Turns.take(k)
	g.release = release
	defer func() {
		if err != nil {
			release()
		}
	}()
	if last != nil {
		g.stored = last.stored // nobody else writes it meanwhile
	} else if g.stored, err = t.load(ctx, k); err != nil {
		return nil, err
	}
	g.entry = g.stored
	if t.stands(r, last, g) {
		g.pins, g.want, g.holders = last.pins, last.want, last.holders
	} else if err = t.askState(ctx, g); err != nil { // also before a copy goes: it may be pinned again by now
		return nil, err
	}
	g.claims = len(g.pins)
	g.entry.Interim = max(g.entry.Interim, g.want.interim)
	if max(g.entry.held(), g.entry.Interim) > g.want.extent {
		if err = t.askCoverage(ctx, g.view, &g.facts, g.pins); err != nil {
			return nil, err
		}
	}
	if g.undisturbed(r) {
		g.node = present{g.entry.held(), g.entry.nodeName()}
		return g, nil
	}
	if err = t.askNode(ctx, g); err != nil {
		return nil, err
	}
	if err = t.askLedgers(ctx, g); err != nil {
		return nil, err
	}
	if g.holders == nil && (g.want.extent > nothing || g.entry.Interim > nothing) {
		g.holders = holdersOf(g.view, g.pins)
	}
	t.measure(ctx, r, g)
	g.room = t.room(ctx, r, g.entry)
	if r.slot.Class != queue.Looking { // in which nothing is fetched
		g.line = t.deps.Traffic.may(time.Now(), r, r.ask(g.entry, g.want))
	}
	return g, nil
}

// stands says whether what the round before has read of an item's pins is good
// enough: all that is held is wanted, and nothing was heard to have changed since.
func (t *Tracker) stands(r *run, last, g *gathered) bool {
	if last == nil || last.view != g.view || last.want.extent < max(g.entry.held(), g.entry.Interim, oneBlock) {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return !r.slot.Job.Again
}

// askState reads the pins and what of them is wanted here.
func (t *Tracker) askState(ctx context.Context, g *gathered) (err error) {
	if g.pins, err = t.deps.State.PinsOf(ctx, g.key.cid()); err == nil {
		g.want, err = t.wantOf(ctx, g.view, g.pins)
	}
	return err
}

// undisturbed says that a copy is only looked at to see whether others cover it by
// now, and that it stays either way. The node need not be asked each time.
func (g *gathered) undisturbed(r *run) bool {
	ends := time.UnixMilli(g.entry.Covered).Add(g.grace)
	stays := !g.covered || g.entry.Covered == 0 || g.entry.CoverBy != g.coverBy || time.Now().Before(ends)
	return stays && r.slot.Class == queue.Looking && !r.suspect && g.claims > 0 &&
		g.entry.State == pinset.StatusPinned && g.entry.held() > g.want.extent
}

func holdersOf(view *allocation.View, pins []pinset.Pin) []peer.ID {
	var out []peer.ID
	for _, p := range pins {
		out = append(out, view.Allocate(itemOf(p, 0)).Holders...)
	}
	return out
}

// form is the CID as it is spelled at the node.
func (g *gathered) form() cid.Cid {
	e := g.entry
	if e.Name == "" && e.held() == nothing {
		e.V0 = g.want.v0
	}
	return e.form(g.key)
}

// askNode looks for the root pin.
func (t *Tracker) askNode(ctx context.Context, g *gathered) error {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.CallTime)
	defer cancel()
	p, err := t.deps.Node.PinOf(ctx, g.form())
	switch {
	case err == nil:
		g.node = present{extentOf(p.Mode), p.Name}
	case pinset.KindOf(err) != pinset.KindNotFound:
		return t.nodeFault(err)
	}
	t.nodeAnswered()
	return nil
}

// askLedgers asks what the daemon's other clusters know, where that matters.
func (t *Tracker) askLedgers(ctx context.Context, g *gathered) error {
	if g.node.extent == nothing || !t.mark.on(g.node.name) {
		return nil
	}
	others, err := t.ledger.others(ctx, g.key)
	for _, e := range others {
		g.claimed = true
		g.shared = g.shared || e.Name == g.node.name
	}
	return err
}

// measure counts what is placed here and was not counted yet, so that the account
// is right and a pin whose blocks are missing is not taken for one.
func (t *Tracker) measure(ctx context.Context, r *run, g *gathered) {
	e := &g.entry
	ours := g.node.extent > nothing && t.mark.on(g.node.name) && (g.node.name == e.Name || g.shared)
	if !ours || g.node.extent < g.want.extent || e.Placed == g.node.extent && e.Size > 0 {
		return
	}
	t.confirmed(r)
	ctx, cancel := context.WithTimeout(ctx, measureTime)
	defer cancel()
	size, err := t.deps.Node.DAGSize(ctx, g.form(), g.node.extent.mode())
	switch {
	case err == nil:
		e.Size = size.Bytes
		if t.deps.Sizes != nil && g.node.extent == wholeDAG && g.want.rank >= 0 {
			t.deps.Sizes.Found(g.form(), size.Bytes, g.want.rank)
		}
	case pinset.KindOf(err) == pinset.KindNotFound:
		g.broken = true
	default:
		e.Size = max(e.Size, e.Need, t.progressOf(r).Bytes)
	}
}

// room returns the space for an item.
func (t *Tracker) room(ctx context.Context, r *run, e entry) room {
	t.askDisk(ctx)
	at := t.acct.room(r, e)
	t.mu.Lock()
	defer t.mu.Unlock()
	at.ahead = t.queue.Ahead() + t.ahead - r.ahead
	return at
}

// askDisk asks the node how full the disk is, unless it has just said so.
func (t *Tracker) askDisk(ctx context.Context) {
	if t.acct.fresh() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, t.cfg.CallTime)
	defer cancel()
	t.diskFault(t.acct.refresh(ctx, t.deps.Node))
}
