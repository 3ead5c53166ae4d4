package crdtstate

import (
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// lookups is what was read of CIDs lately. When a pin changes, several ask for it
// one after the other - who looks for expiry, who plans, who acts - and a look into
// the store costs more than all that they do with it.
//
// A round forgets what it changed before anybody is told of it. What was read
// while a round ended is not kept: it may be from before.
type lookups struct {
	mu         sync.Mutex
	rounds     uint64 // that ended
	young, old map[cid.Cid]looked
}

// looked is what is known of one CID.
type looked struct {
	pins   []pinset.Pin
	pinned bool // pins are known
	size   uint64
	sized  bool // size is known
}

// maxLookups bounds each of the two generations: some 400 bytes a CID.
const maxLookups = 2048

// get returns what is known, and the round to keep more under.
func (l *lookups) get(c cid.Cid) (have looked, round uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	have, ok := l.young[c]
	if !ok {
		have = l.old[c]
	}
	return have, l.rounds
}

// keep adds to what is known of a CID, unless a round has ended meanwhile.
func (l *lookups) keep(c cid.Cid, round uint64, add func(*looked)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if round != l.rounds {
		return
	}
	have, ok := l.young[c]
	if !ok {
		have = l.old[c]
	}
	add(&have)
	if len(l.young) >= maxLookups || l.young == nil {
		l.young, l.old = map[cid.Cid]looked{}, l.young
	}
	l.young[c] = have
}

// forget drops what a round changed.
func (l *lookups) forget(changed []cid.Cid) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rounds++
	for _, c := range changed {
		delete(l.young, c)
		delete(l.old, c)
	}
}

// clear drops everything.
func (l *lookups) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rounds++
	l.young, l.old = nil, nil
}
