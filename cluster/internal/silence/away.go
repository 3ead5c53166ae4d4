package silence

import (
	"maps"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Away tells which members were not heard for longer than an outage that moves
// nothing. It is safe for concurrent use.
type Away struct {
	after time.Duration

	mu      sync.Mutex
	since   time.Time // this peer was there to hear them
	looked  time.Time
	away    map[peer.ID]bool
	long    map[peer.ID]bool
	changed chan struct{}
}

// asleep is how long after a look the next one finds that this machine slept, and
// heard nobody for that reason.
const asleep = 2 * time.Minute

// NewAway returns an Away of nobody; a member is away after so much silence.
func NewAway(after time.Duration) *Away { return &Away{after: after, changed: make(chan struct{})} }

// Look takes when each other member was last heard, zero: not since the start,
// and who is silent for so long that it counts for what it held before too.
func (a *Away) Look(now time.Time, heard map[peer.ID]time.Time, silent func(peer.ID) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.looked.IsZero() || now.Sub(a.looked) > asleep {
		a.since = now
	}
	a.looked = now
	away, long := map[peer.ID]bool{}, map[peer.ID]bool{}
	for id, at := range heard {
		if at.Before(a.since) {
			at = a.since
		}
		if now.Sub(at) <= a.after {
			continue
		}
		if away[id] = true; silent(id) {
			long[id] = true
		}
	}
	if maps.Equal(away, a.away) && maps.Equal(long, a.long) {
		return
	}
	a.away, a.long = away, long
	close(a.changed)
	a.changed = make(chan struct{})
}

// Now returns who is away, and who of them for long, until changed is closed. The
// maps do not change.
func (a *Away) Now() (away, long map[peer.ID]bool, changed <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.away, a.long, a.changed
}
