package tracker

import (
	"context"
	"fmt"
	"hash/fnv"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/pinset"
	"github.com/pinfold/pinfold/tracker/internal/queue"
)

const (
	batchSize  = 256                    // items that share one write to the ledger
	stateRetry = 5 * time.Second        // after the state could not be read
	gatherTime = 100 * time.Millisecond // changes within it after the last ones are looked at together
	gatherMost = 800 * time.Millisecond // the same while changes pour in
	pouring    = 256                    // CIDs within gatherTime that are called so
)

// listen hands on what the feed says: at once after a quiet time, else what has
// gathered, since many small looks cost more than one. While changes pour in, who
// writes them goes first.
func (t *Tracker) listen(ctx context.Context, out chan<- Changes) error {
	for {
		c, err := t.deps.Feed.Next(ctx)
		if err != nil {
			return pinset.Wrap(pinset.KindInternal, err, "track changes of the pinset")
		}
		select {
		case out <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
		gather := gatherTime
		if len(c.CIDs) >= pouring {
			gather = gatherMost
		}
		if !pause(ctx, gather) {
			return ctx.Err()
		}
	}
}

// evaluate compares what is assigned here with the ledger: everything at the
// start, when the members change, when one goes away or returns, and when the feed
// says so; else what changed.
func (t *Tracker) evaluate(ctx context.Context, changes <-chan Changes) error {
	if !t.caughtUp(ctx) {
		return ctx.Err()
	}
	var view *allocation.View // under which everything was looked at
	var away map[peer.ID]bool
	var others <-chan struct{} // are away who were not, or the other way round
	for {
		moved := t.deps.Views.Changed()
		var err error
		if now := t.deps.Views.View(); now != view {
			fresh := view != nil && view.Digest() == now.Digest()
			away, _, others = t.deps.Absence.Away()
			view, err = t.rescan(ctx, changes, fresh)
		} else {
			select {
			case c := <-changes:
				var all bool
				if all, err = t.changed(ctx, view, c); all {
					view, err = t.rescan(ctx, changes, true)
				}
			case <-others:
				was, all := away, false
				away, _, others = t.deps.Absence.Away()
				if all, err = t.walk(ctx, view, changes, false); all {
					view, err = t.rescan(ctx, changes, true)
				}
				t.returned(was, away)
			case <-moved:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		t.stateFault(err)
		if err != nil {
			view = nil // what was to be looked at is among all
			if !pause(ctx, stateRetry) {
				return ctx.Err()
			}
		}
	}
}

// caughtUp waits until what is not in the pinset was removed from it, and is not
// still to come; false: ctx ended.
func (t *Tracker) caughtUp(ctx context.Context) bool {
	if t.deps.Caught == nil {
		return true
	}
	select {
	case <-t.deps.Caught:
		return true
	case <-ctx.Done():
		return false
	}
}

// changed evaluates what the feed named, or asks for a full rescan: when there is
// too much to name, and when the members or the policy changed with it.
func (t *Tracker) changed(ctx context.Context, view *allocation.View, c Changes) (all bool, err error) {
	if c.Rescan || t.deps.Views.View() != view {
		return true, nil
	}
	for part := range slices.Chunk(c.CIDs, batchSize) {
		keys := make([]key, len(part))
		for i, at := range part {
			keys[i] = keyOf(at)
		}
		slices.Sort(keys)
		keys = slices.Compact(keys) // two versions of a CID are one item
		if err := t.assign(ctx, view, keys, true); err != nil {
			return false, err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.view.vector = c.Vector
	t.version++
	return false, nil
}

// rescan evaluates everything that is not at rest. It returns the view under which
// it did, nil if another rescan is needed. Fresh: what is new are pins, not members.
func (t *Tracker) rescan(ctx context.Context, changes <-chan Changes, fresh bool) (*allocation.View, error) {
	vector := t.deps.State.Vector() // before the view, which must know all of it
	view := t.deps.Views.View()
	t.mu.Lock()
	t.view = evaluated{digest: view.Digest(), vector: vector}
	t.version++
	t.mu.Unlock()
	if again, err := t.walk(ctx, view, changes, fresh); again || err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.view.stable = true
	t.version++
	return view, nil
}

// walk goes through pinset and ledger side by side, in the order of their keys, and
// evaluates what is not at rest. New changes are looked at in between; again: they
// ask for a rescan.
func (t *Tracker) walk(ctx context.Context, view *allocation.View, changes <-chan Changes, fresh bool) (again bool, err error) {
	visits := 0
	var batch []key
	flush := func() error {
		err := t.assign(ctx, view, batch, fresh)
		for batch = batch[:0]; err == nil; {
			select {
			case c := <-changes:
				var all bool
				all, err = t.changed(ctx, view, c)
				again = again || all
				continue
			default:
			}
			break
		}
		return err
	}
	err = t.sideBySide(ctx, func(g grouped) error {
		w, err := t.wantOf(ctx, view, g.pins)
		if err != nil {
			return err
		}
		if !atRest(g.entry, w, len(g.pins)) {
			batch = append(batch, g.key)
		}
		if visits++; len(batch) < batchSize && visits%4096 > 0 {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	return again, err
}

// grouped is one CID with its pins and its ledger entry, either of which may be
// missing.
type grouped struct {
	key   key
	text  string // of the key
	pins  []pinset.Pin
	entry entry
}

// sideBySide merges the streams of the pinset and the ledger by CID.
func (t *Tracker) sideBySide(ctx context.Context, visit func(grouped) error) error {
	nextPin, stopPins := iter.Pull2(groups(t.deps.State.Pins(ctx, "")))
	defer stopPins()
	nextItem, stopItems := iter.Pull2(t.ledger.all(ctx))
	defer stopItems()
	g, err, morePins := nextPin()
	if err != nil {
		return err
	}
	it, err, moreItems := nextItem()
	if err != nil {
		return err
	}
	for morePins || moreItems {
		order := -1
		if !morePins {
			order = 1
		} else if moreItems {
			order = strings.Compare(g.text, it.text)
		}
		out := g
		if order == 0 {
			out.entry = it.entry
		} else if order > 0 {
			out = grouped{key: it.key, text: it.text, entry: it.entry}
		}
		if err := visit(out); err != nil {
			return err
		}
		if order <= 0 {
			if g, err, morePins = nextPin(); err != nil {
				return err
			}
		}
		if order >= 0 {
			if it, err, moreItems = nextItem(); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// groups joins the pins of one CID, which stand together.
func groups(pins iter.Seq2[pinset.Pin, error]) iter.Seq2[grouped, error] {
	return func(yield func(grouped, error) bool) {
		var g grouped
		for p, err := range pins {
			if err != nil {
				yield(grouped{}, err)
				return
			}
			if k := keyOf(p.CID); k != g.key {
				if g.key != "" && !yield(g, nil) {
					return
				}
				g = grouped{key: k, text: k.text()}
			}
			g.pins = append(g.pins, p)
		}
		if g.key != "" {
			yield(g, nil)
		}
	}
}

// atRest says whether an item needs no look: what is wanted is what is held.
func atRest(e entry, w want, claims int) bool {
	if !e.exists() {
		return w.extent == nothing && w.interim == nothing
	}
	return e.State == pinset.StatusPinned && w.extent > nothing && e.held() == w.extent && e.Interim == nothing && w.interim == nothing &&
		e.Want == w.extent && e.Binding == w.binding && e.Seen == (claims > 0)
}

// assign writes down what is wanted of items, and queues those that are not at
// rest. Items that somebody works on are only told.
func (t *Tracker) assign(ctx context.Context, view *allocation.View, keys []key, fresh bool) error {
	jobs := t.lift(keys)
	puts := make([]change, 0, len(keys))
	out := make(map[key]outcome, len(keys))
	var err error
	for _, k := range keys {
		var pins []pinset.Pin
		var w want
		var e entry
		if pins, err = t.deps.State.PinsOf(ctx, k.cid()); err == nil {
			w, err = t.wantOf(ctx, view, pins)
		}
		if err != nil {
			break
		}
		if jobs[k] == nil {
			t.tell(k, w, len(pins))
			continue
		}
		if e, err = t.load(ctx, k); err != nil {
			break
		}
		to := planned(time.Now(), e, w, len(pins))
		jobs[k].Party, jobs[k].Class = w.party, w.class
		out[k] = outcome{entry: to, fresh: fresh}
		if to != e {
			puts = append(puts, change{k, e, to})
		}
	}
	if err == nil {
		err = t.store(ctx, puts...)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, j := range jobs {
		if err != nil {
			t.putBack(j)
			continue
		}
		t.settle(j, out[k])
	}
	return err
}

// lift makes the caller work on those items that nobody works on.
func (t *Tracker) lift(keys []key) map[key]*queue.Job {
	t.mu.Lock()
	defer t.mu.Unlock()
	jobs := make(map[key]*queue.Job, len(keys))
	for _, k := range keys {
		if t.queue.IsBusy(string(k)) {
			continue
		}
		j := t.queue.Get(string(k))
		t.queue.Lift(j)
		jobs[k] = j
	}
	return jobs
}

// putBack gives up a job without having learnt anything: it is looked at again.
// The caller holds t.mu.
func (t *Tracker) putBack(j *queue.Job) {
	t.queue.Place(j, time.Now(), time.Now().Add(stateRetry))
	t.loosed()
}

// tell lets whoever works on an item know that it changed, and stops a fetch of
// what is not wanted any more. Until it is looked at, a report names the item.
func (t *Tracker) tell(k key, w want, claims int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	busy := t.queue.IsBusy(string(k))
	j := t.queue.Get(string(k))
	t.judge(j, func() { j.Wanted, j.Suspect = w.extent > nothing, true })
	if !busy { // settled since, maybe on what was true before this change
		t.queue.Lift(j)
		t.queue.Place(j, time.Now(), time.Time{})
		poke(t.wake)
		return
	}
	j.Again = true
	if r := t.runs[k]; r != nil {
		r.retained = r.retained && claims > 0
		r.cancelUnwanted()
	}
}

// planned returns the entry that says what is now wanted. What was wanted anew has
// its name in the ledger before the IPFS node is asked. It is a pure function.
func planned(now time.Time, e entry, w want, claims int) entry {
	if !e.exists() {
		if w.extent == nothing && w.interim == nothing {
			return e
		}
		e = entry{Name: w.name, V0: w.v0, Need: w.need}
		e.become(pinset.StatusQueued, now)
	}
	e.intend(w, claims)
	return e
}

// wantOf says what of one CID's pins is assigned to this member.
func (t *Tracker) wantOf(ctx context.Context, view *allocation.View, pins []pinset.Pin) (want, error) {
	w := want{rank: -1}
	if len(pins) == 0 {
		w.name = t.mark.name("")
		return w, nil
	}
	size, err := t.deps.State.Size(ctx, pins[0].CID)
	if err != nil {
		return w, err
	}
	for _, p := range pins {
		it := itemOf(p, size)
		if !view.Holds(t.cfg.Self, it) {
			if t.standsIn(ctx, view, it, p) {
				w.interim = max(w.interim, extentOf(p.Mode))
				w.need = max(w.need, it.Size)
			}
			continue
		}
		at := view.Allocate(it)
		rank := slices.Index(at.Holders, t.cfg.Self)
		if rank >= 0 && (w.rank < 0 || rank < w.rank) {
			w.rank = rank
		}
		w.binding = w.binding || rank >= 0 && rank < at.Binding
		if w.extent == nothing || p.Priority.Before(w.class) {
			w.party, w.class = p.Owner, p.Priority
		}
		if x := extentOf(p.Mode); x > w.extent {
			w.extent, w.v0, w.name = x, p.CID.Version() == 0, t.mark.name(p.Name)
		}
		if w.extent == wholeDAG {
			w.need = max(w.need, it.Size)
		}
	}
	if w.extent == nothing {
		w.name, w.v0 = t.mark.name(pins[0].Name), pins[0].CID.Version() == 0
		w.party, w.class = pins[0].Owner, pins[0].Priority
	}
	if w.interim <= w.extent {
		w.interim = nothing
	}
	return w, nil
}

// itemOf is the pin as the allocation sees it. Size is what members found.
func itemOf(p pinset.Pin, size uint64) allocation.Item {
	return allocation.Item{Hash: p.CID.Hash(), Want: p.Replication, Tags: p.Tags, Include: p.Include, Size: max(p.Size, size)}
}

// askCoverage notes whether others cover every pin of which more is held here than
// is wanted. An interim copy needs as many of them as count towards the minimum,
// any other copy all that do.
func (t *Tracker) askCoverage(ctx context.Context, view *allocation.View, f *facts, pins []pinset.Pin) error {
	sum := fnv.New64a()
	f.covered = true
	for _, p := range pins {
		if extentOf(p.Mode) <= f.want.extent {
			continue
		}
		size, err := t.deps.State.Size(ctx, p.CID)
		if err != nil {
			return err
		}
		at := view.Allocate(itemOf(p, size))
		fmt.Fprintf(sum, "%s %q,", p.Key(), at.Holders[:at.Binding])
		among, says := at.Holders[:at.Binding], t.deps.Coverage.Covered
		if f.entry.Interim > nothing {
			among, says = slices.Concat(at.Holders, at.Mirrors), t.covers
		}
		have := 0
		for _, id := range among {
			if id != t.cfg.Self && says(ctx, p, id) {
				have++
			}
		}
		f.covered = f.covered && at.Short == 0 && have >= at.Binding
	}
	f.coverBy = sum.Sum64()
	return nil
}
