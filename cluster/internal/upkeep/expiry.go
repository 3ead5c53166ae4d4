package upkeep

import (
	"context"
	"time"

	"github.com/ipfs/go-cid"
)

// Expiry holds the pins that expire soonest, and what is to be looked at.
type Expiry struct {
	Soonest *Queue[string]
	changed *Changed
}

// NewExpiry returns one that has nothing yet.
func NewExpiry() *Expiry {
	return &Expiry{Soonest: NewQueue[string](4096), changed: NewChanged(4096)}
}

// Note takes CIDs whose pins changed, or that all may have.
func (q *Expiry) Note(cids []cid.Cid, all bool) {
	q.changed.Add(cids, all)
}

// Again has everything looked at.
func (q *Expiry) Again() { q.changed.Add(nil, true) }

// Take returns what is to be looked at: all, when the pins that were dropped from
// the queue come into sight again.
func (q *Expiry) Take() (cids []cid.Cid, all bool) {
	cids, all = q.changed.Take()
	if q.Soonest.Forgot() {
		all = true
	}
	return cids, all
}

// Wait returns when something is due or changed.
func (q *Expiry) Wait(ctx context.Context, now func() time.Time) error {
	return q.Soonest.WaitOr(ctx, now, q.changed.Wake())
}
