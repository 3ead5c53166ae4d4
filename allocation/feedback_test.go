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
		{"at 96 %", FullPhi, tb, tb * 96 / 100, FullPhi},
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
			got := Feedback(c.phi, c.lent, c.assigned)
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
		next := SlowStart(phi, lent, share*uint64(phi)/FullPhi)
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
		if got := SlowStart(phi, lent, lent/10); got != want {
			t.Errorf("from %d: %d, want %d", phi, got, want)
		}
	}
	if got := SlowStart(FullPhi, lent, 2*lent); got != Feedback(FullPhi, lent, 2*lent) {
		t.Errorf("overfull: %d", got)
	}
}

// A round is that everybody answers at once. The rule acts from 96 % on: where the
// whole cluster is 95 % full, half of it does, and more moves than the 0.25 % of
// copies that suffice below.
func TestFeedbackGetsEveryoneUnderWhatTheyLend(t *testing.T) {
	seeds := amount(5, 12, 40)
	for fill, bar := range map[float64]float64{0.85: 0.0025, 0.90: 0.0025, 0.95: 0.005} {
		var moves []float64
		overfull, most := 0, 0
		for seed := range seeds {
			d := dice(10_000 + seed)
			f := newFleet(&d, 10, 10_000, fill)
			overfull += f.over()
			rounds, moved := f.settle(6)
			most = max(most, rounds)
			moves = append(moves, moved)
			if f.over() > 0 {
				t.Errorf("fill %.2f, seed %d: %d over after %d rounds", fill, seed, f.over(), rounds)
			}
		}
		slices.Sort(moves)
		t.Logf("10 members, fill %.2f, %d seeds: %d over, 0 after at most %d rounds; copies moved %.3f %% (median), %.3f %% (worst)",
			fill, seeds, overfull, most, 100*moves[seeds/2], 100*moves[seeds-1])
		if moves[seeds/2] > bar {
			t.Errorf("fill %.2f: %.3f %% of copies moved", fill, 100*moves[seeds/2])
		}
		if fill > 0.9 && overfull == 0 {
			t.Error("nobody was over: this test could not fail")
		}
	}
}

// BenchmarkFeedback is the same for more members.
func BenchmarkFeedback(b *testing.B) {
	for _, c := range []struct{ n, items int }{{100, 60_000}, {1000, 200_000}} {
		for fill, bar := range map[float64]float64{0.70: 0.0025, 0.85: 0.0025, 0.90: 0.0025, 0.95: 0.01} {
			b.Run(fmt.Sprintf("%d/%.2f", c.n, fill), func(b *testing.B) {
				for b.Loop() {
					d := dice(c.n)
					f := newFleet(&d, c.n, c.items, fill)
					b.ReportMetric(float64(f.over()), "over-before")
					rounds, moved := f.settle(6)
					b.ReportMetric(float64(rounds), "rounds")
					b.ReportMetric(100*moved, "%moved")
					if f.over() > 0 || moved > bar {
						b.Errorf("%d over after %d rounds, %.3f %% moved", f.over(), rounds, 100*moved)
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
