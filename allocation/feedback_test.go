package allocation

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func TestFeedbackThresholds(t *testing.T) {
	const tb = 1_000_000_000_000
	half := quantised(FullPhi / 2)
	for _, c := range []struct {
		name           string
		phi            uint32
		lent, assigned uint64
		want           float64 // before it is cut to a step
	}{
		{"empty", FullPhi, tb, 0, FullPhi},
		{"at 96 %, among those that are not full", FullPhi, tb, tb * 96 / 100, FullPhi},
		{"above 96 %", FullPhi, tb, tb*96/100 + 1, FullPhi * 92 / 96.},
		{"twice what it lends", FullPhi, tb, 2 * tb, FullPhi * 46 / 100.},
		{"ten times: a quarter at most", FullPhi, tb, 10 * tb, FullPhi / 4},
		{"lends nothing, holds something", FullPhi, 0, tb, FullPhi / 4},
		{"lends nothing, holds nothing", FullPhi, 0, 0, FullPhi},
		{"below 80 % at its whole share", FullPhi, tb, tb / 2, FullPhi},
		{"at 80 %", half, tb, tb * 80 / 100, float64(half)},
		{"below 80 %", half, tb, tb*80/100 - 1, float64(half) * 1.1},
		{"far below: a fifth more at most", half, tb, tb / 10, float64(half) * 1.2},
		{"nothing assigned", half, tb, 0, float64(half) * 1.2},
		{"never above the whole", FullPhi - 2000, tb, tb / 2, FullPhi},
		{"more than the whole is the whole", 1 << 30, tb, tb / 2, FullPhi},
		{"never to nothing", leastPhi, tb, 10 * tb, leastPhi},
		{"from nothing", 0, tb, 0, leastPhi * 1.2},
		{"extreme", FullPhi, 1<<64 - 1, 1<<64 - 1, FullPhi * 92 / 100.},
		{"extreme and light", half, 1<<64 - 1, 1, float64(half) * 1.2},
		{"extreme and heavy", FullPhi, 1, 1<<64 - 1, FullPhi / 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Feedback(c.phi, Filling{c.lent, c.assigned}, 0)
			if step := math.Exp2(1. / 64); float64(got) > c.want || float64(got)*step < c.want-2 {
				t.Errorf("got %d, want at most %.1f and less than a step below", got, c.want)
			}
		})
	}
}

func TestStepsOfPhi(t *testing.T) {
	steps := map[uint32]bool{}
	for k := range 10*64 + 1 {
		steps[uint32(math.Floor(math.Exp2(16-float64(k)/64)))] = true
	}
	last := uint32(leastPhi)
	for phi := uint32(leastPhi); phi <= FullPhi; phi++ {
		if steps[phi] {
			last = phi
		}
		if got := quantised(phi); got != last {
			t.Fatalf("quantised(%d) = %d, want %d", phi, got, last)
		}
	}
}

func TestSlowStartDoublesUntilItFits(t *testing.T) {
	const lent = 1 << 40
	share := uint64(lent) * 3 / 2 // assigned at its whole share
	phi, rounds := uint32(0), 0
	for ; rounds < 20; rounds++ {
		next := SlowStart(phi, Filling{lent, share * uint64(phi) / FullPhi}, 0)
		if rounds > 0 && next > 2*phi {
			t.Fatalf("from %d to %d", phi, next)
		}
		if next == phi {
			break
		}
		phi = next
	}
	if got := share * uint64(phi) / FullPhi; rounds > 12 || got < lent*80/100 || got > lent*96/100 {
		t.Errorf("after %d rounds at phi %d, %d %% full", rounds, phi, got*100/lent)
	}
	for phi, want := range map[uint32]uint32{0: 2 * StartPhi, StartPhi: 2 * StartPhi, FullPhi / 2: FullPhi, FullPhi: FullPhi} {
		if got := SlowStart(phi, Filling{lent, lent / 10}, 0); got != want {
			t.Errorf("from %d: %d, want %d", phi, got, want)
		}
	}
	if got := SlowStart(FullPhi, Filling{lent, 2 * lent}, 0); got != Feedback(FullPhi, Filling{lent, 2 * lent}, 0) {
		t.Errorf("overfull: %d", got)
	}
}

// Whoever aims lower than where all others are is filled again by those who do the
// same: with one aim for every crowd, a cluster that is 95 % full never comes to rest.
func TestFeedbackComesToRest(t *testing.T) {
	seeds := amount(4, 12, 40)
	for _, fill := range []float64{0.85, 0.90, 0.95} {
		var moves, excess []float64
		overfull, fits, quiet := 0, 0, 0
		for seed := range seeds {
			d := dice(10_000 + seed)
			f := newFleet(&d, 10, 10_000, fill)
			overfull += f.over()
			excess = append(excess, f.excess())
			got := f.settle(20)
			if got.fits < 0 || got.fits > 6 || got.quiet < 0 {
				t.Errorf("fill %.2f, seed %d: %+v, %d over", fill, seed, got, f.over())
			}
			fits, quiet = max(fits, got.fits), max(quiet, got.quiet)
			moves = append(moves, got.moved)
		}
		slices.Sort(moves)
		slices.Sort(excess)
		t.Logf("10 members, fill %.2f, %d seeds: %d over, 0 after at most %d rounds, at rest after %d; copies moved %.3f %% (median), %.3f %% (worst); excess %.3f and %.3f %%",
			fill, seeds, overfull, fits, quiet, 100*moves[seeds/2], 100*moves[seeds-1], 100*excess[seeds/2], 100*excess[seeds-1])
		if moves[seeds/2] > 0.0025 {
			t.Errorf("fill %.2f: %.3f %% of copies moved", fill, 100*moves[seeds/2])
		}
		if fill > 0.9 && overfull == 0 {
			t.Error("nobody was over: this test could not fail")
		}
	}
}

// In a crowd without room nobody gives anything away: it would come back.
func TestFeedbackWhereNobodyHasRoom(t *testing.T) {
	d := dice(7)
	f := newFleet(&d, 10, 3_000, 1.05)
	if got := f.settle(4); got.quiet != 0 || got.moved > 0 {
		t.Errorf("%+v", got)
	}
}

func TestCrowd(t *testing.T) {
	for name, c := range map[string]struct {
		all  []Filling
		want uint32
	}{
		"nobody":                    {nil, 0},
		"nobody is filled":          {[]Filling{{100, 79}, {1000, 1}}, 0},
		"lends nothing":             {[]Filling{{0, 5}, {100, 90}}, 900},
		"by what they lend":         {[]Filling{{100, 80}, {300, 300}, {1000, 790}}, 950},
		"one that has far too much": {[]Filling{{100, 90}, {1, 1 << 40}}, 910},
		"extreme":                   {[]Filling{{1<<64 - 1, 1<<64 - 1}, {1<<64 - 1, 1<<64 - 1}}, 1000},
	} {
		if got := Crowd(c.all); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// BenchmarkFeedback is TestFeedbackComesToRest for more members.
func BenchmarkFeedback(b *testing.B) {
	for _, c := range []struct{ n, items int }{{100, 60_000}, {1000, 200_000}} {
		for _, fill := range []float64{0.70, 0.85, 0.90, 0.95} {
			b.Run(fmt.Sprintf("%d/%.2f", c.n, fill), func(b *testing.B) {
				for b.Loop() {
					d := dice(c.n)
					f := newFleet(&d, c.n, c.items, fill)
					b.ReportMetric(float64(f.over()), "over-before")
					b.ReportMetric(100*f.excess(), "%excess")
					got := f.settle(10)
					b.ReportMetric(float64(got.fits), "rounds-to-fit")
					b.ReportMetric(float64(got.quiet), "rounds-to-rest")
					b.ReportMetric(100*got.moved, "%moved")
					if got.fits < 0 || got.fits > 6 || got.quiet < 0 || got.moved > 0.0025 {
						b.Errorf("%+v, %d over", got, f.over())
					}
				}
			})
		}
	}
}

func TestFeedbackUnderChurn(t *testing.T) {
	if testing.Short() {
		t.Skip("places 60,000 items ten times: not with -short")
	}
	d := dice(92)
	f := newFleet(&d, 20, 5_000, 0.92)
	f.settle(6)
	got := f.flow(&d, 8)
	t.Logf("20 members: %.2f %% of member-steps over, worst %.3f; %.2f publications a step; moved %.2f %% of churn",
		100*got.over, got.worst, got.published, 100*got.moved)
	if got.over > 0.003 || got.moved > 0.03 {
		t.Errorf("%+v", got)
	}
}

// BenchmarkChurn is TestFeedbackUnderChurn with a hundred members.
func BenchmarkChurn(b *testing.B) {
	for _, fill := range []float64{0.85, 0.92} {
		b.Run(fmt.Sprintf("%.2f", fill), func(b *testing.B) {
			for b.Loop() {
				d := dice(100)
				f := newFleet(&d, 100, 20_000, fill)
				f.settle(6)
				got := f.flow(&d, 60)
				b.ReportMetric(100*got.over, "%over")
				b.ReportMetric(100*got.moved, "%moved")
				b.ReportMetric(got.worst, "worst")
				b.ReportMetric(got.published, "published/step")
				if got.over > 0.003 || got.moved > 0.03 {
					b.Errorf("%+v", got)
				}
			}
		})
	}
}
