package daemon_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pinfold/pinfold/httpapi/client"
)

// pinAll pins the numbers from..to at a peer over so many connections, one request
// in flight on each, and returns when all are acknowledged durable.
func pinAll(b testing.TB, p *rigPeer, connections, from, to int) {
	b.Helper()
	var next atomic.Int64
	next.Store(int64(from))
	var clients sync.WaitGroup
	for range connections {
		clients.Go(func() {
			c := client.New(p.dir.Socket(), "")
			defer c.Close()
			for i := int(next.Add(1)) - 1; i < to; i = int(next.Add(1)) - 1 {
				if _, _, err := c.Pin(b.Context(), pinNumber(i), client.Wait{}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
}

// BenchmarkPin measures pins acknowledged durable through the API of one of so many
// peers on this machine, with one request in flight on each connection, and how
// long it takes until all of them list them.
func BenchmarkPin(b *testing.B) {
	for _, peers := range []int{1, 5, 20} {
		for _, connections := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("peers=%d/connections=%d", peers, connections), func(b *testing.B) {
				benchPin(b, peers, connections)
			})
		}
	}
}

func benchPin(b *testing.B, peers, connections int) {
	r := newRig(b, peers, nil)
	b.ResetTimer()
	begin, cpu := time.Now(), cpuTime()
	pinAll(b, r.peers[0], connections, 0, b.N)
	took := time.Since(begin)
	b.StopTimer()
	b.ReportMetric(float64(b.N)/took.Seconds(), "acknowledged/s")
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-us/acknowledged")
	r.all(b.N)
	b.ReportMetric(float64(b.N)/time.Since(begin).Seconds(), "everywhere/s")
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-us/everywhere")
}

// BenchmarkVisible takes 1,000 pins a second at one of five peers and measures the
// time from the request until each other peer has the pin.
func BenchmarkVisible(b *testing.B) {
	r := newRig(b, 5, nil)
	var mu sync.Mutex
	var delays []time.Duration
	var wait sync.WaitGroup
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	b.ResetTimer()
	for i := range b.N {
		<-pace.C
		wait.Go(func() {
			begin := time.Now()
			if _, _, err := r.peers[0].Pin(b.Context(), pinNumber(i), client.Wait{}); err != nil {
				b.Error(err)
				return
			}
			if i%50 != 0 { // asking costs more than spreading: a sample is asked for
				return
			}
			for _, p := range r.peers[1:] {
				for {
					if _, _, err := p.PinOf(b.Context(), imagined(i), ""); err == nil {
						break
					}
				}
				mu.Lock()
				delays = append(delays, time.Since(begin))
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	b.StopTimer()
	slices.Sort(delays)
	b.ReportMetric(float64(delays[len(delays)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(delays[len(delays)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkList lists 100,000 pins through the API as a stream.
func BenchmarkList(b *testing.B) {
	const pins = 100_000
	r := newRig(b, 1, nil)
	pinAll(b, r.peers[0], 256, 0, pins)
	for b.Loop() {
		n := 0
		for _, err := range r.peers[0].Pins(b.Context()) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != pins {
			b.Fatalf("listed %d pins, want %d", n, pins)
		}
	}
	b.ReportMetric(float64(pins)*float64(b.N)/b.Elapsed().Seconds(), "pins/s")
}
