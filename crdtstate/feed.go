package crdtstate

import (
	"context"
	"maps"
	"strings"
	"sync"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/crdtstate/internal/epoch"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// Announcement is an own delta that others should hear of. It is durable here.
type Announcement struct {
	Head  cid.Cid
	Block []byte
}

const maxAnnounced = 64

// Announcements yields own deltas, newest heads first to stay: when nobody reads,
// the oldest are dropped, since a head brings its ancestors with it. It is closed
// by Close.
func (s *State) Announcements() <-chan Announcement { return s.announced }

// announce is called with write held.
func (s *State) announce(a Announcement) {
	for {
		select {
		case s.announced <- a:
			return
		default:
		}
		select {
		case <-s.announced:
		default:
		}
	}
}

// Changes is what happened since the last call of Next.
type Changes struct {
	CIDs      []cid.Cid // CIDv1 of pins and sizes that may have changed
	Rescan    bool      // too many to name: look at everything
	Authority bool      // members, roles or policy may have changed
	Vector    map[peer.ID]uint64
}

// maxChanges is how many CIDs a feed names before it asks for a rescan.
const maxChanges = 16384

// Feed tells what changes, after it was merged. It holds a bounded amount, however
// slowly it is read.
type Feed struct {
	s         *State
	mu        sync.Mutex
	cids      map[cid.Cid]struct{}
	rescan    bool
	authority bool
	closed    bool
	ring      chan struct{}
}

// feeds are the open ones.
type feeds struct {
	mu   sync.Mutex
	open map[*Feed]struct{}
}

// Subscribe opens a feed of everything merged from now on.
func (s *State) Subscribe() *Feed {
	f := &Feed{s: s, cids: map[cid.Cid]struct{}{}, ring: make(chan struct{}, 1)}
	s.feeds.mu.Lock()
	defer s.feeds.mu.Unlock()
	if s.feeds.open == nil {
		s.feeds.open = map[*Feed]struct{}{}
	}
	s.feeds.open[f] = struct{}{}
	return f
}

// Close ends the feed; a waiting Next returns an error.
func (f *Feed) Close() {
	f.s.feeds.mu.Lock()
	delete(f.s.feeds.open, f)
	f.s.feeds.mu.Unlock()
	f.end()
}

func (f *Feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.wake()
}

func (f *Feed) wake() {
	select {
	case f.ring <- struct{}{}:
	default:
	}
}

// Next waits for changes. Everything that Vector covers was named, now or before.
// Errors: that of ctx, KindUnavailable when the feed or the state was closed.
func (f *Feed) Next(ctx context.Context) (Changes, error) {
	for {
		if c, some, closed := f.collect(); some {
			return c, nil
		} else if closed {
			return Changes{}, errClosed
		}
		select {
		case <-f.ring:
		case <-ctx.Done():
			return Changes{}, ctx.Err()
		}
	}
}

func (f *Feed) collect() (c Changes, some, closed bool) {
	f.s.vectorM.RLock()
	defer f.s.vectorM.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	c.Vector = maps.Clone(f.s.vector)
	c.Rescan, c.Authority = f.rescan, f.authority
	for k := range f.cids {
		c.CIDs = append(c.CIDs, k)
	}
	clear(f.cids)
	f.rescan, f.authority = false, false
	return c, c.Rescan || c.Authority || len(c.CIDs) > 0, f.closed
}

// notify tells of the CIDs that a round changed, and whether members, roles or
// policy did.
func (fs *feeds) notify(cids []cid.Cid, authority bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for f := range fs.open {
		f.add(cids, authority)
	}
}

// changedCIDs are those that a round's changes are about.
func changedCIDs(o epoch.Outcome) []cid.Cid {
	out := make([]cid.Cid, 0, len(o.Changed))
	for _, c := range o.Changed {
		if id := changedCID(c.Key); id.Defined() {
			out = append(out, id)
		}
	}
	return out
}

// changedCID is the CID that a key is about, undefined for other keys.
func changedCID(key string) cid.Cid {
	name := ""
	switch {
	case strings.HasPrefix(key, pinset.PinPrefix):
		name, _, _ = strings.Cut(key[len(pinset.PinPrefix):], "/")
	case strings.HasPrefix(key, identity.SizePrefix):
		name = key[len(identity.SizePrefix):]
	default:
		return cid.Undef
	}
	c, err := cid.Decode(name)
	if err != nil {
		return cid.Undef // the gate admits no such key
	}
	return c
}

func (f *Feed) add(cids []cid.Cid, authority bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.authority = f.authority || authority
	if !f.rescan {
		for _, c := range cids {
			f.cids[c] = struct{}{}
		}
		if len(f.cids) > maxChanges {
			f.rescan = true
			f.cids = map[cid.Cid]struct{}{}
		}
	}
	if authority || len(cids) > 0 {
		f.wake()
	}
}

// rescan asks everyone to look at everything.
func (fs *feeds) rescan() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for f := range fs.open {
		f.mu.Lock()
		f.rescan, f.authority = true, true
		clear(f.cids)
		f.wake()
		f.mu.Unlock()
	}
}

func (fs *feeds) close() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for f := range fs.open {
		f.end()
	}
	clear(fs.open)
}

// Authority is who may do what by everything admitted here.
func (s *State) Authority() *identity.Authority { return s.view.Load().authority }

// Summary is what peers compare.
func (s *State) Summary() Summary { return s.view.Load().Summary }

// Vector is the highest sequence number merged of each author.
func (s *State) Vector() map[peer.ID]uint64 {
	s.vectorM.RLock()
	defer s.vectorM.RUnlock()
	return maps.Clone(s.vector)
}
