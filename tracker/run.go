package tracker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pinfold/pinfold/pinset"
	"github.com/pinfold/pinfold/tracker/internal/budget"
	"github.com/pinfold/pinfold/tracker/internal/queue"
)

// tick is how often the dispatcher looks at room and disk on its own.
const tick = 5 * time.Second

// run is the work on one item. The tracker's mutex guards it, but for reserved.
type run struct {
	slot     *queue.Slot
	suspect  bool // the job was, when the run began
	retained bool // what is fetched is kept for others, not assigned here

	ahead uint64 // bytes that best-effort copies leave to it until it reserves them

	cancel   context.CancelCauseFunc // of the fetch, nil: none is under way
	began    time.Time
	moved    time.Time // last progress
	progress pinset.Progress
	pace     pace
	watch    *time.Timer
	whole    bool // the node confirmed the pin; its blocks are being counted
	letting  bool // unpinning

	reserved, come uint64 // bytes; guarded by the account

	bulk               bool   // it can wait for the hours in which much is fetched
	promised, received uint64 // bytes; guarded by the traffic
}

func (r *run) key() key { return key(r.slot.Job.Key) }

// dispatch starts runs as there are slots, until ctx ends; then it waits for them.
func (t *Tracker) dispatch(ctx context.Context) error {
	var workers sync.WaitGroup
	defer workers.Wait()
	beat := time.NewTicker(tick)
	defer beat.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next, some := t.start(ctx, &workers)
		timer.Stop()
		if some {
			timer.Reset(time.Until(next))
		}
		select {
		case <-t.wake:
		case <-timer.C:
		case <-t.full:
			t.acct.doubtDisk()
			t.housekeep(ctx)
		case <-beat.C:
			t.housekeep(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// start starts what can start now and returns when the next job is due.
func (t *Tracker) start(ctx context.Context, workers *sync.WaitGroup) (next time.Time, some bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next, some = t.queue.Due(time.Now())
	if t.faults.node.present() {
		return time.Time{}, false // the probe wakes us
	}
	now := time.Now()
	gate := queue.Open
	if t.deps.Traffic.may(now, nil, budget.Ask{}).Why != "" {
		gate = queue.Shut
	} else if t.deps.Traffic.may(now, nil, budget.Ask{Bulk: true}).Why != "" {
		gate = queue.Calm
	}
	for {
		slot := t.queue.Start(now, gate) // the beat notices when it opens
		if slot == nil {
			break
		}
		j := slot.Job
		r := &run{slot: slot, suspect: j.Suspect, began: now, bulk: j.Lane.MayWait()}
		if j.Counts() {
			r.ahead = j.Need
			t.ahead += j.Need
		}
		t.runs[r.key()] = r
		workers.Go(func() { t.work(ctx, r) })
	}
	if at, ages := t.queue.Ages(time.Now()); ages && (!some || at.Before(next)) {
		return at, true
	}
	return next, some
}

// arrived: what was left to a run is reserved by now, or not needed.
func (t *Tracker) arrived(r *run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ahead -= r.ahead
	r.ahead = 0
}

// finish ends a run and puts its job where it belongs.
func (t *Tracker) finish(r *run, res result) {
	t.acct.settle(r)
	t.deps.Traffic.settle(r)
	t.arrived(r)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.runs, r.key())
	t.queue.End(r.slot)
	j := r.slot.Job
	switch {
	case res.err == nil:
		j.Party, j.Class = res.party, res.class
		res.at = nextLook(j, res.outcome, time.Now(), t.cfg.Recheck)
		t.settle(j, res.outcome)
	case errors.Is(res.err, errAway), errors.Is(res.err, context.Canceled):
		t.queue.Place(j, time.Now(), time.Time{})
		t.loosed()
	default:
		t.faults.item.set(res.err)
		t.cfg.Log.Debug("look at item", "cid", key(j.Key).cid(), "err", res.err)
		t.putBack(j)
	}
}

// nextLook says when a copy that is held beyond what is wanted is looked at again:
// often at first, then not so often, so that cover that comes and goes is seen.
func nextLook(j *queue.Job, o outcome, now time.Time, recheck time.Duration) time.Time {
	if o.entry.held() <= o.entry.Want {
		j.Looks = 0
		return o.at
	}
	at := now.Add(backoff(key(j.Key), uint64(j.Looks), recheck, 32*recheck))
	j.Looks = min(j.Looks+1, 100)
	if o.at.IsZero() || at.Before(o.at) {
		return at
	}
	return o.at
}

// startFetch notes that a fetch begins, and watches its progress.
func (t *Tracker) startFetch(r *run, cancel context.CancelCauseFunc, retained bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.cancel, r.retained, r.moved, r.progress, r.pace = cancel, retained, time.Now(), pinset.Progress{}, pace{}
	t.queue.Fetches(r.slot, r.moved)
	r.watch = time.AfterFunc(t.patience(r), func() { t.checkProgress(r) })
	r.cancelUnwanted()
}

// cancelUnwanted stops a fetch of what the pinset no longer assigns here. The
// caller holds the tracker's mutex.
func (r *run) cancelUnwanted() {
	if r.cancel != nil && r.slot.Job.Again && !r.slot.Job.Wanted && !r.retained {
		r.cancel(errUnwanted)
	}
}

func (t *Tracker) endFetch(r *run, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ok {
		t.queue.Moves(r.slot, time.Now()) // a node need not tell its progress
	}
	r.watch.Stop()
	r.cancel = nil
}

func (t *Tracker) patience(r *run) time.Duration {
	if r.slot.Class == queue.Seeking {
		if t.queue.ReadyIn(queue.Waiting) > t.cfg.Waiting {
			return max(t.cfg.WaitingTime/6, t.cfg.Patience) // else the last of many would wait for hours
		}
		return t.cfg.WaitingTime
	}
	return jitter(r.key(), 0, t.cfg.Patience) // those that began together do not end together
}

// checkProgress takes the slot from a fetch that does not move: it goes on in a
// slot for those who wait, if there is one, else it is tried again later.
func (t *Tracker) checkProgress(r *run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.cancel == nil {
		return
	}
	if left := t.patience(r) - time.Since(r.moved); left > 0 {
		r.watch.Reset(left)
		return
	}
	if !t.queue.Stalls(r.slot, time.Now()) {
		r.cancel(errStalled)
		return
	}
	r.watch.Reset(t.cfg.WaitingTime)
	poke(t.wake)
}

// progress takes the node's word on how far a fetch is.
func (t *Tracker) progress(r *run, p pinset.Progress) {
	t.mu.Lock()
	if p.Blocks > r.progress.Blocks || p.Bytes > r.progress.Bytes {
		r.progress, r.moved = p, time.Now()
		t.queue.Moves(r.slot, r.moved)
		r.pace.note(r.moved, p.Bytes)
	}
	cancel := r.cancel
	t.mu.Unlock()
	if cancel == nil {
		return
	}
	if !t.acct.grow(r, p.Bytes) {
		cancel(errOverLent)
	}
	if t.acct.mayBeScarce() {
		poke(t.full)
	}
}

// received takes the node's word on what a fetch brought from others.
func (t *Tracker) received(r *run, bytes uint64) {
	over := t.deps.Traffic.received(time.Now(), r, bytes)
	if over.Why == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.cancel != nil {
		r.cancel(&later{over})
	}
}

// ask is what a run would fetch.
func (r *run) ask(e entry, w want) budget.Ask {
	need := max(e.Need, w.need)
	return budget.Ask{Need: need - min(need, e.Got), Bulk: r.bulk}
}

func (t *Tracker) progressOf(r *run) pinset.Progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	return r.progress
}

func (t *Tracker) confirmed(r *run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.whole = true
}

func (t *Tracker) letting(r *run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.letting = true
}

// housekeep looks at the disk while data moves, and lets those who wait for room
// try again when there is some.
func (t *Tracker) housekeep(ctx context.Context) {
	if err := errors.Join(t.ledger.flush(ctx), t.deps.Traffic.save(ctx)); err != nil {
		t.ledgerFault(err)
	}
	t.mu.Lock()
	moving := len(t.runs) > 0
	away := t.faults.node.present()
	t.mu.Unlock()
	if away {
		return
	}
	if moving {
		t.askDisk(ctx)
	}
	left := t.acct.left()
	scarce := t.acct.scarce()
	t.mu.Lock()
	defer t.mu.Unlock()
	if scarce {
		for _, r := range t.runs {
			if r.cancel != nil {
				r.cancel(errReserve)
			}
		}
		return
	}
	t.queue.WakeRefused(left, time.Now())
	t.keepHours()
}

// keepHours ends what is fetched outside the hours for that, and has what was put
// off tried again when there is traffic for it. The caller holds t.mu.
func (t *Tracker) keepHours() {
	now := time.Now()
	for _, r := range t.runs {
		if r.cancel == nil {
			continue
		}
		if over := t.deps.Traffic.over(now, r); over.Why != "" {
			r.cancel(&later{over})
		}
	}
	t.queue.WakePut(t.deps.Traffic.may(now, nil, budget.Ask{Bulk: true}).Left, now)
}
