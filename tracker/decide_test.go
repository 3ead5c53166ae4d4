package tracker

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pinfold/pinfold/pinset"
)

var testNow = time.UnixMilli(1_700_000_000_000)

const ourName = "pinfold:" + testMark + " x"

func TestDecide(t *testing.T) {
	whole := want{extent: wholeDAG, binding: true, name: ourName, need: 10}
	roomy := room{lent: 100}
	placed := entry{Name: ourName, Want: wholeDAG, Placed: wholeDAG, State: pinset.StatusPinned, Size: 10, Seen: true}
	queued := entry{Name: ourName, Want: wholeDAG, State: pinset.StatusQueued, Seen: true}
	long := testNow.Add(-time.Hour).UnixMilli()
	for _, tc := range []struct {
		name  string
		f     facts
		verb  verb
		state pinset.Status
	}{
		{"nothing wanted, nothing known", facts{}, forget, 0},
		{"wanted, not there", facts{want: whole, claims: 1, entry: queued, room: roomy}, fetch, pinset.StatusQueued},
		{"wanted, there", facts{want: whole, claims: 1, entry: queued, node: present{wholeDAG, ourName}}, rest, pinset.StatusPinned},
		{"wanted, only the root there, ours", facts{want: whole, claims: 1, entry: queued, node: present{oneBlock, ourName}, room: roomy}, fetch, pinset.StatusQueued},
		{"wanted, the owner's is there", facts{want: whole, claims: 1, entry: queued, node: present{wholeDAG, "mine"}}, rest, pinset.StatusPinned},
		{"wanted, the owner has the root", facts{want: whole, claims: 1, entry: queued, node: present{oneBlock, "mine"}, room: roomy}, refuse, pinset.StatusRefused},
		{"wanted, gone", facts{want: whole, claims: 1, entry: placed, room: roomy}, fetch, pinset.StatusUnexpected},
		{"wanted, gone, no room now", facts{want: whole, claims: 1, entry: placed}, refuse, pinset.StatusRefused},
		{"wanted, blocks gone", facts{want: whole, claims: 1, entry: placed, node: present{wholeDAG, ourName}, broken: true, room: roomy}, fetch, pinset.StatusQueued},
		{"wanted, too large", facts{want: whole, claims: 1, entry: queued, room: room{lent: 9}}, refuse, pinset.StatusRefused},
		{"wanted, found too large", facts{want: whole, claims: 1, entry: entry{Name: ourName, Size: 10, State: pinset.StatusQueued},
			node: present{wholeDAG, ourName}, fetched: true, room: room{lent: 9}}, letGo, pinset.StatusRefused},
		{"held before the limit fell", facts{want: whole, claims: 1, entry: placed, node: present{wholeDAG, ourName}, room: room{lent: 9}}, rest, pinset.StatusPinned},
		{"unpinned", facts{entry: placed, node: present{wholeDAG, ourName}}, letGo, pinset.StatusUnpinQueued},
		{"unpinned, already gone", facts{entry: placed}, forget, 0},
		{"unpinned, the owner has it", facts{entry: placed, node: present{wholeDAG, "mine"}}, forget, 0},
		{"unpinned, another cluster claims it", facts{entry: placed, node: present{wholeDAG, ourName}, claimed: true}, forget, 0},
		{"unpinned, marked with a name the ledger has not", facts{entry: placed, node: present{wholeDAG, ourName + "y"}}, forget, 0},
		{"unpinned, name of another daemon", facts{entry: entry{Name: "pinfold:ponmlkjihgfedcba x", Placed: wholeDAG, State: pinset.StatusPinned},
			node: present{wholeDAG, "pinfold:ponmlkjihgfedcba x"}}, forget, 0},
		{"moved, not covered", facts{claims: 1, entry: placed, node: present{wholeDAG, ourName}}, keep, pinset.StatusPinned},
		{"moved, just covered", facts{claims: 1, entry: placed, node: present{wholeDAG, ourName}, covered: true, grace: time.Minute}, keep, pinset.StatusPinned},
		{"moved, covered for long", facts{claims: 1, entry: with(placed, func(e *entry) { e.Covered = long }), node: present{wholeDAG, ourName},
			covered: true, grace: time.Minute}, letGo, pinset.StatusUnpinQueued},
		{"moved, cover lost", facts{claims: 1, entry: with(placed, func(e *entry) { e.Covered = long }), node: present{wholeDAG, ourName},
			grace: time.Minute}, keep, pinset.StatusPinned},
		{"moved, not covered, gone from the node", facts{claims: 1, entry: placed, room: roomy}, fetch, pinset.StatusUnexpected},
		{"moved, never fetched", facts{claims: 1, entry: queued}, forget, 0},
		{"best effort, the room is for others", facts{want: want{extent: wholeDAG, name: ourName, need: 10}, claims: 1, entry: queued,
			room: room{lent: 100, ahead: 95}}, refuse, pinset.StatusRefused},
		{"counts, although others wait", facts{want: whole, claims: 1, entry: queued, room: room{lent: 100, ahead: 95}}, fetch, pinset.StatusQueued},
		{"disk at its reserve", facts{want: whole, claims: 1, entry: queued, room: room{lent: 100, known: true, free: 50, reserve: 45}}, refuse, pinset.StatusRefused},
		{"disk not known", facts{want: whole, claims: 1, entry: queued, room: room{lent: 100, reserve: 45}}, fetch, pinset.StatusQueued},
	} {
		tc.f.mark, tc.f.key = testMark, keyOf(testCID(1))
		a := decide(testNow, tc.f)
		if a.verb != tc.verb || a.verb != forget && a.entry.State != tc.state {
			t.Errorf("%s: %s, %s; want %s, %s", tc.name, a.verb, a.entry.State, tc.verb, tc.state)
		}
	}
}

func with(e entry, f func(*entry)) entry { f(&e); return e }

// naive says in the order of DESIGN's rules what is to be done.
func naive(now time.Time, f facts) verb {
	e := f.entry
	e.Interim = max(e.Interim, f.want.interim)
	mine := f.node.extent > nothing && strings.HasPrefix(f.node.name, "pinfold:"+testMark+" ") && (f.node.name == e.Name || f.shared)
	foreign := f.node.extent > nothing && !mine
	had := max(e.Placed, e.Borrowed, e.Interim)
	if mine {
		had = max(had, f.node.extent)
	}
	since := time.UnixMilli(e.Covered)
	if e.Covered == 0 || e.CoverBy != f.coverBy || f.want.extent >= max(e.Placed, e.Borrowed, e.Interim) {
		since = now
	}
	graceOver := !now.Before(since.Add(f.grace))
	obliged := had > f.want.extent
	if f.claims == 0 {
		obliged = obliged && e.Interim > nothing && !e.Seen && !graceOver
	} else {
		obliged = obliged && !(f.covered && (graceOver || f.node.extent == nothing))
	}
	if (e.State == pinset.StatusUnpinQueued || e.State == pinset.StatusUnpinError) && !mine && f.want.interim == nothing {
		obliged = false
	}
	goal := f.want.extent
	if obliged {
		goal = had
	}
	need := max(e.Need, f.want.need)
	if e.Placed > f.node.extent || e.Placed > nothing && !mine {
		need = max(need, e.Size)
	}
	asked := max(need, 1)
	fits := f.room.used <= f.room.lent && asked <= f.room.lent-f.room.used
	if !f.want.binding {
		fits = fits && f.room.ahead <= f.room.lent-f.room.used && asked <= f.room.lent-f.room.used-f.room.ahead
	}
	if f.room.known {
		fits = fits && f.room.free >= f.room.reserve && need <= f.room.free-f.room.reserve
	}
	switch {
	case goal == nothing && mine && e.exists() && !f.claimed:
		return letGo
	case goal == nothing:
		return forget
	case foreign && f.node.extent < goal && (f.want.extent == nothing || f.node.extent < f.want.extent):
		return refuse
	case foreign && f.want.extent == nothing:
		return keep
	case foreign:
		return rest
	case (!mine || f.node.extent < goal || f.broken) && fits:
		return fetch
	case !mine || f.node.extent < goal || f.broken:
		return refuse
	case (f.fetched || e.Placed == nothing) && !obliged && !f.shared && (f.room.used > f.room.lent || e.Size > f.room.lent-f.room.used):
		return letGo
	case obliged:
		return keep
	case f.node.extent > goal && !f.claimed && !f.shared:
		return letGo
	}
	return rest
}

func randomFacts(rng *rand.Rand) facts {
	flip := func() bool { return rng.IntN(2) == 0 }
	some := func(of ...uint64) uint64 { return of[rng.IntN(len(of))] }
	f := facts{key: keyOf(testCID(1)), mark: testMark, grace: time.Minute, claims: rng.IntN(3),
		covered: flip(), coverBy: some(1, 1, 2), broken: rng.IntN(8) == 0, fetched: flip(),
		room: room{lent: some(0, 9, 10, 100), used: some(0, 5, 95, 200), ahead: some(0, 80, 1<<64-1), free: some(0, 50, 100), reserve: some(0, 60), known: flip()}}
	if f.claims > 0 {
		f.want = want{extent: extent(rng.IntN(3)), binding: flip(), name: ourName, need: some(0, 10)}
		if rng.IntN(4) == 0 {
			f.want.interim = extent(rng.IntN(3))
		}
	}
	if rng.IntN(6) > 0 {
		states := []pinset.Status{pinset.StatusPinned, pinset.StatusQueued, pinset.StatusWaiting, pinset.StatusPinError, pinset.StatusRefused,
			pinset.StatusUnpinQueued, pinset.StatusUnpinError, pinset.StatusUnexpected}
		f.entry = entry{State: states[rng.IntN(len(states))], Name: ourName, Seen: flip(), Interim: extent(rng.IntN(3)), CoverBy: 1,
			Size: some(0, 10, 50), Need: some(0, 10), Covered: int64(some(0, uint64(testNow.Add(-time.Hour).UnixMilli()), uint64(testNow.UnixMilli())))}
		if flip() {
			f.entry.Placed = extent(rng.IntN(3))
		} else {
			f.entry.Borrowed, f.entry.Owner = extent(rng.IntN(3)), "mine"
		}
	}
	if f.node.extent = extent(rng.IntN(3)); f.node.extent > nothing {
		f.node.name = []string{ourName, ourName, "mine", "", ourName + "y"}[rng.IntN(5)]
		f.claimed = rng.IntN(4) == 0
		f.shared = f.claimed && flip()
	}
	return f
}

func TestDecideAgreesWithItsNaiveTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	seen := map[verb]int{}
	for range 500_000 {
		f := randomFacts(rng)
		a, want := decide(testNow, f), naive(testNow, f)
		seen[a.verb]++
		if a.verb != want {
			t.Fatalf("%+v:\ngot %s, want %s", f, a.verb, want)
		}
		safe(t, f, a)
	}
	for v := rest; v <= refuse; v++ {
		if seen[v] < 1000 {
			t.Errorf("%s came only %d times", v, seen[v])
		}
	}
}

// safe holds an action to what must never happen, whatever the rules are.
func safe(t *testing.T, f facts, a action) {
	t.Helper()
	exact := f.node.name == f.entry.Name && strings.HasPrefix(f.node.name, "pinfold:"+testMark+" ")
	switch a.verb {
	case letGo:
		if !exact && !f.shared {
			t.Fatalf("%+v:\nunpins what ledger and node do not both call ours", f)
		}
		if f.node.extent <= f.want.extent && !f.fetched && f.entry.Placed > nothing {
			t.Fatalf("%+v:\nunpins what is wanted", f)
		}
	case fetch:
		if f.node.extent > nothing && !exact && !f.shared {
			t.Fatalf("%+v:\npins over somebody else's pin", f)
		}
		if !f.mark.on(a.entry.Name) {
			t.Fatalf("%+v:\npins without our mark", f)
		}
	case rest, keep:
		if a.entry.Interim > a.entry.held() {
			t.Fatalf("%+v:\nrests, and wants more: %+v", f, a.entry)
		}
		if a.entry.State != pinset.StatusPinned || a.entry.held() < f.want.extent || a.entry.held() != f.node.extent {
			t.Fatalf("%+v:\nsays held: %+v", f, a.entry)
		}
	}
}

func TestEntryIsKeptOverItsEncoding(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	store := newDisk()
	l, err := openLedger(t.Context(), store, "c", &Turns{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(1000) {
		f := randomFacts(rng)
		if !f.entry.exists() {
			continue
		}
		e := f.entry
		e.Error, e.V0, e.Attempts, e.Retry, e.Since = "why", i%2 == 0, i, int64(i), -int64(i)
		k := keyOf(testCID(i))
		if err := l.put(t.Context(), change{key: k, new: e}); err != nil {
			t.Fatal(err)
		}
		got, err := l.get(t.Context(), k)
		if diff := cmp.Diff(e, got); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
	}
}

func TestFailed(t *testing.T) {
	k := keyOf(testCID(1))
	for _, tc := range []struct {
		name        string
		err         error
		attempts    uint64
		state       pinset.Status
		after       uint64
		least, most time.Duration // until the next try
	}{
		{"broken once", errors.New("broken"), 0, pinset.StatusPinError, 1, 3 * time.Second, 7 * time.Second},
		{"broken five times", errors.New("broken"), 4, pinset.StatusPinError, 5, time.Minute, 2 * time.Minute},
		{"broken for ever", errors.New("broken"), 1 << 40, pinset.StatusPinError, 1<<40 + 1, 45 * time.Minute, 75 * time.Minute},
		{"stalled once", errStalled, 0, pinset.StatusWaiting, 1, 45 * time.Second, 75 * time.Second},
		{"stalled for ever", errStalled, 63, pinset.StatusWaiting, 64, 45 * time.Minute, 75 * time.Minute},
		{"over the line", errOverLent, 3, pinset.StatusRefused, 3, 11 * time.Minute, 19 * time.Minute},
		{"into the reserve", errReserve, 3, pinset.StatusRefused, 3, 11 * time.Minute, 19 * time.Minute},
	} {
		e := failed(testNow, k, entry{State: pinset.StatusQueued, Attempts: tc.attempts}, failure{tc.err, 7})
		wait := time.UnixMilli(e.Retry).Sub(testNow)
		if e.State != tc.state || e.Attempts != tc.after || wait < tc.least || wait > tc.most || e.Error == "" {
			t.Errorf("%s: %+v after %v; want %s, %d attempts, %v..%v", tc.name, e, wait, tc.state, tc.after, tc.least, tc.most)
		}
	}
}
