package tracker

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/pinset"
	"github.com/pinfold/pinfold/tracker/internal/queue"
)

// standsIn says whether this member holds a pin for a while in place of some that
// cannot be reached: of a pin that they never said they hold, since it is younger
// than their absence, and of any other when they are away for long. Clocks of
// others have no part in it.
func (t *Tracker) standsIn(ctx context.Context, view *allocation.View, it allocation.Item, p pinset.Pin) bool {
	away, long, _ := t.deps.Absence.Away()
	// With fewer away there are fewer stand-ins: most pins are done with here.
	if len(away) == 0 || away[t.cfg.Self] || !slices.Contains(view.StandIns(it, away), t.cfg.Self) {
		return false
	}
	at := view.Allocate(it)
	missing := maps.Clone(away)
	for _, id := range slices.Concat(at.Holders, at.Mirrors) {
		if away[id] && !long[id] && t.deps.Coverage.Said(ctx, p, id) {
			delete(missing, id)
		}
	}
	return slices.Contains(view.StandIns(it, missing), t.cfg.Self)
}

// returned has what waits for a provider tried again now if somebody came back who
// was away: it may have what nobody else has.
func (t *Tracker) returned(was, away map[peer.ID]bool) {
	back := false
	for id := range was {
		back = back || !away[id]
	}
	if !back {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue.Hurry(time.Now(), func(j *queue.Job) bool { return j.Lane == queue.Waiting })
	poke(t.wake)
}

// covers says whether a member's word on a pin counts for a copy that is kept
// until others have it: not that of one who is away for long.
func (t *Tracker) covers(ctx context.Context, p pinset.Pin, by peer.ID) bool {
	_, long, _ := t.deps.Absence.Away()
	return !long[by] && t.deps.Coverage.Covered(ctx, p, by)
}
