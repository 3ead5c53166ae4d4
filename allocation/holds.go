package allocation

import (
	"math/bits"
	"slices"
)

// holds says whether the member at pos is among the first copies of the order. It
// gives the answer of order, and looks at few members to get there: most that do
// not hold an item learn so from the strongest.
func (p *plan) holds(item uint64, pos int) bool {
	if p.coarse != nil {
		return slices.Contains(p.order(item, p.copies), p.member[pos])
	}
	if p.groups < p.copies {
		return true // one group each, and every one is needed
	}
	me := p.candidate(item, pos)
	if me.sure {
		return p.bestOfItsGroup(item, &me)
	}
	places := p.copies - p.certain
	y := newYardstick(&me)
	var seen groupSet
	mine := p.group[pos]
	for other := p.sure; other < len(p.key); other++ {
		d := draw(item, p.key[other])
		first, clear := y.before(^d, p.rate[other])
		if !clear {
			if other == pos {
				continue
			}
			c := p.candidate(item, other)
			first = before(&c, &me)
		}
		if !first {
			continue
		}
		if g := p.group[other]; g == mine {
			return false
		} else if seen.add(g, p.groups) {
			if places--; places == 0 {
				return false
			}
		}
	}
	return true
}

func (p *plan) bestOfItsGroup(item uint64, me *candidate) bool {
	for pos := range p.sure {
		if p.group[pos] != p.group[me.pos] || pos == int(me.pos) {
			continue
		}
		if c := p.candidate(item, pos); before(&c, me) {
			return false
		}
	}
	return true
}

// yardstick is ln 2 * log/rate of one member. Times another member's rate it is,
// to first order, the length below the top of the interval into which that
// member's draw must fall to come first. It is kept as mantissa * 2^-shift, in
// units of 2^-64; the mantissa is rounded up and has 61 good bits.
type yardstick struct {
	mantissa uint64
	shift    int // below 0: no answer is clear
}

func newYardstick(c *candidate) yardstick {
	hi, lo := bits.Mul64(c.log, ln2)
	if hi == 0 {
		return yardstick{shift: -1}
	}
	up, down := bits.LeadingZeros64(hi), bits.LeadingZeros64(c.rate)
	num, rate := hi<<up|lo>>(64-up), c.rate<<down
	q, _ := bits.Div64(num>>1, num<<63, rate)
	if q < 1<<64-4 {
		q += 4
	}
	// num is ln2*log*2^up in units of 2^-57, q is num/rate*2^63.
	return yardstick{mantissa: q, shift: fracBits - 1 + up - down}
}

// slack covers, in units of 2^-64, the two units of 2^-57 by which negLog2 may lie
// above the true value, and what is rounded here.
const slack = 1 << 10

// before says whether a member with this draw (its complement) and rate comes
// before the yardstick's, where that is clear without its logarithm: the interval
// for it has the length 1 - e^-x, x being the yardstick times the rate.
func (y yardstick) before(complement, rate uint64) (first, clear bool) {
	if y.shift < 0 {
		return false, false
	}
	hi, lo := bits.Mul64(y.mantissa, rate)
	var x uint64
	switch {
	case y.shift >= 64:
		x = hi >> (y.shift - 64)
	case hi>>y.shift == 0:
		x = hi<<(64-y.shift) | lo>>y.shift
	default:
		first = complement < intervalAbove(hi>>y.shift)-slack
		return first, first
	}
	if x < 1<<64-slack && complement > x+slack {
		return false, true // the usual answer: 1 - e^-x <= x
	}
	x2, _ := bits.Mul64(x, x)
	x3, _ := bits.Mul64(x2, x)
	x4, _ := bits.Mul64(x3, x)
	upper := x - x2/2 + x3/6
	lower := upper - x4/24
	switch {
	case complement > upper+slack:
		return false, true
	case lower > slack && complement < lower-slack:
		return true, true
	}
	return false, false
}

// intervalAbove is at most 1 - e^-x in units of 2^-64, for x >= n >= 1.
func intervalAbove(n uint64) uint64 {
	switch {
	case n >= 8:
		return 0xffea03defbefd853 // 1 - e^-8
	case n >= 4:
		return 0xfb4faa91f7b0c2e2
	case n >= 2:
		return 0xdd5aaab880fc68c0
	}
	return 0xa1d2a7274c4320e5
}
