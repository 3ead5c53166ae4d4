package allocation

// This file holds the only floating point of the package. Every product and
// quotient is rounded by an explicit conversion: without it a compiler may fuse a
// product with the sum it goes into, and two CPUs get two results. The order of
// operations is part of the algorithm.

const (
	pointsPerOctave = 8
	// maxPoints ends an integration that would not end by itself: a group whose
	// share is below 2^-33 of the largest never arrives in float64.
	maxPoints  = 1024
	iterations = 8
)

// calibrate returns the rate of each group such that its chance to be among the r
// smallest draws is lambda[i]. The lambdas are below one and sum to r; they and
// the rates are in group order.
func calibrate(lambda []float64, r int) []float64 {
	w := make([]float64, len(lambda))
	if r == 1 {
		copy(w, lambda)
		return w
	}
	for i, l := range lambda {
		w[i] = float64(l / (1 - float64(l/2)))
	}
	in := newIntegration(len(w), r)
	for range iterations {
		pi := in.inclusion(w)
		sum := 0.0
		for i, l := range lambda {
			w[i] = float64(w[i] * correction(l, pi[i]))
			sum += w[i]
		}
		scale := float64(float64(r) / sum)
		for i := range w {
			w[i] = float64(w[i] * scale)
		}
	}
	return w
}

// correction is the factor by which a rate is off, when it gives the chance pi
// and is to give l: as if the others stood still, and at most 4 either way.
func correction(l, pi float64) float64 {
	want, have := negLog2Float(1-l), negLog2Float(1-min(pi, 0.999999))
	if have == 0 {
		if want == 0 {
			return 1 // both beyond what float64 can tell from nothing
		}
		return 4
	}
	return max(0.25, min(4, float64(want/have)))
}

// negLog2Float is negLog2 for x in [0, 1].
func negLog2Float(x float64) float64 {
	if x >= 1 {
		return 0 // and converting 2^64 to an integer would not be defined
	}
	return float64(float64(negLog2(uint64(float64(x*(1<<64))))) / (1 << fracBits))
}

// integration computes chances of inclusion by following the arrival of groups
// over time, on points that are eighths of octaves apart.
type integration struct {
	r     int
	stay  [pointsPerOctave][]float64 // P(not arrived) at the last eight points
	prevQ []float64                  // P(arrived) at the previous point
	prevT []float64                  // P(fewer than r others arrived) there
	pi    []float64
	dp    []float64 // P(j of the groups arrived), j < r
	rest  []float64 // the same without one group
}

func newIntegration(n, r int) *integration {
	in := &integration{
		r: r, prevQ: make([]float64, n), prevT: make([]float64, n), pi: make([]float64, n),
		dp: make([]float64, r), rest: make([]float64, r),
	}
	for k := range in.stay {
		in.stay[k] = make([]float64, n)
	}
	return in
}

// inclusion returns, for each group, the chance that fewer than r others arrive
// before it when group i arrives after an exponential time of rate w[i]. The
// result is valid until the next call.
func (in *integration) inclusion(w []float64) []float64 {
	largest := 0.0
	for i := range w {
		largest = max(largest, w[i])
		in.pi[i], in.prevQ[i], in.prevT[i] = 0, 0, 1
	}
	start := float64(1.0 / (1 << 20) / largest)
	for k := range maxPoints {
		stay := in.stay[k%pointsPerOctave]
		if k < pointsPerOctave {
			firstOctave(stay, w, float64(start*eighthPower(k)))
		} else {
			for i, s := range stay {
				stay[i] = float64(s * s)
			}
		}
		if in.step(stay) < 1e-7 {
			break
		}
	}
	return in.pi
}

// firstOctave sets stay[i] to exp(-w[i]*t), for exponents below 2^-19.
func firstOctave(stay, w []float64, t float64) {
	for i := range w {
		x := float64(w[i] * t)
		x2 := float64(x * x)
		x3 := float64(x2 * x)
		stay[i] = 1 - x + float64(x2/2) - float64(x3/6)
	}
}

// eighthPower is 2^(k/8), rounded to nearest, for k in 0..7.
func eighthPower(k int) float64 {
	return [pointsPerOctave]float64{
		1,
		1.0905077326652576592070106557607,
		1.1892071150027210667174999705605,
		1.2968395546510096659337541177925,
		1.4142135623730950488016887242097,
		1.5422108254079408236122918620907,
		1.6817928305074290860622509524664,
		1.8340080864093424634870831895883,
	}[k]
}

// step adds the stretch from the previous point to this one to the chances, and
// returns the greatest chance of a place that is still free.
func (in *integration) step(stay []float64) float64 {
	in.arrivals(stay, -1, in.dp)
	free := 0.0
	for i, s := range stay {
		t := 0.0
		switch {
		case i > 0 && s == stay[i-1]:
			t = in.prevT[i-1] // the same sum: skipping either leaves the same sequence
		case s >= 0.5:
			t = without(in.dp, s)
		default:
			in.arrivals(stay, i, in.rest)
			for _, p := range in.rest {
				t += p
			}
		}
		q := 1 - s
		in.pi[i] += float64(float64(float64(q-in.prevQ[i])*float64(t+in.prevT[i])) / 2)
		in.prevQ[i], in.prevT[i] = q, t
		free = max(free, t)
	}
	return free
}

// arrivals sets dp[j] to the chance that exactly j of the groups arrived, all but
// the one at skip.
func (in *integration) arrivals(stay []float64, skip int, dp []float64) {
	clear(dp)
	dp[0] = 1
	for i, s := range stay {
		if i == skip {
			continue
		}
		q := 1 - s
		for j := min(i+1, len(dp)-1); j > 0; j-- {
			dp[j] = float64(dp[j]*s) + float64(dp[j-1]*q)
		}
		dp[0] = float64(dp[0] * s)
	}
}

// without divides one group, which stays with chance s, out of dp, and sums what
// is left.
func without(dp []float64, s float64) float64 {
	q := 1 - s
	rest := float64(dp[0] / s)
	sum := rest
	for _, p := range dp[1:] {
		rest = float64((p - float64(rest*q)) / s)
		sum += rest
	}
	return sum
}
