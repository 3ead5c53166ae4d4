package pinset

import (
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Removal asks for the end of one owner's pin.
type Removal struct {
	CID   cid.Cid
	Owner string
	// Together is how many removals this one belongs to, 0 for it alone: they are
	// judged as a whole before the first is made.
	Together uint64
	Force    bool // remove also what would be too much at once
}

// Removed is a pin that was removed, as it was.
type Removed struct {
	Pin   Pin
	By    peer.ID   // the member that removed it
	At    time.Time // when the peer that tells it learnt of it
	Until time.Time // from when on it is forgotten
}

// RemovedFilter picks among removed pins. The zero filter picks all.
type RemovedFilter struct {
	CIDs  []cid.Cid
	Name  string    // the pin's name; with a * at its end, the beginning of it
	Since time.Time // removed then or later
	// Owner is whose pins, when Owned is set.
	Owner string
	Owned bool
	// NamePrefix is what the caller may touch.
	NamePrefix string
}

// Match says whether the filter picks a pin.
func (f *RemovedFilter) Match(r *Removed) bool {
	if f.Owned && r.Pin.Owner != f.Owner || r.At.Before(f.Since) || !strings.HasPrefix(r.Pin.Name, f.NamePrefix) {
		return false
	}
	if begin, open := strings.CutSuffix(f.Name, "*"); open && !strings.HasPrefix(r.Pin.Name, begin) || !open && f.Name != "" && r.Pin.Name != f.Name {
		return false
	}
	if len(f.CIDs) == 0 {
		return true
	}
	for _, c := range f.CIDs {
		if V1(c).Equals(V1(r.Pin.CID)) {
			return true
		}
	}
	return false
}

// Merge is what came together at a peer after members were apart, or changed one
// pin at the same time.
type Merge struct {
	Began, Ended time.Time
	From         []MergeSource
	Contested    []Contest
	More         uint64 // contested pins beyond those named
}

// MergeSource is what came from one member.
type MergeSource struct {
	Author                  peer.ID
	Deltas, Pinned, Removed uint64
}

// Contest is a pin that was changed on two sides at the same time.
type Contest struct {
	CID    cid.Cid
	Owner  string
	Kept   bool      // Others removed it; it stays, since Winner pinned it at the same time
	Winner peer.ID   // whose change counts
	Others []peer.ID // whose changes do not
}
