package annals

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/canon"
	"github.com/pinfold/pinfold/pinset"
)

// What is kept of merges at most.
const (
	maxReports   = 100
	maxContested = 200  // of one report; the rest is counted
	maxRecent    = 4096 // removals that a pin from the other side may turn out to be concurrent with
)

const mergePrefix = "/annals/merge/"

// reports gather what comes together after a split, or was changed on two sides at
// the same time, and keep it.
type reports struct {
	store  ds.Datastore
	recent map[string]removal // by key; the reader's alone
	order  []string

	mu    sync.Mutex
	kept  []pinset.Merge // the oldest first
	open  *pinset.Merge  // under way
	apart bool           // with somebody of it this peer was apart
	dirty bool
}

type removal struct {
	by peer.ID
	at uint64
}

type mergeRecord struct {
	Began     int64           `cbor:"began"`
	Ended     int64           `cbor:"ended"`
	From      []sourceRecord  `cbor:"from"`
	Contested []contestRecord `cbor:"contested"`
	More      uint64          `cbor:"more"`
}

type sourceRecord struct {
	Author  []byte `cbor:"by"`
	Deltas  uint64 `cbor:"deltas"`
	Pinned  uint64 `cbor:"pinned"`
	Removed uint64 `cbor:"removed"`
}

type contestRecord struct {
	Key    string   `cbor:"k"`
	Kept   bool     `cbor:"kept"` // a pin that somebody removed
	Winner []byte   `cbor:"by"`
	Others [][]byte `cbor:"not"`
}

func openReports(ctx context.Context, store ds.Datastore) (*reports, error) {
	r := &reports{store: store, recent: map[string]removal{}}
	rows, err := store.Query(ctx, query.Query{Prefix: mergePrefix})
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for row := range rows.Next() {
		if row.Error != nil {
			return nil, row.Error
		}
		var m mergeRecord
		if canon.Unmarshal(row.Value, &m) != nil {
			continue
		}
		r.kept = append(r.kept, m.value())
	}
	slices.SortFunc(r.kept, func(a, b pinset.Merge) int { return a.Began.Compare(b.Began) })
	return r, nil
}

// sight is how an entry came.
type sight struct {
	now   time.Time
	apart bool // its author was not heard for a while, until a moment ago
}

// note takes in another's entry. kept are pins that it keeps in spite of a removal.
func (r *reports) note(e Entry, kept []pinset.Contest, s sight) {
	if !e.Beside && !s.apart {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil || s.now.Sub(r.open.Ended) >= quiet {
		r.open, r.apart = &pinset.Merge{Began: s.now.UTC().Truncate(time.Millisecond)}, false
	}
	m := r.open
	m.Ended, r.dirty, r.apart = s.now.UTC().Truncate(time.Millisecond), true, r.apart || s.apart
	i := slices.IndexFunc(m.From, func(f pinset.MergeSource) bool { return f.Author == e.Author })
	if i < 0 {
		i = len(m.From)
		m.From = append(m.From, pinset.MergeSource{Author: e.Author})
	}
	m.From[i].Deltas++
	m.From[i].Pinned += uint64(len(e.Set))
	m.From[i].Removed += uint64(len(e.Gone))
	for _, v := range e.Rivals {
		contest(m, contestOf(v, false, v.Others))
	}
	for _, v := range e.Outcome {
		contest(m, contestOf(v, true, []peer.ID{e.Author}))
	}
	for _, c := range kept {
		contest(m, c)
	}
}

// repinned finds keys that an entry pins while somebody else removed them at the
// same time, and remembers what it removes itself.
func (r *reports) repinned(ctx context.Context, h History, e Entry) ([]pinset.Contest, error) {
	var out []pinset.Contest
	for _, k := range e.Set {
		was, there := r.recent[k]
		if !there || !e.Beside || was.by == e.Author {
			continue
		}
		later, err := h.Follows(ctx, e.At, was.at)
		if err != nil {
			return nil, err
		}
		if !later {
			out = append(out, contestOf(Rivalry{Key: k, Author: e.Author}, true, []peer.ID{was.by}))
		}
	}
	for _, g := range e.Gone {
		if _, again := r.recent[g.Key]; !again {
			r.order = append(r.order, g.Key)
		}
		r.recent[g.Key] = removal{e.Author, e.At}
	}
	for len(r.order) > maxRecent {
		delete(r.recent, r.order[0])
		r.order = r.order[1:]
	}
	return out, nil
}

// forget drops the removals that were remembered: in another epoch their places are
// those of other deltas.
func (r *reports) forget() {
	clear(r.recent)
	r.order = nil
}

// flush keeps the merge under way, if it is worth it, and ends it when it is quiet.
func (r *reports) flush(ctx context.Context, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		return nil
	}
	m, over := *r.open, now.Sub(r.open.Ended) >= quiet
	if r.dirty && (r.apart || len(m.Contested) > 0) {
		if err := r.keep(ctx, m); err != nil {
			return fmt.Errorf("keep report of a merge: %w", err)
		}
	}
	if r.dirty = false; over {
		r.open = nil
	}
	return nil
}

func (r *reports) keep(ctx context.Context, m pinset.Merge) error {
	raw, err := canon.Marshal(recordOf(m))
	if err != nil {
		return err
	}
	if err := r.store.Put(ctx, mergeKey(m), raw); err != nil {
		return err
	}
	if n := len(r.kept); n > 0 && r.kept[n-1].Began.Equal(m.Began) {
		r.kept[n-1] = m
	} else {
		r.kept = append(r.kept, m)
	}
	for len(r.kept) > maxReports {
		if err := r.store.Delete(ctx, mergeKey(r.kept[0])); err != nil {
			return err
		}
		r.kept = r.kept[1:]
	}
	return nil
}

func mergeKey(m pinset.Merge) ds.Key {
	return ds.NewKey(fmt.Sprintf("%s%016x", mergePrefix, m.Began.UnixMilli()))
}

// Merges returns what came together, the latest first.
func (a *Annals) Merges() []pinset.Merge {
	r := a.merges
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]pinset.Merge, 0, len(r.kept))
	for _, m := range slices.Backward(r.kept) {
		m.From, m.Contested = slices.Clone(m.From), slices.Clone(m.Contested)
		out = append(out, m)
	}
	return out
}

// contestOf is nothing for what is no pin's key, which the log does not have.
func contestOf(v Rivalry, kept bool, others []peer.ID) pinset.Contest {
	c := pinset.Contest{Kept: kept, Winner: v.Author, Others: others}
	c.CID, c.Owner, _ = pinset.ParseKey(v.Key)
	return c
}

// contest adds a pin, or what became of it since.
func contest(m *pinset.Merge, c pinset.Contest) {
	same := func(o pinset.Contest) bool { return o.CID.Equals(c.CID) && o.Owner == c.Owner && o.Kept == c.Kept }
	switch i := slices.IndexFunc(m.Contested, same); {
	case i >= 0:
		m.Contested[i] = c
	case len(m.Contested) < maxContested:
		m.Contested = append(m.Contested, c)
	default:
		m.More++
	}
}

func recordOf(m pinset.Merge) mergeRecord {
	out := mergeRecord{Began: m.Began.UnixMilli(), Ended: m.Ended.UnixMilli(), More: m.More}
	for _, f := range m.From {
		out.From = append(out.From, sourceRecord{[]byte(f.Author), f.Deltas, f.Pinned, f.Removed})
	}
	for _, c := range m.Contested {
		r := contestRecord{Key: pinset.Key(c.CID, c.Owner), Kept: c.Kept, Winner: []byte(c.Winner)}
		for _, id := range c.Others {
			r.Others = append(r.Others, []byte(id))
		}
		out.Contested = append(out.Contested, r)
	}
	return out
}

func (m mergeRecord) value() pinset.Merge {
	out := pinset.Merge{Began: time.UnixMilli(m.Began).UTC(), Ended: time.UnixMilli(m.Ended).UTC(), More: m.More}
	for _, f := range m.From {
		out.From = append(out.From, pinset.MergeSource{Author: peer.ID(f.Author), Deltas: f.Deltas, Pinned: f.Pinned, Removed: f.Removed})
	}
	for _, c := range m.Contested {
		var others []peer.ID
		for _, id := range c.Others {
			others = append(others, peer.ID(id))
		}
		out.Contested = append(out.Contested, contestOf(Rivalry{Key: c.Key, Author: peer.ID(c.Winner)}, c.Kept, others))
	}
	return out
}
