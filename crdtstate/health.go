package crdtstate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/crdtstate/internal/blocklog"
	"github.com/pinfold/pinfold/pinset"
)

// health is what is wrong now, or was lately.
type health struct {
	mu      sync.Mutex
	refused map[peer.ID]*refusals
	parked  map[cid.Cid]time.Time
	forked  []fork
	disk    string
	diskAt  time.Time
	broken  string
	brokeAt time.Time
}

type fork struct {
	blocklog.Fork
	since time.Time // when this process learnt of it
}

// refusals of blocks that claim to be by one author.
type refusals struct {
	count       uint64
	reason      string // of the last
	first, last time.Time
}

const (
	shownRefusals = 24 * time.Hour // after the last one
	maxRefusers   = 256
	maxParked     = 1024
)

func newHealth() *health {
	return &health{refused: map[peer.ID]*refusals{}, parked: map[cid.Cid]time.Time{}}
}

// refuse counts a block that was not admitted. The author is who the block says,
// which a forgery may have made up.
func (h *health) refuse(author peer.ID, reason error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	r := h.refused[author]
	if r == nil {
		if len(h.refused) >= maxRefusers {
			author = "" // many names are one flood
		}
		if r = h.refused[author]; r == nil {
			r = &refusals{first: now}
			h.refused[author] = r
		}
	}
	r.count++
	r.last, r.reason = now, reason.Error()
}

func (h *health) park(c cid.Cid) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, there := h.parked[c]; !there && len(h.parked) < maxParked {
		h.parked[c] = time.Now()
	}
}

func (h *health) forks(fs []blocklog.Fork) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range fs {
		if !slices.ContainsFunc(h.forked, func(k fork) bool { return k.Fork == f }) {
			h.forked = append(h.forked, fork{f, time.Now()})
		}
	}
}

// space notes what the file system has free.
func (h *health) space(free, reserve uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if free >= reserve {
		h.disk = ""
		return
	}
	if h.disk == "" {
		h.diskAt = time.Now()
	}
	h.disk = fmt.Sprintf("%s free; nothing is written below %s", pinset.FormatSize(free), pinset.FormatSize(reserve))
}

func (h *health) failed(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken == "" {
		h.brokeAt = time.Now()
	}
	h.broken = err.Error()
}

func (h *health) well() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken = ""
}

func (h *health) entries() []pinset.HealthEntry {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []pinset.HealthEntry
	if h.disk != "" {
		out = append(out, pinset.HealthEntry{
			Code: "state-disk-full", Severity: pinset.SeverityError, Title: "The disk is full: changes are refused",
			Detail: h.disk, Do: "make room on the disk of the state directory; writing goes on by itself", Since: h.diskAt,
		})
	}
	if h.broken != "" {
		out = append(out, pinset.HealthEntry{
			Code: "state-store", Severity: pinset.SeverityError, Title: "The state's store failed: changes are refused",
			Detail: h.broken, Do: "check the disk; restart pinfold if it does not recover", Since: h.brokeAt,
		})
	}
	if len(h.parked) > 0 {
		since := slices.MinFunc(slices.Collect(maps.Values(h.parked)), time.Time.Compare)
		out = append(out, pinset.HealthEntry{
			Code: "state-newer", Severity: pinset.SeverityError, Title: "This pinfold is too old for what its cluster writes",
			Detail: fmt.Sprintf("%d changes wait, made under a newer feature level", len(h.parked)), Do: "update pinfold", Since: since,
		})
	}
	out = append(out, h.refusalEntries()...)
	return append(out, h.forkEntries()...)
}

func (h *health) refusalEntries() []pinset.HealthEntry {
	var out []pinset.HealthEntry
	authors := slices.SortedFunc(maps.Keys(h.refused), func(a, b peer.ID) int { return cmp.Compare(a, b) })
	for _, id := range authors {
		r := h.refused[id]
		if time.Since(r.last) > shownRefusals {
			delete(h.refused, id)
			continue
		}
		name := "unknown authors"
		if id != "" {
			name = id.String()
		}
		out = append(out, pinset.HealthEntry{
			Code: "state-refused", Severity: pinset.SeverityWarning,
			Title:  fmt.Sprintf("%d forged or forbidden changes in the name of %s were refused", r.count, name),
			Detail: "the last: " + r.reason, Since: r.first,
			Do: "nothing is harmed; if the name is a member's, ask its keeper, or have an admin remove it",
		})
	}
	return out
}

func (h *health) forkEntries() []pinset.HealthEntry {
	var out []pinset.HealthEntry
	for _, f := range h.forked {
		first := "an old block"
		if f.First.Defined() {
			first = f.First.String()
		}
		out = append(out, pinset.HealthEntry{
			Code: "state-fork", Severity: pinset.SeverityWarning,
			Title:  fmt.Sprintf("%s signed two changes as its number %d", f.Author, f.Seq),
			Detail: fmt.Sprintf("%s and %s; both are kept", first, f.Second),
			Do:     "its state was restored from an old copy, or its key is in two hands: let its keeper check, and join again with a new key",
			Since:  f.since,
		})
	}
	return out
}

// Health says what is wrong with the state now: refused forgeries by author, forks,
// a full disk, changes that wait for an update.
func (s *State) Health() []pinset.HealthEntry {
	if free, err := s.out.free(); err == nil {
		s.health.space(free, s.cfg.Reserve)
	}
	return append(s.health.entries(), s.sealEntries()...)
}

// sealEntries names who signed two things of which one excludes the other.
func (s *State) sealEntries() []pinset.HealthEntry {
	s.closing.mu.Lock()
	liars := s.closing.book.Liars()
	s.closing.mu.Unlock()
	var out []pinset.HealthEntry
	for _, id := range slices.Sorted(maps.Keys(liars)) {
		out = append(out, pinset.HealthEntry{
			Code: "state-seals", Severity: pinset.SeverityWarning,
			Title:  fmt.Sprintf("%s signed two seals that exclude each other", id),
			Detail: liars[id] + "; no history is folded until it seals again or is removed, and nothing else waits for it",
			Do:     "its state was restored from an old copy, or its key is in two hands: let its keeper check, or have an admin remove it",
		})
	}
	return out
}
