package daemon_test

import (
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/daemon"
)

// fill writes so many pins into the state of a peer that does not run, so many
// in each delta.
func fill(b testing.TB, dir daemon.Dir, pins, perDelta int) {
	b.Helper()
	s, err := daemon.OpenState(b.Context(), dir)
	if err != nil {
		b.Fatal(err)
	}
	for at := 0; at < pins; at += perDelta {
		ops := make([]crdtstate.Op, 0, perDelta)
		for i := at; i < min(at+perDelta, pins); i++ {
			p := pinNumber(i)
			p.Created = time.Unix(1_750_000_000, 0)
			p.Normalise()
			value, err := p.Encode()
			if err != nil {
				b.Fatal(err)
			}
			ops = append(ops, crdtstate.Op{Key: p.Key(), Value: value})
		}
		if _, err := s.Commit(b.Context(), ops...); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// diskBytes is the size of the files below a directory.
func diskBytes(b *testing.B, dir string) (n int64) {
	b.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		n += info.Size()
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkDisk measures the bytes on disk of 100,000 pins in 500-pin deltas.
func BenchmarkDisk(b *testing.B) {
	const pins = 100_000
	for _, store := range []string{"badger", "pebble"} {
		b.Run(store, func(b *testing.B) {
			for b.Loop() {
				r := newRig(b, 1, map[string]string{"state.store": store})
				r.end(r.peers[0])
				fill(b, r.peers[0].dir, pins, 500)
				dir, err := daemon.StateDir(r.peers[0].dir)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(diskBytes(b, dir))/pins, "disk-B/pin")
			}
		})
	}
}

// BenchmarkGroups measures what 256 connections at one of five peers put on the
// wire for each pin and receiving peer, as groups form by themselves.
func BenchmarkGroups(b *testing.B) {
	r := newRig(b, 5, nil)
	in := func() (n uint64) {
		for _, p := range r.peers[1:] {
			bytes, _ := p.d.Traffic()
			n += bytes
		}
		return n
	}
	before := in()
	b.ResetTimer()
	pinAll(b, r.peers[0], 256, 0, b.N)
	r.all(b.N)
	b.StopTimer()
	b.ReportMetric(float64(in()-before)/float64(b.N*(len(r.peers)-1)), "wire-B/pin/peer")
}

// BenchmarkIdle measures ten peers that have nothing to do: their share of a core
// and what each sends. One operation is a second.
func BenchmarkIdle(b *testing.B) {
	const peers = 10
	r := newRig(b, peers, map[string]string{"network.heartbeat": "30s"})
	pinAll(b, r.peers[0], 16, 0, 100)
	r.all(100)
	settle := time.NewTimer(30 * time.Second) // statements and greetings of the start
	<-settle.C
	out := func() (n uint64) {
		for _, p := range r.peers {
			_, bytes := p.d.Traffic()
			n += bytes
		}
		return n
	}
	sent, cpu := out(), cpuTime()
	b.ResetTimer()
	end := time.NewTimer(time.Duration(b.N) * time.Second)
	<-end.C
	b.StopTimer()
	took := time.Duration(b.N) * time.Second
	b.ReportMetric(float64(out()-sent)/peers/took.Seconds(), "sent-B/s/peer")
	b.ReportMetric(100*(cpuTime()-cpu).Seconds()/peers/took.Seconds(), "%core/peer")
}
