package tracker

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pinfold/pinfold/pinset"
)

func TestRecentKnowsWhatWasNeverThere(t *testing.T) {
	r := newRecent()
	const n = 20_000
	at := func(i int) key { return keyOf(testCID(uint64(i))) }
	if _, known := r.get(at(1)); known {
		t.Error("it knows before the ledger was read")
	}
	for i := range n {
		r.load(at(i))
	}
	r.loaded()
	wrong := 0
	for i := range n {
		if _, known := r.get(at(i)); known {
			t.Fatalf("item %d is in the ledger, and is said not to be", i)
		}
		if _, known := r.get(at(n + i)); !known {
			wrong++
		}
	}
	if wrong > n/10 {
		t.Errorf("%d of %d that were never there take a look", wrong, n)
	}
	bits := 0
	for _, l := range r.layers {
		bits += 64 * len(l.bits)
	}
	if bits > 4*layerBits*n {
		t.Errorf("%d bits for %d items", bits, n)
	}
}

func TestNotesAreReadAndWritten(t *testing.T) {
	ctx := t.Context()
	store := mapStore()
	l, err := openLedger(ctx, store, "c", &Turns{})
	if err != nil {
		t.Fatal(err)
	}
	k, other := keyOf(testCID(1)), keyOf(testCID(2))
	stored := func() entry {
		t.Helper()
		e, err := getEntry(ctx, store, l.items.ChildString(k.text()))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	read := func(what string, want entry) {
		t.Helper()
		if e, err := l.get(ctx, k); err != nil || e != want {
			t.Errorf("%s: %s, %v", what, cmp.Diff(want, e), err)
		}
	}
	queued, pinned := entry{Name: "n", State: pinset.StatusQueued}, entry{Name: "n", State: pinset.StatusPinned, Placed: wholeDAG}
	if err := l.put(ctx, change{k, entry{}, queued}); err != nil {
		t.Fatal(err)
	}
	read("put", queued)
	if err := l.note(ctx, change{k, queued, pinned}); err != nil {
		t.Fatal(err)
	}
	read("noted", pinned)
	if stored() != queued {
		t.Error("a note was written at once")
	}
	for it, err := range l.all(ctx) {
		if err != nil || it.entry != pinned {
			t.Errorf("the list has %+v, %v, want what was noted", it.entry, err)
		}
	}
	if err := l.note(ctx, change{k, pinned, queued}); err != nil {
		t.Fatal(err)
	}
	if err := l.put(ctx, change{other, entry{}, queued}); err != nil || stored() != queued {
		t.Errorf("the next put, %v, left out the note: %+v", err, stored())
	}
	if err := l.note(ctx, change{k, queued, pinned}); err != nil {
		t.Fatal(err)
	}
	if err := l.put(ctx, change{k, pinned, entry{}}); err != nil || stored().exists() {
		t.Errorf("a removal, %v, did not come after the note: %+v", err, stored())
	}
	read("removed", entry{})
	if l.recent.pending() {
		t.Error("a note waits, and all were written")
	}
}

func TestNotesAreBounded(t *testing.T) {
	ctx := t.Context()
	l, err := openLedger(ctx, mapStore(), "c", &Turns{})
	if err != nil {
		t.Fatal(err)
	}
	const n = 5 * (maxNotes + maxRecent)
	for i := range n {
		c := change{keyOf(testCID(uint64(i))), entry{}, entry{Need: uint64(i), State: pinset.StatusPinned}}
		if err := l.note(ctx, c); err != nil {
			t.Fatal(err)
		}
		if held := len(l.recent.notes) + len(l.recent.young) + len(l.recent.old); held > maxNotes+2*maxRecent+maxNotes {
			t.Fatalf("%d entries in memory", held)
		}
	}
	if err := l.flush(ctx); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if e, err := l.get(ctx, keyOf(testCID(uint64(i)))); err != nil || e.Need != uint64(i) {
			t.Fatalf("item %d: %+v, %v", i, e, err)
		}
	}
}
