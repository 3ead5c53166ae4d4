package tracker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
	"github.com/pinfold/pinfold/tracker/internal/queue"
)

// errAway ends the work on an item because the IPFS node does not answer. The
// item keeps its turn, and no attempt is counted.
var errAway = errors.New("the IPFS node is away")

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
	party string
	err   error
}

func (t *Tracker) advance(ctx context.Context, r *run) result {
	var fetched bool
	var g *gathered
	var err error
	for range rounds {
		g, err = t.gather(ctx, r, g, fetched)
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
			return result{outcome: outcome{entry: a.entry, at: a.at, class: g.want.class}, party: g.want.party}
		}
	}
	return result{err: pinset.Errorf(pinset.KindInternal, "settle %s: the IPFS node changes all the time", r.key().cid())}
}

// done says whether the item needs no second look in this turn.
func (a *action) done() bool {
	switch a.verb {
	case fetch, letGo:
		return a.ended
	}
	return true
}

// perform does what was decided, but for letting go. It says whether the node
// confirmed a fetch.
func (t *Tracker) perform(ctx context.Context, r *run, g *gathered, a *action) (fetched bool, err error) {
	if a.verb == fetch && (g.fetched || r.slot.Class == queue.Looking) {
		// Pinned a moment ago and not whole, or looked at in a slot that is not for
		// fetching: another time.
		if g.fetched {
			a.entry = failed(time.Now(), g.key, a.entry, failure{why: errNotWhole})
		} else if r.suspect {
			a.entry.Retry = 0 // somebody wants it looked at now
		}
		a.ended = true
		return false, t.write(ctx, g, a.entry)
	}
	if err := t.write(ctx, g, a.entry); err != nil || a.verb != fetch {
		return false, err
	}
	reserved := t.acct.reserve(r, a.entry.Need)
	t.arrived(r)
	now := time.Now()
	line := t.deps.Traffic.reserve(now, r, r.ask(a.entry, g.want))
	if !reserved || line.Why != "" { // others were faster
		if !reserved {
			a.entry = refused(now, &facts{key: g.key, entry: a.entry}, g.room.reason(a.entry.Need)).entry
		} else {
			a.entry = deferred(now, g.key, a.entry, line)
		}
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
	a.entry = failed(time.Now(), g.key, a.entry, failure{err, t.progressOf(r).Bytes})
	a.ended = true
	return false, t.write(ctx, g, a.entry)
}

var errNotWhole = errors.New("the IPFS node says pinned, but blocks are missing there")

// write stores an entry if it is not what the ledger has.
func (t *Tracker) write(ctx context.Context, g *gathered, to entry) error {
	if to == g.stored {
		return nil
	}
	c := change{g.key, g.stored, to}
	var err error
	if confirms(g.stored, to) {
		err = t.book(t.ledger.note(ctx, c), c)
	} else {
		err = t.store(ctx, c)
	}
	if err != nil {
		return err
	}
	if to.State == pinset.StatusUnexpected && g.stored.State != to.State {
		t.sayLost(g.form())
	}
	g.stored = to
	return nil
}

// confirms says that a change only notes what the node has: a fetch that was
// written down before it began has ended well. If a crash undoes the note, the
// item is looked at again.
func confirms(from, to entry) bool {
	return to.State == pinset.StatusPinned && from.State != pinset.StatusPinned && !from.lettingGo() && from.held() == nothing &&
		from.Name == to.Name && from.V0 == to.V0 && from.Want == to.Want && to.Borrowed == nothing && to.Interim == nothing
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
	err := t.deps.Node.Pin(ctx, a.entry.form(g.key), pinset.PinOptions{
		Mode: a.mode, Name: a.entry.Name,
		Progress: func(p pinset.Progress) { t.progress(r, p) },
		Received: func(bytes uint64) { t.received(r, bytes) }, Had: a.entry.Got,
	})
	t.endFetch(r, err == nil)
	if err == nil {
		return nil
	}
	var put *later
	if errors.As(context.Cause(ctx), &put) {
		return put
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
