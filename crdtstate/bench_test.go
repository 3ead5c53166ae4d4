package crdtstate_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/crdtstate/crdtstatetest"
	"github.com/pinfold/pinfold/pinset"
)

var stores = []string{"badger", "pebble"}

func onDisk(b testing.TB, c *crdtstatetest.Cluster, i int, store string) crdtstate.Config {
	cfg := c.Config(i)
	cfg.Store, cfg.Dir = store, b.TempDir()
	return cfg
}

// openOnDisk opens a state that is closed before its directory is removed.
func openOnDisk(t testing.TB, cfg crdtstate.Config) *crdtstate.State {
	t.Helper()
	s, err := crdtstate.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error("close state:", err)
		}
	})
	return s
}

// BenchmarkCommit is one pin for each call, synced before the answer, by so many
// callers at once.
func BenchmarkCommit(b *testing.B) {
	for _, store := range stores {
		for _, callers := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("%s/%d", store, callers), func(b *testing.B) {
				ctx := context.Background()
				c := crdtstatetest.New(b, 1)
				s := openOnDisk(b, onDisk(b, c, 0, store))
				c.Enter(s, 0)
				ops := make([]crdtstate.Op, b.N)
				for i := range ops {
					ops[i] = crdtstatetest.PinOp(crdtstatetest.Pin(i))
				}
				var at atomic.Int64
				done := make(chan error, callers)
				b.ResetTimer()
				for range callers {
					go func() {
						for {
							i := at.Add(1) - 1
							if i >= int64(b.N) {
								done <- nil
								return
							}
							if _, err := s.Commit(ctx, ops[i]); err != nil {
								done <- err
								return
							}
						}
					}()
				}
				for range callers {
					if err := <-done; err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pins/s")
			})
		}
	}
}

// source makes a state of n pins in deltas of a size.
func source(b testing.TB, n, size int) (*crdtstatetest.Cluster, *crdtstate.State) {
	c := crdtstatetest.New(b, 2)
	s := c.Founded()
	for i := 0; i < n; i += size {
		var ops []crdtstate.Op
		for j := i; j < min(n, i+size); j++ {
			ops = append(ops, sixty(j))
		}
		c.Commit(s, ops...)
	}
	return c, s
}

// sixty is a pin with a value of about 60 bytes.
func sixty(n int) crdtstate.Op {
	p := crdtstatetest.Pin(n)
	p.Name = fmt.Sprintf("an item of the collection %08d", n)
	return crdtstatetest.PinOp(p)
}

// BenchmarkReceive is a fresh peer that takes in 100,000 pins.
func BenchmarkReceive(b *testing.B) {
	for _, size := range []int{1, 500} {
		n := 100_000
		if size == 1 {
			n = 10_000
		}
		c, from := source(b, n, size)
		for _, store := range stores {
			b.Run(fmt.Sprintf("%s/%d", store, size), func(b *testing.B) {
				for b.Loop() {
					cfg := onDisk(b, c, 1, store)
					s, err := crdtstate.Open(context.Background(), cfg)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := crdtstatetest.Deliver(context.Background(), s, from); err != nil {
						b.Fatal(err)
					}
					if err := s.Close(); err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64(diskUsed(b, cfg.Dir))/float64(n), "disk-B/pin")
				}
				b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "pins/s")
			})
		}
	}
}

func diskUsed(b testing.TB, dir string) (n int64) {
	err := filepath.Walk(dir, func(_ string, fi os.FileInfo, err error) error {
		if err == nil && !fi.IsDir() {
			n += fi.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkOpen opens 100,000 pins, after a clean stop and from the files that a
// killed process leaves; BenchmarkPins lists them.
func BenchmarkOpen(b *testing.B) {
	c, from := source(b, 100_000, 500)
	for _, store := range stores {
		cfg := filled(b, c, from, store)
		b.Run(store+"/clean", func(b *testing.B) {
			for b.Loop() {
				openClose(b, cfg)
			}
		})
		b.Run(store+"/killed", func(b *testing.B) {
			live := onDisk(b, c, 1, store)
			s := openOnDisk(b, live)
			if _, err := crdtstatetest.Deliver(context.Background(), s, from); err != nil {
				b.Fatal(err)
			}
			copies := make([]crdtstate.Config, 20)
			for i := range copies {
				copies[i] = live
				copies[i].Dir = b.TempDir()
				if err := os.CopyFS(copies[i].Dir, os.DirFS(live.Dir)); err != nil {
					b.Fatal(err)
				}
			}
			i := 0
			for b.Loop() {
				openClose(b, copies[i%len(copies)])
				i++
			}
		})
	}
}

// openClose times the opening only.
func openClose(b *testing.B, cfg crdtstate.Config) {
	s, err := crdtstate.Open(context.Background(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	if s.Summary().Count != 100_000 {
		b.Fatal(s.Summary())
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.StartTimer()
}

func filled(b testing.TB, c *crdtstatetest.Cluster, from *crdtstate.State, store string) crdtstate.Config {
	cfg := onDisk(b, c, 1, store)
	s, err := crdtstate.Open(context.Background(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := crdtstatetest.Deliver(context.Background(), s, from); err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return cfg
}

func BenchmarkPins(b *testing.B) {
	c, from := source(b, 100_000, 500)
	for _, store := range stores {
		b.Run(store, func(b *testing.B) {
			s := openOnDisk(b, filled(b, c, from, store))
			var last pinset.Pin
			for b.Loop() {
				n := 0
				for p, err := range s.Pins(context.Background(), "") {
					if err != nil {
						b.Fatal(err)
					}
					last = p
					n++
				}
				if n != 100_000 {
					b.Fatal(n)
				}
			}
			_ = last
			b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "pins/s")
		})
	}
}
