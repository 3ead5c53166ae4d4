package tracker

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"time"

	"github.com/pinfold/pinfold/pinset"
	"github.com/pinfold/pinfold/tracker/internal/queue"
)

// maxLost bounds how many lost pins one sweep names in the log.
const maxLost = 20

// sweepAlways compares node and ledger at the start, after the node was away, and
// from time to time.
func (t *Tracker) sweepAlways(ctx context.Context) error {
	if !t.caughtUp(ctx) {
		return ctx.Err()
	}
	wait := time.Duration(0)
	for {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-t.look:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		wait = t.cfg.Sweep
		if t.nodeAway() {
			continue // the probe asks for a sweep when it is back
		}
		if err := t.sweep(ctx); err != nil && ctx.Err() == nil {
			wait = min(wait, time.Minute)
			if !errors.Is(err, errAway) {
				t.cfg.Log.Debug("sweep", "err", err)
			}
		}
	}
}

// sweep streams the node's pins and then the ledger. What the ledger believes to
// be at the node and the node did not list is looked at one by one: the lists are
// not of one moment. It takes eight bytes for each pin of the node, and for each
// of the ledger.
func (t *Tracker) sweep(ctx context.Context) error {
	p := printer{maphash.MakeSeed()}
	var prints, marked []uint64
	for pin, err := range t.deps.Node.Pins(ctx) {
		if err != nil {
			return t.nodeFault(err)
		}
		prints = append(prints, p.print(pin.CID, extentOf(pin.Mode), pin.Name))
		if t.mark.on(pin.Name) {
			marked = append(marked, p.print(pin.CID, nothing, pin.Name))
		}
	}
	slices.Sort(prints)
	var named []uint64
	for it, err := range t.ledger.all(ctx) {
		if err != nil {
			return err
		}
		e := it.entry
		if e.Name != "" {
			named = append(named, p.print(e.form(it.key), nothing, e.Name))
		}
		if e.held() == nothing {
			continue
		}
		if _, listed := slices.BinarySearch(prints, p.print(e.form(it.key), e.held(), e.nodeName())); !listed {
			t.suspect(it.key)
		}
	}
	unknown, err := t.unknown(ctx, p, marked, named)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults.unknown, t.faults.named = unknown, 0
	if !t.swept {
		t.swept = true
		t.version++
	}
	return nil
}

// unknown counts the marked pins of the node that no ledger of this daemon has.
// When this cluster's ledger has them all, that costs nothing more.
func (t *Tracker) unknown(ctx context.Context, p printer, marked, named []uint64) (n int, err error) {
	slices.Sort(named)
	has := func(print uint64) bool {
		_, ok := slices.BinarySearch(named, print)
		return ok
	}
	if !slices.ContainsFunc(marked, func(print uint64) bool { return !has(print) }) {
		return 0, nil
	}
	for pin, err := range t.deps.Node.Pins(ctx) {
		if err != nil {
			return 0, t.nodeFault(err)
		}
		if !t.mark.on(pin.Name) || has(p.print(pin.CID, nothing, pin.Name)) {
			continue
		}
		known, err := t.knows(ctx, pin)
		if err != nil {
			return 0, err
		}
		if !known {
			n++
		}
	}
	return n, nil
}

// knows says whether some cluster's ledger has a marked pin.
func (t *Tracker) knows(ctx context.Context, pin pinset.NodePin) (bool, error) {
	k := keyOf(pin.CID)
	e, err := t.ledger.get(ctx, k)
	if err != nil || e.Name == pin.Name {
		return true, err
	}
	others, err := t.ledger.others(ctx, k)
	for _, e := range others {
		if e.Name == pin.Name {
			return true, nil
		}
	}
	return false, err
}

// suspect has an item looked at. Until then reports name it as missing.
func (t *Tracker) suspect(k key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	j := t.queue.Find(string(k))
	if t.queue.IsBusy(string(k)) {
		j.Again = true // who works on it may have looked before
		return
	}
	if j == nil {
		// At rest; whether it is assigned is not known here. To say that something is
		// missing which is not assigned is no harm.
		j = t.queue.Get(string(k))
		j.Wanted, j.Held = true, true
	}
	t.queue.Lift(j)
	t.judge(j, func() { j.Suspect = true })
	j.Lane = queue.Release
	t.queue.Place(j, time.Now(), time.Time{})
	poke(t.wake)
}
