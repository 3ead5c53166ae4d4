package allocation

import (
	"fmt"
	"slices"
	"testing"
)

func BenchmarkAllocate(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d := dice(n)
			v := NewView(d.plain(n), Policy{})
			it := Item{Hash: d.hash()}
			v.Allocate(it)
			b.ReportAllocs()
			for b.Loop() {
				it.Hash[5]++
				it.Hash[6] += it.Hash[5] | 1
				v.Allocate(it)
			}
		})
	}
}

// BenchmarkPlan makes a plan of three copies; every member is a group of its own.
func BenchmarkPlan(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d := dice(n)
			v := NewView(d.flat(n), Policy{})
			for b.Loop() {
				v.newPlan(&query{}, 3)
			}
		})
	}
}

// BenchmarkHolds asks of one item after the other whether a member holds it: the
// largest, those on the way down, and the smallest. s/1e7 is what it needs to find
// its own among ten million pins.
func BenchmarkHolds(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000} {
		d := dice(n)
		v := NewView(d.plain(n), Policy{})
		members := v.Members()
		slices.SortFunc(members, func(a, b Member) int { return int(int64(b.Cap) - int64(a.Cap)) })
		for name, at := range map[string]int{"largest": 0, "p99": n / 100, "p90": n / 10, "median": n / 2, "smallest": n - 1} {
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				it := Item{Hash: d.hash()}
				v.Holds(members[at].ID, it)
				b.ReportAllocs()
				for b.Loop() {
					it.Hash[5]++
					it.Hash[6] += it.Hash[5] | 1
					it.Hash[7] += it.Hash[6]
					v.Holds(members[at].ID, it)
				}
				b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*1e7, "s/1e7")
			})
		}
	}
}

func BenchmarkView(b *testing.B) {
	d := dice(1)
	members := d.plain(10_000)
	for b.Loop() {
		NewView(members, Policy{})
	}
}
