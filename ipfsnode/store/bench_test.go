package store

import (
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// BenchmarkSeen adds a million blocks to a set, eight times as many as it keeps in
// memory, and looks at how much memory it then holds.
func BenchmarkSeen(b *testing.B) {
	const count = 1 << 20
	for b.Loop() {
		s := NewSeen(b.TempDir())
		for i := range uint64(count) {
			h, err := multihash.Sum(binary.BigEndian.AppendUint64(nil, i), multihash.SHA2_256, -1)
			if err != nil {
				b.Fatal(err)
			}
			if fresh, _, err := s.Add(cid.NewCidV1(cid.Raw, h)); err != nil || !fresh {
				b.Fatal(fresh, err)
			}
		}
		b.StopTimer()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapInuse)/(1<<20), "MiB-heap")
		s.Close()
		b.StartTimer()
	}
	b.ReportMetric(count*float64(b.N)/b.Elapsed().Seconds(), "blocks/s")
}
