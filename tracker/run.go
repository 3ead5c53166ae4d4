package tracker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pinfold/pinfold/pinset"
)

// class of slots that a run occupies one of.
type class uint8

const (
	classMoving  class = iota // fetches that move data
	classWaiting              // fetches that wait for a provider
	classRelease              // looks and lettings go
)

// tick is how often the dispatcher looks at room and disk on its own.
const tick = 5 * time.Second

// run is the work on one item. The tracker's mutex guards it, but for reserved.
type run struct {
	job      *job
	class    class
	suspect  bool // the job was, when the run began
	retained bool // what is fetched is kept for others, not assigned here

	ahead uint64 // bytes that best-effort copies leave to it until it reserves them

	cancel   context.CancelCauseFunc // of the fetch, nil: none is under way
	began    time.Time
	moved    time.Time // last progress
	progress pinset.Progress
	watch    *time.Timer
	whole    bool // the node confirmed the pin; its blocks are being counted
	letting  bool // unpinning

	reserved, come uint64 // bytes; guarded by the account
}

// of returns the number of runs in a class.
func (s *slots) of(c class) *int {
	switch c {
	case classWaiting:
		return &s.waiting
	case classRelease:
		return &s.release
	}
	return &s.moving
}

func classOf(l lane) class {
	switch l {
	case laneWaiting:
		return classWaiting
	case laneRelease:
		return classRelease
	}
	return classMoving
}

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
	next, some = t.queue.due(time.Now())
	if t.faults.node.present() {
		return time.Time{}, false // the probe wakes us
	}
	until := t.cfg.Paused()
	paused := until.After(time.Now())
	for {
		free := slots{
			moving:  t.cfg.Concurrency - t.busy.moving,
			waiting: t.cfg.Waiting - t.busy.waiting,
			release: t.cfg.Concurrency - t.busy.release,
		}
		if paused {
			free.moving, free.waiting = 0, 0 // the beat notices the end
		}
		j := t.queue.pick(free)
		if j == nil {
			return next, some
		}
		r := &run{job: j, class: classOf(j.lane), suspect: j.suspect, began: time.Now()}
		if j.counts() {
			r.ahead = j.need
			t.ahead += j.need
		}
		*t.busy.of(r.class)++
		t.runs[j.key] = r
		workers.Go(func() { t.work(ctx, r) })
	}
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
	t.arrived(r)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.runs, r.job.key)
	*t.busy.of(r.class)--
	j := r.job
	switch {
	case res.err == nil:
		res.at = j.nextLook(res.outcome, time.Now(), t.cfg.Recheck)
		t.settle(j, res.outcome)
	case errors.Is(res.err, errAway), errors.Is(res.err, context.Canceled):
		t.queue.place(j, time.Now(), time.Time{})
		t.loosed()
	default:
		t.faults.item.set(res.err)
		t.cfg.Log.Debug("look at item", "cid", j.key.cid(), "err", res.err)
		t.putBack(j)
	}
}

// nextLook says when a copy that is held beyond what is wanted is looked at again:
// often at first, then not so often, so that cover that comes and goes is seen.
func (j *job) nextLook(o outcome, now time.Time, recheck time.Duration) time.Time {
	if o.entry.held() <= o.entry.Want {
		j.looks = 0
		return o.at
	}
	at := now.Add(backoff(j.key, uint64(j.looks), recheck, 32*recheck))
	j.looks = min(j.looks+1, 100)
	if o.at.IsZero() || at.Before(o.at) {
		return at
	}
	return o.at
}

// startFetch notes that a fetch begins, and watches its progress.
func (t *Tracker) startFetch(r *run, cancel context.CancelCauseFunc, retained bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.cancel, r.retained, r.moved, r.progress = cancel, retained, time.Now(), pinset.Progress{}
	r.watch = time.AfterFunc(t.patience(r), func() { t.checkProgress(r) })
	r.cancelUnwanted()
}

// cancelUnwanted stops a fetch of what the pinset no longer assigns here. The
// caller holds the tracker's mutex.
func (r *run) cancelUnwanted() {
	if r.cancel != nil && r.job.again && !r.job.wanted && !r.retained {
		r.cancel(errUnwanted)
	}
}

func (t *Tracker) endFetch(r *run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.watch.Stop()
	r.cancel = nil
}

func (t *Tracker) patience(r *run) time.Duration {
	if r.class == classWaiting {
		return t.cfg.WaitingTime
	}
	return t.cfg.Patience
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
	if r.class != classMoving || t.busy.waiting >= t.cfg.Waiting {
		r.cancel(errStalled)
		return
	}
	t.busy.moving--
	t.busy.waiting++
	r.class = classWaiting
	r.watch.Reset(t.cfg.WaitingTime)
	poke(t.wake)
}

// progress takes the node's word on how far a fetch is.
func (t *Tracker) progress(r *run, p pinset.Progress) {
	t.mu.Lock()
	if p.Blocks > r.progress.Blocks || p.Bytes > r.progress.Bytes {
		r.progress, r.moved = p, time.Now()
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
	if err := t.ledger.flush(ctx); err != nil {
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
	t.queue.wakeRefused(left, time.Now())
}
