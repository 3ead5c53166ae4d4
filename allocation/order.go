package allocation

import (
	"math/bits"
	"slices"
)

// candidate is a member with its draw for one item.
type candidate struct {
	log, rate uint64
	pos       int32 // in the plan
	member    int32 // in the view: the order of ids
	sure      bool
}

// before is the order of the algorithm: certain groups first, then the smaller
// log/rate, then the smaller id.
func before(a, b *candidate) bool {
	if a.sure != b.sure {
		return a.sure
	}
	less, equal := lessProduct(a.log, b.rate, b.log, a.rate)
	if equal {
		return a.member < b.member
	}
	return less
}

func (p *plan) candidate(item uint64, pos int) candidate {
	return candidate{
		log: negLog2(draw(item, p.key[pos])), rate: p.rate[pos],
		pos: int32(pos), member: p.member[pos], sure: pos < p.sure,
	}
}

// order returns the first k members of the order for an item, as positions in the
// view.
func (p *plan) order(item uint64, k int) []int32 {
	if p.coarse == nil {
		return p.strictOrder(item, k)
	}
	line := p.strictOrder(item, max(k, 2*p.copies))
	p.spread(line[:min(len(line), p.groups, 2*p.copies)])
	return line[:min(k, len(line))]
}

// spread moves to the front of a line those of the plan's copies that lie in
// distinct coarse domains.
func (p *plan) spread(line []int32) {
	front := 0
	for at := 0; at < len(line) && front < p.copies; at++ {
		m := line[at]
		if slices.ContainsFunc(line[:front], func(o int32) bool { return p.coarse[o] == p.coarse[m] }) {
			continue
		}
		copy(line[front+1:at+1], line[front:at])
		line[front] = m
		front++
	}
}

// strictOrder is order by the draws alone: the best of each group in their order,
// then all others in theirs.
func (p *plan) strictOrder(item uint64, k int) []int32 {
	k = min(k, len(p.member))
	if k <= 0 {
		return nil
	}
	var space [96]candidate
	if !p.screen.open {
		if out, ok := p.rank(p.screened(item, space[:0]), k); ok {
			return out
		}
	}
	all := space[:0]
	for pos := range p.member {
		all = append(all, p.candidate(item, pos))
	}
	out, _ := p.rank(all, k)
	return out
}

// rank picks the first k of the order from candidates that are all before every
// member that is not among them (but for those of certain groups, which must all
// be here). It reports false when the candidates do not settle it.
func (p *plan) rank(c []candidate, k int) ([]int32, bool) {
	slices.SortFunc(c, func(a, b candidate) int {
		if before(&a, &b) {
			return -1
		}
		return 1
	})
	firsts := min(k, p.groups)
	out := make([]int32, 0, k)
	var seen groupSet
	others := make([]int32, 0, k-firsts)
	for i := range c {
		if seen.add(p.group[c[i].pos], p.groups) {
			if out = append(out, c[i].member); len(out) == k {
				return out, true
			}
		} else if len(others) < k-firsts {
			others = append(others, c[i].member)
		}
	}
	return append(out, others...), len(out) == firsts && len(others) == k-firsts
}

// groupSet is a set of groups: a short list, or a table once it is longer.
type groupSet struct {
	few  [16]int32
	n    int
	many []bool
}

// add reports whether g is new; groups are numbered below limit.
func (s *groupSet) add(g int32, limit int) bool {
	if s.many == nil {
		if slices.Contains(s.few[:s.n], g) {
			return false
		}
		if s.n < len(s.few) {
			s.few[s.n] = g
			s.n++
			return true
		}
		s.many = make([]bool, limit)
		for _, f := range s.few {
			s.many[f] = true
		}
	}
	was := s.many[g]
	s.many[g] = true
	return !was
}

// screen tells, from the draw alone, which members may lie under a level of
// log/rate that the first few of almost every item lie under, so that the
// logarithms of all the others need not be taken.
type screen struct {
	open  bool // everyone passes
	log   uint64
	rate  uint64   // the level is log/rate
	below []uint64 // of each position: the complement of a draw that may pass
}

// newScreen chooses a level under which some 2k+6 members are expected. The
// choice affects only speed.
func (p *plan) newScreen(k int) screen {
	n := len(p.member)
	expect := uint64(2*k + 6)
	if uint64(n) <= 2*expect {
		return screen{open: true}
	}
	var sum uint64
	for _, r := range p.rate[p.sure:] {
		sum += r
	}
	s := screen{log: 8 << fracBits, below: make([]uint64, n)}
	for s.rate = sum/expect*5 + 1; s.rate > 4; s.rate -= s.rate / 4 {
		if s.fill(p) >= expect {
			return s
		}
	}
	return screen{open: true}
}

// fill computes the bounds for the level and returns how many members of groups
// that are not certain will pass on average, at most.
func (s *screen) fill(p *plan) uint64 {
	var hits, part uint64
	for pos, r := range p.rate {
		if pos < p.sure {
			s.below[pos] = 1<<64 - 1
			continue
		}
		s.below[pos] = 1<<64 - 1
		if hi, lo := bits.Mul64(s.log, r); hi < s.rate {
			level, _ := bits.Div64(hi, lo, s.rate)
			s.below[pos] = complementBound(level)
		}
		var carry uint64
		part, carry = bits.Add64(part, s.below[pos], 0)
		hits += carry
	}
	return hits
}

// ln2 is ceil(ln 2 * 2^64).
const ln2 = 0xb17217f7d1cf79ac

// complementBound is at least the complement of every draw whose logarithm is at
// most level: 1 - 2^-x <= x ln 2, and negLog2 is never below the true value.
func complementBound(level uint64) uint64 {
	hi, _ := bits.Mul64(level, ln2)
	const up = 64 - fracBits
	if hi+1 >= 1<<(64-up) {
		return 1<<64 - 1
	}
	return (hi + 1) << up
}

// screened returns all members of certain groups and those of the others that lie
// under the level.
func (p *plan) screened(item uint64, out []candidate) []candidate {
	keys := p.key
	below := p.screen.below[:len(keys)]
	for pos, key := range keys {
		if ^draw(item, key) > below[pos] {
			continue
		}
		c := p.candidate(item, pos)
		if !c.sure {
			if above, _ := lessProduct(p.screen.log, c.rate, c.log, p.screen.rate); above {
				continue
			}
		}
		out = append(out, c)
	}
	return out
}
