package tracker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/pinset"
)

// errAway ends the work on an item because the IPFS node does not answer. The
// item keeps its turn, and no attempt is counted.
var errAway = errors.New("the IPFS node is away")

// measureTime bounds counting the blocks of one DAG.
const measureTime = time.Hour

// rounds is how often in a row an item is looked at and acted on: fetch, look,
// let go, look.
const rounds = 4

// work brings one item to where it shall be, as far as that is possible now.
func (t *Tracker) work(ctx context.Context, r *run) {
	t.finish(r, t.advance(ctx, r))
}

// result is an outcome, or the reason why there is none.
type result struct {
	outcome
	err error
}

func (t *Tracker) advance(ctx context.Context, r *run) result {
	var fetched bool
	for range rounds {
		g, err := t.gather(ctx, r, fetched)
		if err != nil {
			return result{err: err}
		}
		a := decide(time.Now(), g.facts)
		if a.verb == letGo {
			err = t.unpin(ctx, r, g, &a)
		}
		g.release()
		if err == nil && a.verb != letGo {
			fetched, err = t.perform(ctx, r, g, &a)
		}
		if err != nil {
			return result{err: err}
		}
		if a.done() {
			return result{outcome: outcome{entry: a.entry, at: a.at}}
		}
	}
	return result{err: pinset.Errorf(pinset.KindInternal, "settle %s: the IPFS node changes all the time", r.job.key.cid())}
}

// done says whether the item needs no second look in this turn.
func (a *action) done() bool {
	switch a.verb {
	case fetch, letGo:
		return a.ended
	}
	return true
}

// gathered is what a decision rests on, and what is needed to carry it out.
type gathered struct {
	facts
	stored  entry // as it stands in the ledger
	holders []peer.ID
	release func() // lets other clusters of this daemon have their turn at the CID
}

// gather looks at the pinset, the allocation, the ledger and the node. Without an
// error the caller has the turn at the CID and releases it.
func (t *Tracker) gather(ctx context.Context, r *run, fetched bool) (g *gathered, err error) {
	k := r.job.key
	g = &gathered{facts: facts{key: k, mark: t.mark, grace: t.cfg.Grace, fetched: fetched}}
	pins, err := t.deps.State.PinsOf(ctx, k.cid())
	if err != nil {
		return nil, err
	}
	view := t.deps.Views.View()
	if g.want, err = t.wantOf(ctx, view, pins); err != nil {
		return nil, err
	}
	g.claims = len(pins)
	release := t.deps.Turns.take(k)
	g.release = release
	defer func() {
		if err != nil {
			release()
		}
	}()
	if g.stored, err = t.load(ctx, k); err != nil {
		return nil, err
	}
	g.entry = g.stored
	if max(g.entry.held(), g.entry.Interim) > g.want.extent {
		if g.covered, err = t.covered(ctx, view, &g.facts, pins); err != nil {
			return nil, err
		}
	}
	if g.undisturbed(r) {
		g.node = present{g.entry.held(), g.entry.nodeName()}
		return g, nil
	}
	if err := t.askNode(ctx, g); err != nil {
		return nil, err
	}
	if err := t.askLedgers(ctx, g); err != nil {
		return nil, err
	}
	if g.want.extent > nothing || g.entry.Interim > nothing {
		g.holders = holdersOf(view, pins)
	}
	t.measure(ctx, r, g)
	g.room = t.room(ctx, r, g.entry)
	return g, nil
}

// undisturbed says that a copy is only looked at to see whether others cover it by
// now, and that it stays either way. The node need not be asked each time.
func (g *gathered) undisturbed(r *run) bool {
	ends := time.UnixMilli(g.entry.Covered).Add(g.grace)
	stays := !g.covered || g.entry.Covered == 0 || time.Now().Before(ends)
	return stays && r.class == classRelease && !r.suspect && g.claims > 0 &&
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
		if t.deps.Sizes != nil && g.node.extent == wholeDAG && g.want.binding {
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
	t.diskFault(t.acct.refresh(ctx, t.deps.Node))
	t.mu.Lock()
	ahead := t.queue.ahead + t.ahead - r.ahead
	t.mu.Unlock()
	return t.acct.room(r, e, t.cfg.Lent(), t.cfg.Reserve, ahead)
}

// perform does what was decided, but for letting go. It says whether the node
// confirmed a fetch.
func (t *Tracker) perform(ctx context.Context, r *run, g *gathered, a *action) (fetched bool, err error) {
	if a.verb == fetch && (g.fetched || r.class == classRelease) {
		// Pinned a moment ago and not whole, or looked at in a slot that is not for
		// fetching: another time.
		if g.fetched {
			a.entry = failed(time.Now(), g.key, a.entry, errNotWhole, 0)
		} else if r.suspect {
			a.entry.Retry = 0 // somebody wants it looked at now
		}
		a.ended = true
		return false, t.write(ctx, g, a.entry)
	}
	if a.verb == forget {
		a.entry = entry{}
	}
	if err := t.write(ctx, g, a.entry); err != nil || a.verb != fetch {
		return false, err
	}
	reserved := t.acct.reserve(r, a.entry.Need, t.cfg.Lent())
	t.arrived(r)
	if !reserved {
		a.entry = refused(time.Now(), &facts{key: g.key, entry: a.entry}, g.room.reason(a.entry.Need)).entry
		a.ended = true
		return false, t.write(ctx, g, a.entry)
	}
	err = t.pin(ctx, r, g, a)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, errUnwanted):
		return false, nil // look again
	case ctx.Err() != nil, errors.Is(err, errAway):
		return false, err
	}
	a.entry = failed(time.Now(), g.key, a.entry, err, t.progressOf(r).Bytes)
	a.ended = true
	return false, t.write(ctx, g, a.entry)
}

var errNotWhole = errors.New("the IPFS node says pinned, but blocks are missing there")

// write stores an entry if it is not what the ledger has.
func (t *Tracker) write(ctx context.Context, g *gathered, to entry) error {
	if to == g.stored {
		return nil
	}
	err := t.store(ctx, change{g.key, g.stored, to})
	if err != nil {
		return err
	}
	if to.State == pinset.StatusUnexpected && g.stored.State != to.State {
		t.sayLost(g.form())
	}
	g.stored = to
	return nil
}

// sayLost names what is gone from the node, so many of each sweep.
func (t *Tracker) sayLost(c cid.Cid) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.faults.named++; t.faults.named <= maxLost {
		t.cfg.Log.Warn("unexpectedly unpinned", "cid", c)
	}
}

// pin asks the node to pin, and connects it to the holders meanwhile.
func (t *Tracker) pin(ctx context.Context, r *run, g *gathered, a *action) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel(nil)
	if t.deps.Connector != nil {
		beside.Go(func() { t.deps.Connector.ConnectHolders(ctx, g.key.cid(), g.holders) })
	}
	t.startFetch(r, cancel, g.want.extent == nothing)
	defer t.endFetch(r)
	err := t.deps.Node.Pin(ctx, a.entry.form(g.key), pinset.PinOptions{
		Mode: a.mode, Name: a.entry.Name,
		Progress: func(p pinset.Progress) { t.progress(r, p) },
	})
	if err == nil {
		return nil
	}
	for _, ours := range []error{errStalled, errOverLent, errReserve, errUnwanted} {
		if errors.Is(context.Cause(ctx), ours) {
			return ours
		}
	}
	if pinset.KindOf(err) == pinset.KindUnavailable {
		return t.nodeFault(err)
	}
	return err
}

// unpin takes our pin off the node. The caller has the turn at the CID.
func (t *Tracker) unpin(ctx context.Context, r *run, g *gathered, a *action) error {
	if err := t.write(ctx, g, a.entry); err != nil {
		return err
	}
	t.letting(r)
	call, cancel := context.WithTimeout(ctx, t.cfg.CallTime)
	defer cancel()
	err := t.deps.Node.Unpin(call, g.form(), a.mode)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if pinset.KindOf(err) == pinset.KindUnavailable {
		return t.nodeFault(err)
	}
	a.entry = unpinFailed(time.Now(), g.key, a.entry, err)
	a.ended = true
	return t.write(ctx, g, a.entry)
}
