package ipfsnode

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/ipfsclient/kubotest"
	"github.com/pinfold/pinfold/pinset"
)

// The run of BenchmarkAdd compares adding one file of 256 MiB by this node and by a
// real `ipfs add` on its own daemon. Each run adds other bytes.
func BenchmarkAdd(b *testing.B) {
	const size = 256 << 20
	path := filepath.Join(b.TempDir(), "file")
	data := noise(uint64(time.Now().UnixNano()), size)
	next := func(b *testing.B) {
		b.Helper()
		for i := range data[:size/(64<<10)] { // a new byte in every 64 KiB
			data[i*(64<<10)]++
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("embedded", func(b *testing.B) {
		n := testNode(b)
		b.SetBytes(size)
		for b.Loop() {
			b.StopTimer()
			next(b)
			b.StartTimer()
			addPath(b, n, path)
		}
	})
	b.Run("kubo", func(b *testing.B) {
		d := kubotest.Start(b)
		b.SetBytes(size)
		for b.Loop() {
			b.StopTimer()
			next(b)
			b.StartTimer()
			d.Run("add", "-Q", "--progress=false", "--cid-version=1", path)
		}
	})
}

func addPath(tb testing.TB, n *Node, path string) cid.Cid {
	tb.Helper()
	f, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	dir := files.NewSliceDirectory([]files.DirEntry{files.FileEntry("f", files.NewReaderFile(f))})
	return add(tb, n, dir, pinset.AddOptions{CIDVersion: 1}, "bench")
}

// BenchmarkAddMemory adds files of several sizes, as bytes that nobody keeps, and
// reports the most memory in use meanwhile, after a start of the collector.
func BenchmarkAddMemory(b *testing.B) {
	for _, mib := range []int64{64, 256, 1024} {
		b.Run(strconv.FormatInt(mib, 10)+"MiB", func(b *testing.B) {
			n := testNode(b)
			b.SetBytes(mib << 20)
			var peak uint64
			for b.Loop() {
				stop := watchHeap(&peak)
				f := files.NewReaderFile(io.LimitReader(&counter{seed: uint64(time.Now().UnixNano())}, mib<<20))
				add(b, n, files.NewSliceDirectory([]files.DirEntry{files.FileEntry("f", f)}), pinset.AddOptions{CIDVersion: 1}, "bench")
				stop()
			}
			b.ReportMetric(float64(peak)/(1<<20), "MiB-heap")
			b.ReportMetric(float64(resident(b))/(1<<20), "MiB-resident")
		})
	}
}

// counter is an endless reader whose blocks all differ.
type counter struct{ seed uint64 }

func (c *counter) Read(p []byte) (int, error) {
	for i := 0; i < len(p); i += 4096 {
		c.seed++
		copy(p[i:], strconv.AppendUint(nil, c.seed, 10))
	}
	return len(p), nil
}

// watchHeap looks at the heap every now and then until stop, and raises peak to the
// most it saw.
func watchHeap(peak *uint64) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			*peak = max(*peak, m.HeapInuse)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-over }
}

// resident returns this process's memory in use, 0 where it cannot be known.
func resident(tb testing.TB) uint64 {
	tb.Helper()
	raw, err := os.ReadFile("/proc/self/status")
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				tb.Fatal(err)
			}
			return kib << 10
		}
	}
	return 0
}

// BenchmarkIdle reports the memory of a process with one idle node.
func BenchmarkIdle(b *testing.B) {
	testNode(b)
	runtime.GC()
	for b.Loop() {
	}
	b.ReportMetric(float64(resident(b))/(1<<20), "MiB-resident")
	b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
}

// BenchmarkFetch pins 64 MiB from a node next to it.
func BenchmarkFetch(b *testing.B) {
	const size = 64 << 20
	source, n := testNode(b), testNode(b)
	connect(b, n, source)
	b.SetBytes(size)
	var round atomic.Uint64
	for b.Loop() {
		b.StopTimer()
		root := add(b, source, file(noise(60000+round.Add(1), size)), pinset.AddOptions{CIDVersion: 1}, "x")
		b.StartTimer()
		if err := n.Pin(b.Context(), root, pinset.PinOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPins makes 100,000 pin records once and lists them.
func BenchmarkPins(b *testing.B) {
	n := testNode(b)
	const count = 100_000
	batch := n.db.NewBatch()
	for i := range count {
		r := pinRecord{cid: cid.NewCidV1(cid.Raw, mustHash(b, strconv.Itoa(i))), name: "pinfold:0123456789abcdef some name"}
		if err := batch.Set(pinKey(r.cid), r.encode(), nil); err != nil {
			b.Fatal(err)
		}
	}
	if err := batch.Commit(nil); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		got := 0
		for _, err := range n.Pins(b.Context()) {
			if err != nil {
				b.Fatal(err)
			}
			got++
		}
		if got != count {
			b.Fatal(got)
		}
	}
	b.ReportMetric(count*float64(b.N)/b.Elapsed().Seconds(), "pins/s")
}

// BenchmarkPinSmall pins one small file after another: what one durable pin costs.
func BenchmarkPinSmall(b *testing.B) {
	source, n := testNode(b), testNode(b)
	connect(b, n, source)
	var i uint64
	for b.Loop() {
		b.StopTimer()
		i++
		root := add(b, source, file(bytes.Repeat(strconv.AppendUint(nil, i, 10), 500)), pinset.AddOptions{CIDVersion: 1}, "x")
		b.StartTimer()
		if err := n.Pin(b.Context(), root, pinset.PinOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
