// Package sides says how the members stand to each other's pinset: who agrees with
// this peer, who has something else, who is not heard, and since when. It is pure
// but for Watch, which remembers.
package sides

import (
	"bytes"
	"encoding/hex"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// Word is what a member said last of its pinset.
type Word struct {
	Peer    peer.ID
	Heard   time.Time // zero: not since the start
	Digest  [32]byte
	Count   uint64 // of live pins
	Lacks   uint64 // changes known here that it has not said it knows
	Unknown uint64 // heads of its state that are not known here
}

// Here is this peer's own pinset, and how it listens.
type Here struct {
	Self   peer.ID
	Digest [32]byte
	Count  uint64
	Now    time.Time
	Lately time.Duration // within which a member counts as heard
}

func (h Here) silent(w Word) bool { return w.Heard.IsZero() || h.Now.Sub(w.Heard) > h.Lately }

// Agreement counts the members, whose words are in the order in which they are to
// be named; this peer's is not looked at.
func (h Here) Agreement(words []Word) pinset.Agreement {
	out := pinset.Agreement{Count: h.Count, Digest: hex.EncodeToString(h.Digest[:]), Members: len(words)}
	for _, w := range words {
		switch {
		case w.Peer != h.Self && h.silent(w):
			out.Silent = append(out.Silent, w.Peer)
			continue
		case w.Peer == h.Self, w.Digest == h.Digest:
			out.Agree++
		default:
			out.Behind = append(out.Behind, w.Peer)
		}
		out.Heard++
	}
	return out
}

// Sides groups the members: first those who agree with this peer, then the others
// that are heard, by what they have, the larger groups first; last those who are
// not heard. since tells from when on a member has differed.
func (h Here) Sides(words []Word, since func(peer.ID) time.Time) []pinset.Side {
	own := pinset.Side{Heard: true, Count: h.Count, Digest: hex.EncodeToString(h.Digest[:])}
	gone := pinset.Side{}
	others := map[[32]byte]*pinset.Side{}
	for _, w := range words {
		switch {
		case w.Peer == h.Self:
			own.Members = append(own.Members, w.Peer)
		case h.silent(w):
			at := w.Heard
			if at.IsZero() {
				at = since(w.Peer)
			}
			take(&gone, w, at)
		case w.Digest == h.Digest:
			own.Members = append(own.Members, w.Peer)
		default:
			s := others[w.Digest]
			if s == nil {
				s = &pinset.Side{Heard: true, Count: w.Count, Digest: hex.EncodeToString(w.Digest[:])}
				others[w.Digest] = s
			}
			take(s, w, since(w.Peer))
		}
	}
	out := []pinset.Side{own}
	order := slices.SortedFunc(maps.Keys(others), func(a, b [32]byte) int {
		if n := len(others[b].Members) - len(others[a].Members); n != 0 {
			return n
		}
		return bytes.Compare(a[:], b[:])
	})
	for _, d := range order {
		out = append(out, *others[d])
	}
	if len(gone.Members) > 0 {
		out = append(out, gone)
	}
	return out
}

// take adds a member to a side. Of a side its earliest time and its largest gap are
// told; of members that are not heard the largest count that they said last.
func take(s *pinset.Side, w Word, since time.Time) {
	s.Members = append(s.Members, w.Peer)
	if s.Since.IsZero() || !since.IsZero() && since.Before(s.Since) {
		s.Since = since
	}
	s.Count, s.Lacks, s.Unknown = max(s.Count, w.Count), max(s.Lacks, w.Lacks), max(s.Unknown, w.Unknown)
}

// healed is how long after its end a member's absence still explains what it sends.
const healed = 5 * time.Minute

// Watch remembers since when members differ from this peer. It is safe for
// concurrent use.
type Watch struct {
	short time.Duration // a difference that lasted less explains nothing

	mu   sync.Mutex
	rows map[peer.ID]row
}

type row struct{ since, ended time.Time } // ended zero: it goes on

// NewWatch has seen nobody yet.
func NewWatch(short time.Duration) *Watch { return &Watch{short: short, rows: map[peer.ID]row{}} }

// Look takes in how the members stand now.
func (w *Watch) Look(now time.Time, a pinset.Agreement) {
	w.mu.Lock()
	defer w.mu.Unlock()
	odd := map[peer.ID]bool{}
	for _, id := range slices.Concat(a.Behind, a.Silent) {
		odd[id] = true
		if r, there := w.rows[id]; !there || !r.ended.IsZero() {
			w.rows[id] = row{since: now}
		}
	}
	for id, r := range w.rows {
		switch {
		case odd[id]:
		case r.ended.IsZero() && now.Sub(r.since) > w.short:
			w.rows[id] = row{r.since, now}
		case r.ended.IsZero(), now.Sub(r.ended) > healed:
			delete(w.rows, id)
		}
	}
}

// Since is from when on a member differs or is not heard; zero: it does not.
func (w *Watch) Since(id peer.ID) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.rows[id]; r.ended.IsZero() {
		return r.since
	}
	return time.Time{}
}

// Apart says whether a member differed, or was not heard, for longer than deltas
// are on their way, and still is or was until a moment ago.
func (w *Watch) Apart(id peer.ID, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, there := w.rows[id]
	return there && (!r.ended.IsZero() || now.Sub(r.since) > w.short)
}
