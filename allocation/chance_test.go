package allocation

import (
	"math"
	"testing"
)

// Twenty peers that lend 1:2:4:8 and 10,000 pins of three copies: the smallest have
// 400 copies in the mean. Which members hold a pin depends on that pin alone (I14), so
// a member's count is a sum of independent draws, each with the chance that is its
// share: its variance is n*p*(1-p) whatever the function is. All peers within 5 % of
// their shares is what chance gives rarely, and no function of single pins more often.
func TestTwentyPeersAreAsEvenAsChanceAllows(t *testing.T) {
	const pins, copies, within = 10_000, 3, 0.05
	pinsets := amount(10, 40, 400)
	d := dice(20)
	members := d.flat(20)
	for i := range members {
		members[i].Cap = 1 << 20 << (i % 4)
	}
	v := NewView(members, Policy{})
	p := v.newPlan(&query{}, copies)
	share := chances(v, copies)

	perfect := 1.0 // chance that independent draws get all of them within
	for _, x := range share {
		z := within * pins * x / math.Sqrt(pins*x*(1-x))
		perfect *= math.Erf(z / math.Sqrt2)
	}
	even, worst, squares := 0, 0.0, 0.0
	for range pinsets {
		count := make([]int, len(members))
		for range pins {
			for _, m := range p.order(d.next(), copies) {
				count[m]++
			}
		}
		all := true
		for m, got := range count {
			x := share[v.members[m].ID]
			z := (float64(got) - pins*x) / math.Sqrt(pins*x*(1-x))
			worst, squares = max(worst, math.Abs(z)), squares+z*z
			all = all && math.Abs(float64(got)-pins*x) <= within*pins*x
		}
		if all {
			even++
		}
	}
	n := float64(pinsets * len(members))
	t.Logf("%d of %d pinsets have all peers within 5 %%; chance gives %.1f %%; worst |z| %.2f of %.0f counts, mean square %.3f",
		even, pinsets, 100*perfect, worst, n, squares/n)
	if worst >= 4.5 { // one in 150,000
		t.Errorf("a count is %.1f sigma off", worst)
	}
	if off := math.Abs(squares/n - 1); off > 4*math.Sqrt(2/n) {
		t.Errorf("the counts' mean square of z is %.3f, want that of independent draws, 1", squares/n)
	}
	if perfect > 0.1 || float64(even) > float64(pinsets)*perfect+4*math.Sqrt(float64(pinsets)*perfect)+1 {
		t.Errorf("%d of %d within 5 %%, where chance gives %.1f %%", even, pinsets, 100*perfect)
	}
}
