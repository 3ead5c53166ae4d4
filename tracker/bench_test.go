package tracker

import (
	"runtime"
	"testing"
	"time"

	badger "github.com/ipfs/go-ds-badger"

	"github.com/pinfold/pinfold/pinset"
)

// until polls, for real time: what is awaited ends by itself.
func until(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	deadline := time.After(2 * time.Minute)
	beat := time.NewTicker(5 * time.Millisecond)
	defer beat.Stop()
	for !done() {
		select {
		case <-beat.C:
		case <-deadline:
			tb.Fatalf("%s: not in two minutes", what)
		}
	}
}

func (r *rig) pinMany(n int) {
	pins := make([]pinset.Pin, n)
	for i := range pins {
		pins[i] = pinAt(testCID(uint64(i)), "x")
	}
	r.sets.pin(pins...)
}

func badgerStore(tb testing.TB) *badger.Datastore {
	tb.Helper()
	opts := badger.DefaultOptions
	opts.SyncWrites = false
	store, err := badger.NewDatastore(tb.TempDir(), &opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { store.Close() })
	return store
}

// BenchmarkShare takes 100,000 assigned pins from the pinset to the node, with
// the ledger on disk.
func BenchmarkShare(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		r := newRig(b)
		r.store = badgerStore(b)
		r.pinMany(n)
		r.start()
		until(b, "all pinned", func() bool { return r.Stats().Assigned == n })
		r.stop()
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "items/s")
}

// BenchmarkRestart starts again over 100,000 pins that are all there.
func BenchmarkRestart(b *testing.B) {
	const n = 100_000
	r := newRig(b)
	r.store = badgerStore(b)
	r.pinMany(n)
	r.start()
	until(b, "all pinned", func() bool { return r.Stats().Assigned == n })
	for b.Loop() {
		r.stop()
		r.start()
		until(b, "report ready", func() bool { return r.Report().Ready })
	}
	r.stop()
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "items/s")
}

func heapBytes() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// What is at rest costs no memory; what waits costs a little.
func TestMemory(t *testing.T) {
	const n = 50_000
	for _, tc := range []struct {
		name string
		dead bool
		most int // bytes per item
	}{
		{"at rest", false, 8},
		{"waiting", true, 300},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			r.store = mapStore()
			if tc.dead {
				r.node = r.world.Node()
				r.node.Stop()
			}
			r.pinMany(n)
			r.start()
			until(t, "settled", func() bool {
				s := r.Stats()
				r.mu.Lock()
				evaluated := r.view.stable && r.view.vector["author"] == n
				r.mu.Unlock()
				return evaluated && (tc.dead && s.Missing == n || s.Assigned == n && s.Queued+s.Later == 0)
			})
			running := heapBytes()
			r.stop()
			runtime.KeepAlive(r)
			r.Tracker, r.stop = nil, nil
			if used := int(running) - int(heapBytes()); used > tc.most*n+1<<20 {
				t.Errorf("%d bytes per item, at most %d", used/n, tc.most)
			} else {
				t.Logf("%d bytes for %d items", used, n)
			}
			runtime.KeepAlive(r)
		})
	}
}

func BenchmarkDecide(b *testing.B) {
	f := facts{key: keyOf(testCID(1)), mark: testMark, want: want{extent: wholeDAG, name: ourName}, claims: 1,
		entry: entry{Name: ourName, State: pinset.StatusQueued}, room: room{lent: 100}}
	for b.Loop() {
		decide(testNow, f)
	}
}
