package tracker

import (
	"hash/maphash"
	"sync"
)

// recent is what of the ledger is in memory: what was written lately, notes that
// wait to be written, and, in a few bits an item, which items may be there at all.
// An item is read right after it was written, and most items of the pinset are
// never in the ledger.
type recent struct {
	mu         sync.Mutex
	young, old map[key]entry // written; one that does not exist was removed
	notes      map[key]entry // to be written with the next put
	seed       maphash.Seed
	layers     []layer // what was ever there, once whole
	whole      bool
}

const (
	maxRecent = 1024 // items in each of two generations
	maxNotes  = 256
)

func newRecent() *recent {
	return &recent{young: map[key]entry{}, notes: map[key]entry{}, seed: maphash.MakeSeed()}
}

// get returns an entry without a look into the store; false: it takes one.
func (r *recent) get(k key) (entry, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, from := range []map[key]entry{r.notes, r.young, r.old} {
		if e, ok := from[k]; ok {
			return e, true
		}
	}
	return entry{}, r.whole && !r.mayHave(k)
}

// note remembers a change that is to be written; false: there are too many.
func (r *recent) note(c change) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.notes) >= maxNotes {
		return false
	}
	r.notes[c.key] = c.new
	r.saw(c.key)
	return true
}

// with returns changes together with the notes that are older than they.
func (r *recent) with(changes []change) []change {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]change, 0, len(r.notes)+len(changes))
	for k, e := range r.notes {
		all = append(all, change{key: k, new: e})
	}
	for _, c := range changes {
		r.saw(c.key)
	}
	return append(all, changes...)
}

// wrote takes what with returned as written, or, after an error, as unknown. Notes
// stay until they are.
func (r *recent) wrote(all []change, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range all {
		if err != nil {
			delete(r.young, c.key)
			delete(r.old, c.key)
			continue
		}
		if r.notes[c.key] == c.new {
			delete(r.notes, c.key)
		}
		if len(r.young) >= maxRecent {
			r.young, r.old = map[key]entry{}, r.young
		}
		r.young[c.key] = c.new
	}
}

// load takes in an item that was there at the start, loaded that all were.
func (r *recent) load(k key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.saw(k)
}

func (r *recent) loaded() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.whole = true
}

// layer is a Bloom filter: of what it has not seen, it says so 98 times of a
// hundred when it is full.
type layer struct {
	bits []uint64
	left int // items that it is made for
}

const (
	firstLayer = 1 << 12 // items; each further layer is made for twice as many
	layerBits  = 10      // an item
	layerMarks = 5       // an item
)

// places yields an item's bits in a layer. The caller holds r.mu.
func (l *layer) places(h uint64) (out [layerMarks]uint64) {
	step := h>>32 | 1
	for i := range out {
		out[i] = h % uint64(len(l.bits)*64)
		h += step
	}
	return out
}

func (r *recent) mayHave(k key) bool {
	h := maphash.String(r.seed, string(k))
	for i := range r.layers {
		l := &r.layers[i]
		all := true
		for _, p := range l.places(h) {
			all = all && l.bits[p/64]>>(p%64)&1 == 1
		}
		if all {
			return true
		}
	}
	return false
}

func (r *recent) saw(k key) {
	if r.mayHave(k) {
		return
	}
	n := len(r.layers)
	if n == 0 || r.layers[n-1].left == 0 {
		items := firstLayer << n
		r.layers = append(r.layers, layer{make([]uint64, items*layerBits/64), items})
		n++
	}
	l := &r.layers[n-1]
	l.left--
	for _, p := range l.places(maphash.String(r.seed, string(k))) {
		l.bits[p/64] |= 1 << (p % 64)
	}
}

// pending says whether notes wait to be written.
func (r *recent) pending() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.notes) > 0
}
