//go:build unix

package sim

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/pinset"
)

func benchPin(n int) crdtstate.Op {
	sum, err := multihash.Sum(fmt.Appendf(nil, "bench %d", n), multihash.SHA2_256, -1)
	if err != nil {
		panic(err)
	}
	p := pinset.Pin{CID: cid.NewCidV1(cid.DagProtobuf, sum), Name: fmt.Sprintf("item %d", n), Created: time.Unix(1_700_000_000, 0)}
	value, err := p.Encode()
	if err != nil {
		panic(err)
	}
	return crdtstate.Op{Key: p.Key(), Value: value}
}

// BenchmarkVisible takes pins at one member, from 16 clients, and reports how long after its acknowledgement a pin is in the state of
// every other one.
func BenchmarkVisible(b *testing.B) {
	for _, members := range []int{3, 5, 10} {
		for _, rate := range []int{100, 1000} {
			b.Run(fmt.Sprintf("members=%d/rate=%d", members, rate), func(b *testing.B) { benchVisible(b, members, rate) })
		}
	}
}

func benchVisible(b *testing.B, members, rate int) {
	const clients = 16
	p, l := onLoopback(b, members, "badger") // the writer's disk decides how pins are grouped
	p.until(b, "all connected", func() bool { return p.differ(members) == nil })
	var mu sync.Mutex
	acked := make(map[uint64]time.Time) // by seq of the writer's deltas
	lags := make([][]time.Duration, members)
	writer := p.peers[0]
	ctx, cancel := context.WithCancel(b.Context())
	var watching sync.WaitGroup
	for i := 1; i < members; i++ {
		feed := p.peers[i].State.Subscribe()
		watching.Go(func() {
			defer feed.Close()
			seen := p.peers[i].State.Vector()[writer.Key.ID()]
			for {
				c, err := feed.Next(ctx)
				if err != nil {
					return
				}
				now := time.Now()
				for ; seen < c.Vector[writer.Key.ID()]; seen++ {
					mu.Lock()
					at, ok := acked[seen+1]
					mu.Unlock()
					if ok { // else it was here before it was acknowledged there
						lags[i] = append(lags[i], now.Sub(at))
					} else {
						lags[i] = append(lags[i], 0)
					}
				}
			}
		})
	}
	before := l.Bytes()
	total := max(b.N, 2*rate)
	var next atomic.Int64
	var writing sync.WaitGroup
	b.ResetTimer()
	began := time.Now()
	for range clients {
		writing.Go(func() {
			for {
				n := int(next.Add(1))
				if n > total {
					return
				}
				due := began.Add(time.Duration(n) * time.Second / time.Duration(rate))
				<-time.After(time.Until(due))
				r, err := writer.State.Commit(ctx, benchPin(n))
				if err != nil {
					b.Error(err)
					return
				}
				mu.Lock()
				if _, ok := acked[r.Seq]; !ok {
					acked[r.Seq] = time.Now()
				}
				mu.Unlock()
			}
		})
	}
	writing.Wait()
	took := time.Since(began)
	p.until(b, "all have all", func() bool { return p.differ(members) == nil })
	b.StopTimer()
	cancel()
	watching.Wait()
	all := slices.Concat(lags...)
	slices.Sort(all)
	b.ReportMetric(float64(total)/took.Seconds(), "pins/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(l.Bytes()-before)/float64(total)/float64(members-1), "bytes/pin/peer")
	b.ReportMetric(float64(total)/float64(len(acked)), "pins/delta")
}

// BenchmarkGroups takes pins in groups of 500 and reports what crosses the wire
// for each pin and receiving peer.
func BenchmarkGroups(b *testing.B) {
	const members, group = 10, 500
	p, l := onLoopback(b, members)
	p.until(b, "all connected", func() bool { return p.differ(members) == nil })
	before := l.Bytes()
	groups := max(b.N, 10)
	b.ResetTimer()
	began := time.Now()
	for g := range groups {
		ops := make([]crdtstate.Op, group)
		for i := range ops {
			ops[i] = benchPin(g*group + i)
		}
		if _, err := p.peers[0].State.Commit(b.Context(), ops...); err != nil {
			b.Fatal(err)
		}
	}
	p.until(b, "all have all", func() bool { return p.differ(members) == nil })
	took := time.Since(began)
	b.StopTimer()
	b.ReportMetric(float64(groups*group)/took.Seconds(), "pins/s-everywhere")
	b.ReportMetric(float64(l.Bytes()-before)/float64(groups*group)/(members-1), "bytes/pin/peer")
}

// BenchmarkIdle reports what each of ten idle members costs over real connections.
func BenchmarkIdle(b *testing.B) {
	const members = 10
	p, l := onLoopback(b, members)
	p.until(b, "all connected", func() bool { return p.differ(members) == nil })
	rest := time.NewTimer(10 * time.Second) // what a start brings with it
	<-rest.C
	before, cpu := l.Bytes(), processTime(b)
	began := time.Now()
	b.ResetTimer()
	rest.Reset(time.Duration(b.N) * 30 * time.Second)
	<-rest.C
	b.StopTimer()
	took := time.Since(began).Seconds()
	b.ReportMetric(float64(l.Bytes()-before)/took/members, "bytes/s/peer")
	b.ReportMetric(100*(processTime(b)-cpu).Seconds()/took/members, "%core/peer")
}

// processTime returns how long this process has computed.
func processTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Skip("no figures of processes here:", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkJoin reports how long a new member needs from its start until it has
// the whole pinset.
func BenchmarkJoin(b *testing.B) {
	for _, tc := range []struct{ pins, group int }{{100_000, 500}, {10_000, 1}} {
		b.Run(fmt.Sprintf("pins=%d/group=%d", tc.pins, tc.group), func(b *testing.B) {
			p, l := onLoopback(b, 1)
			for i := 0; i < tc.pins; i += tc.group {
				ops := make([]crdtstate.Op, tc.group)
				for j := range ops {
					ops[j] = benchPin(i + j)
				}
				if _, err := p.peers[0].State.Commit(b.Context(), ops...); err != nil {
					b.Fatal(err)
				}
			}
			joined := 0
			var before int64
			for b.Loop() {
				b.StopTimer()
				before = l.Bytes()
				joined++
				o, err := p.club.NewPeer(joined, "memory", "")
				if err != nil {
					b.Fatal(err)
				}
				if err := l.Add(); err != nil {
					b.Fatal(err)
				}
				o.Seen = append(o.Seen, p.peers[0].Info())
				p.peers = append(p.peers, o)
				b.StartTimer()
				if err := o.Start(context.Background()); err != nil {
					b.Fatal(err)
				}
				p.until(b, "joined", func() bool { return o.State.Summary().Count == uint64(tc.pins) })
			}
			b.ReportMetric(float64(l.Bytes()-before)/float64(tc.pins), "bytes/pin")
		})
	}
}
