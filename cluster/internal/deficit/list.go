package deficit

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
)

// Limit is how many rows a list keeps.
const Limit = 1 << 13

// Row is a CID that lacks copies.
type Row struct {
	Key   string // orders the rows
	CID   cid.Cid
	Hash  uint64 // its name among a statement's exceptions
	Since time.Time
}

// List is the list. It is safe for concurrent use.
type List struct {
	limit int

	mu     sync.Mutex
	rows   map[string]Row
	hashes map[uint64]int // how many rows have each
	over   bool           // more than limit were short
	stale  bool           // something unnamed may have become short
}

// NewList returns one that knows nothing yet. limit is for tests; 0: Limit.
func NewList(limit int) *List {
	if limit <= 0 {
		limit = Limit
	}
	return &List{limit: limit, rows: map[string]Row{}, hashes: map[uint64]int{}, stale: true}
}

// Rows returns the rows in the order of their keys. Without whole there may be
// others that lack copies.
func (l *List) Rows() (rows []Row, whole bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(l.rows)) {
		rows = append(rows, l.rows[k])
	}
	return rows, !l.over && !l.stale
}

// Since returns since when a CID lacks copies, as far as it is known.
func (l *List) Since(key string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rows[key].Since
}

// Knows says whether a row has this hash.
func (l *List) Knows(hash uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hashes[hash] > 0
}

// Put notes that a CID lacks copies, or does not. A row that is there keeps its
// Since.
func (l *List) Put(r Row, short bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old, there := l.rows[r.Key]
	switch {
	case there == short:
	case short && len(l.rows) >= l.limit:
		l.over = true
	case short:
		l.rows[r.Key] = r
		l.hashes[r.Hash]++
	default:
		delete(l.rows, r.Key)
		if l.hashes[old.Hash]--; l.hashes[old.Hash] == 0 {
			delete(l.hashes, old.Hash)
		}
	}
}

// Stale says whether the list has to be made anew.
func (l *List) Stale() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stale
}

// MakeStale says so.
func (l *List) MakeStale() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stale = true
}

// Over says whether more is short than the list keeps.
func (l *List) Over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// Filling is a list that is being made anew from the whole pinset.
type Filling struct {
	list  *List
	fresh *List
}

// Fill begins one. Until Done the old rows stand.
func (l *List) Fill() *Filling {
	return &Filling{list: l, fresh: NewList(l.limit)}
}

// Put notes a CID that lacks copies.
func (f *Filling) Put(r Row) {
	if at := f.list.Since(r.Key); !at.IsZero() {
		r.Since = at
	}
	f.fresh.Put(r, true)
}

// Done puts the new rows in the old ones' place. What changed since Fill has to be
// judged after it.
func (f *Filling) Done() {
	f.list.mu.Lock()
	defer f.list.mu.Unlock()
	f.list.rows, f.list.hashes, f.list.over, f.list.stale = f.fresh.rows, f.fresh.hashes, f.fresh.over, false
}
