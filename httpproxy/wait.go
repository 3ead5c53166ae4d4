package httpproxy

import (
	"context"
	"slices"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// waiting is how much of the cluster must hold a pin before the answer.
type waiting string

const (
	accepted waiting = "accepted" // the pin is durable, the data comes later
	one      waiting = "one"      // one copy
	least    waiting = "min"      // as many as it must have
	all      waiting = "all"      // as many as it wants
)

// waiting reads ?pinfold-wait=.
func (c *call) waiting(def waiting) (waiting, error) {
	text, ok := c.opts["pinfold-wait"]
	if !ok {
		return def, nil
	}
	w := waiting(text)
	if !slices.Contains([]waiting{accepted, one, least, all}, w) {
		return "", badRequest("pinfold-wait %q: want accepted, one, min or all", text)
	}
	return w, nil
}

// met says whether a CID is held as widely. A cluster with fewer eligible members
// than the minimum holds as many copies as it can: then that counts.
func (w waiting) met(s pinset.Summary) bool {
	able := len(s.Allocation)
	switch w {
	case accepted:
		return true
	case one:
		return s.Copies >= 1
	case all:
		return s.Copies >= max(1, able)
	}
	need := s.Want.Min
	if need < 0 || need > able {
		need = able
	}
	return s.Copies >= max(1, need)
}

// stored says whether a pin may be listed: the minimum of its copies is there.
func stored(s pinset.Summary) bool { return least.met(s) }

// Pauses between two looks at a pin that is waited for.
const (
	firstLook = 5 * time.Millisecond
	lastLook  = 500 * time.Millisecond
)

// until returns when a CID is held as widely as w says. tell is called, now and
// then, with what has been fetched; it may be nil.
func (c *call) until(ctx context.Context, k cid.Cid, w waiting, tell func(pinset.Progress) error) error {
	if w == accepted {
		return nil
	}
	pause := time.NewTimer(firstLook)
	defer pause.Stop()
	for next := firstLook; ; next = min(2*next, lastLook) {
		s, err := c.s.deps.Statuses.Status(ctx, k, false)
		if err != nil {
			return err
		}
		p := progress(s)
		if w.met(s) {
			return c.tellDone(ctx, k, p, tell)
		}
		if err := hopeless(s); err != nil {
			return err
		}
		if tell != nil && next == lastLook {
			if err := tell(p); err != nil {
				return err
			}
		}
		pause.Reset(next)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// countTime bounds counting what is here only to say it.
const countTime = 200 * time.Millisecond

// tellDone says how much it was in the end.
func (c *call) tellDone(ctx context.Context, k cid.Cid, p pinset.Progress, tell func(pinset.Progress) error) error {
	if tell == nil {
		return nil
	}
	if p.Blocks == 0 {
		ctx, cancel := context.WithTimeout(ctx, countTime)
		defer cancel()
		if counted, err := c.s.deps.Node.DAGSize(ctx, k, pinset.Recursive); err == nil {
			p = counted
		}
	}
	if p.Blocks == 0 {
		return nil
	}
	return tell(p)
}

// progress is what all holders have fetched, together: it grows while anything
// moves.
func progress(s pinset.Summary) (sum pinset.Progress) {
	for _, h := range s.Holdings {
		sum.Blocks += h.Progress.Blocks
		sum.Bytes += h.Progress.Bytes
	}
	return sum
}

// hopeless says why waiting is useless: the pin is gone, nobody may hold it, or
// all who shall hold it refuse. The claim stays where there is one.
func hopeless(s pinset.Summary) error {
	if len(s.Pins) == 0 {
		return pinset.NotFound("pin %s: it was removed meanwhile", s.CID)
	}
	if len(s.Allocation) == 0 {
		return pinset.Errorf(pinset.KindRefused, "pin %s: no member of the cluster has room for it", s.CID).WithHint("the pin stays, and is placed when one has")
	}
	why := ""
	for _, h := range s.Holdings {
		if !h.Assigned {
			continue
		}
		if h.Status != pinset.StatusRefused {
			return nil
		}
		why = h.Name + ": " + h.Error
	}
	if why == "" {
		return nil
	}
	return pinset.Errorf(pinset.KindRefused, "pin %s: %s", s.CID, why).WithHint("the pin stays, and is tried again")
}
