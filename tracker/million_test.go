package tracker

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/ipfsclient"
	"github.com/pinfold/pinfold/pinset"
)

// crowd is a pinset, its members and a Kubo of very many pins that are all there,
// streamed from one slice of keys: they take no memory of their own.
type crowd struct {
	keys  []key // in the order of the pinset
	view  *allocation.View
	mark  marker
	lacks map[int]bool // what the node has lost
	lists atomic.Int64 // that it gave
}

func newCrowd(n int) *crowd {
	c := &crowd{keys: make([]key, n), mark: testMark, lacks: map[int]bool{}}
	type named struct {
		text string
		key  key
	}
	all := make([]named, n)
	for i := range all {
		k := keyOf(testCID(uint64(i)))
		all[i] = named{k.text(), k}
	}
	slices.SortFunc(all, func(a, b named) int {
		if a.text < b.text {
			return -1
		}
		return 1
	})
	for i := range all {
		c.keys[i] = all[i].key
	}
	var members []allocation.Member
	for _, id := range []peer.ID{self, other, "third"} {
		members = append(members, allocation.Member{ID: id, Cap: 1 << 20, Phi: allocation.FullPhi})
	}
	c.view = allocation.NewView(members, allocation.Policy{Replication: pinset.Replication{Min: 3, Max: 3}})
	return c
}

// mode of the i-th pin: one in ten is direct.
func (c *crowd) mode(i int) pinset.Mode {
	if i%10 == 3 {
		return pinset.Direct
	}
	return pinset.Recursive
}

func (c *crowd) pin(i int) pinset.Pin {
	return pinset.Pin{CID: c.keys[i].cid(), Name: "x", Mode: c.mode(i), Size: 1000}
}

func (c *crowd) PinsOf(_ context.Context, k cid.Cid) ([]pinset.Pin, error) {
	text := keyOf(k).text()
	i, ok := slices.BinarySearchFunc(c.keys, text, func(a key, b string) int {
		if t := a.text(); t != b {
			if t < b {
				return -1
			}
			return 1
		}
		return 0
	})
	if !ok {
		return nil, nil
	}
	return []pinset.Pin{c.pin(i)}, nil
}

func (c *crowd) Pins(context.Context, string) iter.Seq2[pinset.Pin, error] {
	return func(yield func(pinset.Pin, error) bool) {
		for i := range c.keys {
			if !yield(c.pin(i), nil) {
				return
			}
		}
	}
}

func (c *crowd) Size(context.Context, cid.Cid) (uint64, error)     { return 0, nil }
func (c *crowd) Vector() map[peer.ID]uint64                        { return map[peer.ID]uint64{"author": 1} }
func (c *crowd) View() *allocation.View                            { return c.view }
func (c *crowd) Changed() <-chan struct{}                          { return nil }
func (c *crowd) Covered(context.Context, pinset.Pin, peer.ID) bool { return false }
func (c *crowd) Said(context.Context, pinset.Pin, peer.ID) bool    { return false }
func (c *crowd) Next(ctx context.Context) (Changes, error)         { <-ctx.Done(); return Changes{}, ctx.Err() }
func (c *crowd) fill(tb testing.TB, l *ledger) {
	var batch []change
	for i, k := range c.keys {
		e := entry{Want: extentOf(c.mode(i)), Binding: true, Name: c.mark.name("x"), Placed: extentOf(c.mode(i)), Seen: true, State: pinset.StatusPinned, Since: 1, Size: 1000}
		if batch = append(batch, change{key: k, new: e}); len(batch) < 1000 && i < len(c.keys)-1 {
			continue
		}
		if err := l.apply(context.Background(), batch); err != nil {
			tb.Fatal(err)
		}
		batch = batch[:0]
	}
	if err := l.store.Sync(context.Background(), l.items); err != nil {
		tb.Fatal(err)
	}
}

// kubo answers as one does, by its RPC.
func (c *crowd) kubo(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch r.URL.Path {
	case "/api/v0/version":
		fmt.Fprintln(w, `{"Version":"0.42.0"}`)
	case "/api/v0/repo/stat":
		fmt.Fprintln(w, `{"RepoSize":1000,"StorageMax":1000000000000,"NumObjects":1,"RepoPath":"/nowhere","Version":"fs-repo@18"}`)
	case "/api/v0/pin/ls":
		if arg := q.Get("arg"); arg != "" {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprintf(w, `{"Message":"path '%s' is not pinned","Code":0,"Type":"error"}`, arg)
			return
		}
		for i := range c.keys {
			if c.mode(i).String() == q.Get("type") && !c.lacks[i] {
				fmt.Fprintf(w, `{"Cid":%q,"Name":%q,"Type":%q}`+"\n", c.keys[i].cid(), c.mark.name("x"), c.mode(i))
			}
		}
		c.lists.Add(1)
	default: // what is lost stays lost
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, `{"Message":"not today","Code":0,"Type":"error"}`)
	}
}

// peak watches the heap until stop, which returns its greatest size in bytes: what
// is in use, and what is garbage and not collected yet.
func peak() (stop func() uint64) {
	read := func() uint64 {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	quit, most := make(chan struct{}), make(chan uint64)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		top := read()
		for {
			select {
			case <-tick.C:
				top = max(top, read())
			case <-quit:
				most <- top
				return
			}
		}
	}()
	return func() uint64 { close(quit); return <-most }
}

func startCrowd(tb testing.TB, c *crowd) *rig {
	tb.Helper()
	srv := httptest.NewServer(http.HandlerFunc(c.kubo))
	tb.Cleanup(srv.Close)
	client, err := ipfsclient.New(ipfsclient.Config{API: srv.URL})
	if err != nil {
		tb.Fatal(err)
	}
	r := newRig(tb)
	r.store = badgerStore(tb)
	l, err := openLedger(context.Background(), r.store, r.cfg.Cluster, &Turns{})
	if err != nil {
		tb.Fatal(err)
	}
	c.fill(tb, l)
	r.node = r.world.Node() // in place of which the client is asked
	r.deps = func(d *Deps) { d.State, d.Feed, d.Views, d.Coverage, d.Node = c, c, c, c, client }
	return r
}

// A sweep names each unexpected loss, recursive and direct, and nothing else.
func TestSweepOfManyNamesWhatIsLost(t *testing.T) {
	c := newCrowd(5000)
	for i := 0; i < 5000; i += 500 {
		c.lacks[i], c.lacks[i+3] = true, true // recursive and direct
	}
	r := startCrowd(t, c)
	r.start()
	defer func() { r.stop() }()
	until(t, "report ready", func() bool { return r.Report().Ready })
	var want []cid.Cid
	for i := range c.lacks {
		want = append(want, c.keys[i].cid())
	}
	slices.SortFunc(want, func(a, b cid.Cid) int { return slices.Compare(a.Bytes(), b.Bytes()) })
	if got := r.exceptions(); !slices.Equal(got, want) {
		t.Errorf("%d are named, want %d", len(got), len(want))
	}
}

// BenchmarkMillion starts over a ledger of 1,000,000 pins that are all at a Kubo
// (reconcile), and sweeps once more. Processor time has the fake Kubo's in it, and the
// made-up pinset's. For the heap, which is its peak above what was there before,
// little garbage is let lie: what is made up here would make room for more of it.
func BenchmarkMillion(b *testing.B) {
	const n = 1_000_000
	c := newCrowd(n)
	r := startCrowd(b, c)
	for _, percent := range []int{100, 10} {
		b.Run(fmt.Sprintf("GOGC=%d", percent), func(b *testing.B) {
			defer debug.SetGCPercent(debug.SetGCPercent(percent))
			for b.Loop() {
				idle := heapBytes()
				stop := peak()
				began := now()
				r.start()
				for !r.Report().Ready {
					pause(b.Context(), 10*time.Millisecond)
				}
				reconcile := now().since(began)
				began = now()
				if err := r.sweep(b.Context()); err != nil {
					b.Fatal(err)
				}
				sweep := now().since(began)
				if got := r.Report(); got.Items != n || got.Missing != 0 {
					b.Errorf("%+v", got)
				}
				b.ReportMetric((float64(stop())-float64(idle))/(1<<20), "MiB-peak")
				b.ReportMetric(reconcile.wall.Seconds(), "s/reconcile")
				b.ReportMetric(reconcile.cpu.Seconds(), "cpu-s/reconcile")
				b.ReportMetric(sweep.wall.Seconds(), "s/sweep")
				b.ReportMetric(sweep.cpu.Seconds(), "cpu-s/sweep")
				r.stop()
			}
		})
	}
}

// span is time on the clock and of the processor, which is 0 where it is not known.
type span struct{ wall, cpu time.Duration }

var epoch = time.Now()

func now() span { return span{time.Since(epoch), processorTime()} }

func (s span) since(o span) span { return span{s.wall - o.wall, s.cpu - o.cpu} }
