package annals

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/pinset"
)

// log is a history that a test writes.
type log struct {
	epoch   uint64
	entries []Entry
	after   map[[2]uint64]bool // later, earlier
}

func (l *log) History(_ context.Context, from Place) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if from.Epoch != l.epoch {
			from.Block = 0
		}
		for _, e := range l.entries[from.Block:] {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (l *log) Follows(_ context.Context, later, earlier uint64) (bool, error) {
	return l.after[[2]uint64{later, earlier}], nil
}

func (l *log) Known(context.Context, cid.Cid) (bool, error) { return true, nil }

func (l *log) add(e Entry) {
	e.At = uint64(len(l.entries))
	e.Next = Place{Epoch: l.epoch, Block: e.At + 1}
	l.entries = append(l.entries, e)
}

func key(i int) string { return pinset.Key(ipfsclienttest.CID(uint64(i)), "") }

func gone(ids ...int) (out []Gone) {
	for _, i := range ids {
		out = append(out, Gone{key(i), fmt.Append(nil, "value ", i)})
	}
	return out
}

// world is one peer's annals with a clock.
type world struct {
	*Annals
	t     *testing.T
	log   *log
	store ds.Datastore
	now   time.Time
	apart map[peer.ID]bool
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, log: &log{after: map[[2]uint64]bool{}}, store: dssync.MutexWrap(ds.NewMapDatastore()), now: time.Unix(1e9, 0).UTC(), apart: map[peer.ID]bool{}}
	w.open()
	return w
}

func (w *world) open() {
	w.t.Helper()
	a, err := Open(w.t.Context(), Config{Self: "me", Store: w.store, History: w.log, Retention: func() time.Duration { return time.Hour },
		Apart: func(id peer.ID) bool { return w.apart[id] }, Now: func() time.Time { return w.now }})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Annals = a
}

func (w *world) take() {
	w.t.Helper()
	err := w.read(w.t.Context())
	if err == nil {
		err = w.removed.prune(w.t.Context(), w.now.Add(-time.Hour))
	}
	if err == nil {
		err = w.merges.flush(w.t.Context(), w.now)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) list() (out []string) {
	w.t.Helper()
	for r, err := range w.Removed(w.t.Context()) {
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s by %s at %d", r.Value, string(r.By), r.At.Unix()-1e9))
	}
	return out
}

func TestRemovedPinsAreKeptForAWhile(t *testing.T) {
	w := newWorld(t)
	w.log.add(Entry{Author: "ann", Gone: gone(1)}) // before we came
	w.log.add(Entry{Author: "me"})
	w.log.add(Entry{Author: "ann", Seq: 2, Gone: gone(2, 3)})
	w.take()
	w.now = w.now.Add(40 * time.Minute)
	w.log.add(Entry{Author: "bob", Seq: 9, Gone: gone(4)})
	w.take()
	want := []string{"value 4 by bob at 2400", "value 2 by ann at 0", "value 3 by ann at 0"}
	if diff := cmp.Diff(want, w.list()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	w.open() // and they are there after a restart, each once
	w.take()
	if diff := cmp.Diff(want, w.list()); diff != "" {
		t.Errorf("after a restart (-want +got)\n%s", diff)
	}
	w.at = mark{} // a crash before the mark was written: it reads all again
	w.at.Joined = true
	w.take()
	if n := len(w.list()); n != 4 {
		t.Errorf("%d removals after all was read again, want 4: the one before we came counts then, none twice", n)
	}
	w.now = w.now.Add(21 * time.Minute)
	w.take()
	for _, r := range w.list() {
		if r[:7] == "value 2" {
			t.Error("a removal outlives the retention time")
		}
	}
}

func TestTheOldestGoFirst(t *testing.T) {
	w := newWorld(t)
	w.log.add(Entry{Author: "me"})
	for i := range uint64(3) {
		w.log.add(Entry{Author: "ann", Seq: i, Gone: gone(1)})
	}
	w.take()
	w.removed.count += maxGone - 2 // as if the first were large
	w.removed.rows[0].pins += maxGone - 2
	if err := w.removed.prune(t.Context(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	if n := len(w.list()); n != 2 || w.removed.count != 2 {
		t.Errorf("%d are left, %d counted, want 2", n, w.removed.count)
	}
}

func TestMergesAreTold(t *testing.T) {
	w := newWorld(t)
	w.log.add(Entry{Author: "me", Set: []string{key(1), key(2)}})
	w.log.add(Entry{Author: "me", Gone: gone(3)})
	w.log.add(Entry{Author: "ann", Set: []string{key(7)}}) // all is well: not told
	w.take()
	w.apart["bob"] = true
	w.log.add(Entry{Author: "bob", Beside: true, Set: []string{key(1)}, Rivals: []Rivalry{{key(1), "bob", 4, []peer.ID{"me"}}}})
	w.log.add(Entry{Author: "bob", Beside: true, Set: []string{key(3), key(4)}}) // 3 was removed here meanwhile
	w.take()
	w.log.add(Entry{Author: "bob", Beside: true, Gone: gone(2), Outcome: []Rivalry{{key(2), "me", 1, nil}}})
	w.take()
	w.now = w.now.Add(time.Hour)
	delete(w.apart, "bob")
	w.take()
	w.log.add(Entry{Author: "ann", Beside: true, Set: []string{key(8)}}) // wrote while we did: not told
	w.take()
	w.now = w.now.Add(time.Hour)
	w.take()
	at := time.Unix(1e9, 0).UTC()
	want := []pinset.Merge{{Began: at, Ended: at, From: []pinset.MergeSource{{Author: "bob", Deltas: 3, Pinned: 3, Removed: 1}}, Contested: []pinset.Contest{
		{CID: ipfsclienttest.CID(1), Winner: "bob", Others: []peer.ID{"me"}},
		{CID: ipfsclienttest.CID(3), Kept: true, Winner: "bob", Others: []peer.ID{"me"}},
		{CID: ipfsclienttest.CID(2), Kept: true, Winner: "me", Others: []peer.ID{"bob"}},
	}}}
	same := cmp.Comparer(func(a, b cid.Cid) bool { return pinset.V1(a).Equals(pinset.V1(b)) })
	if diff := cmp.Diff(want, w.Merges(), same); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	w.open()
	if diff := cmp.Diff(want, w.Merges(), same); diff != "" {
		t.Errorf("after a restart (-want +got)\n%s", diff)
	}
}

// In a new epoch the log begins anew: places of the old one say nothing there, and
// what was carried over is not told again.
func TestANewEpoch(t *testing.T) {
	w := newWorld(t)
	w.log.add(Entry{Author: "me"})
	w.log.add(Entry{Author: "ann", Seq: 1, Gone: gone(3)})
	w.log.add(Entry{Author: "ann", Seq: 2, Gone: gone(4)})
	w.take()
	w.log.epoch, w.log.entries = 1, nil
	w.log.add(Entry{Author: "ann", Seq: 2, Gone: gone(4)})
	w.log.add(Entry{Author: "bob", Beside: true, Set: []string{key(3)}}) // after ann's removal, which was folded
	w.take()
	if got := w.Merges(); len(got) != 0 {
		t.Errorf("told as a merge: %+v", got)
	}
	want := []string{"value 4 by ann at 0", "value 3 by ann at 0"}
	if diff := cmp.Diff(want, w.list()); diff != "" {
		t.Errorf("removed (-want +got)\n%s", diff)
	}
}

func TestMergesAreBounded(t *testing.T) {
	w := newWorld(t)
	w.log.add(Entry{Author: "me"})
	w.apart["bob"] = true
	for range maxReports + 5 {
		w.log.add(Entry{Author: "bob"})
		w.take()
		w.now = w.now.Add(2 * quiet)
	}
	var rivals []Rivalry
	for i := range maxContested + 7 {
		rivals = append(rivals, Rivalry{key(i), "bob", 1, []peer.ID{"me"}})
	}
	w.log.add(Entry{Author: "bob", Beside: true, Rivals: rivals})
	w.take()
	w.open()
	got := w.Merges()
	if len(got) != maxReports || len(got[0].Contested) != maxContested || got[0].More != 7 {
		t.Errorf("%d reports, the last with %d contested and %d more", len(got), len(got[0].Contested), got[0].More)
	}
}

func TestRemovalsRememberedAreBounded(t *testing.T) {
	r := &reports{recent: map[string]removal{}}
	for i := range maxRecent + 10 {
		if _, err := r.repinned(t.Context(), nil, Entry{Author: "ann", Gone: gone(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.recent) != maxRecent || len(r.order) != maxRecent {
		t.Errorf("%d and %d are remembered", len(r.recent), len(r.order))
	}
}

// broken stores nothing.
type broken struct{ ds.Datastore }

func (broken) Put(context.Context, ds.Key, []byte) error { return errors.New("the disk is full") }

func TestWhatCouldNotBeKeptIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	w.log.add(Entry{Author: "me"})
	w.log.add(Entry{Author: "ann", Gone: gone(1)})
	w.removed.store = broken{w.store}
	if err := w.read(t.Context()); err == nil {
		t.Fatal("no error where nothing can be written")
	}
	w.removed.store = w.store
	w.take()
	if n := len(w.list()); n != 1 {
		t.Errorf("%d removals, want 1", n)
	}
}
