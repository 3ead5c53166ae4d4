package allocation

import (
	"cmp"
	"math/bits"
	"slices"
)

// plan is everything about a set of candidates that does not depend on the item:
// who they are, their groups and rates. Members stand in it at positions: first
// those of certain groups, then the others by falling rate.
type plan struct {
	copies  int // wanted of this plan, at least 1
	certain int // groups that hold every item
	groups  int
	level   int // of the domains in which at most one copy lies; -1: of members
	sure    int // members of certain groups: positions below

	member []int32  // position in the view
	group  []int32  // certain groups first
	key    []uint64 // of the member, for draw
	rate   []uint64
	coarse []int32 // of each view position, its coarse domain; nil: they are not spread
	at     []int32 // view position -> position here, -1: not a candidate
	screen screen
}

// query is what of an item selects its plan, and what selects from the plan.
type query struct {
	every    bool // a copy at every eligible member
	min, max int
	class    int
	tags     []string
	include  []int32 // positions in the view, rising
	mirrors  []int32
}

// eligible returns the members that q's item may be placed on, in view order.
func (v *View) eligible(q *query) []int32 {
	var out []int32
	for i := range v.members {
		if v.refusal(int32(i), q) == fits {
			out = append(out, int32(i))
		}
	}
	return out
}

// candidates are the eligible members beside the named ones, and without those
// that stand in the finest domain of a named one if the copies can do without
// them.
func (v *View) candidates(q *query, copies int) []int32 {
	rest := v.eligible(q)
	if len(q.include) == 0 {
		return rest
	}
	rest = slices.DeleteFunc(rest, func(i int32) bool { return slices.Contains(q.include, i) })
	apart := slices.DeleteFunc(slices.Clone(rest), func(i int32) bool {
		return slices.ContainsFunc(q.include, func(named int32) bool {
			path := v.members[named].Domains
			return len(path) > 0 && v.members[i].in(path)
		})
	})
	if !q.every && len(apart) >= copies {
		return apart
	}
	return rest
}

// newPlan builds the plan for copies beside the named members.
func (v *View) newPlan(q *query, copies int) *plan {
	copies = max(copies, 1) // for the spares of an item whose named members suffice
	members := v.candidates(q, copies)
	if q.every {
		copies = max(copies, len(members))
	}
	groups, level := v.strictGroups(members, copies)
	certain, solved := rates(groups, copies)
	p := &plan{copies: copies, certain: certain, groups: len(groups), level: level, at: make([]int32, len(v.members))}
	rows := v.rows(groups, certain, solved)
	for i := range p.at {
		p.at[i] = -1
	}
	for pos, row := range rows {
		p.member = append(p.member, row.member)
		p.group = append(p.group, row.group)
		p.key = append(p.key, v.keys[row.member])
		p.rate = append(p.rate, row.rate)
		p.at[row.member] = int32(pos)
		if int(row.group) < certain {
			p.sure++
		}
	}
	if v.policy.SoftSpread && level > 0 {
		p.coarse = v.coarse(members)
	}
	p.screen = p.newScreen(2 * copies)
	return p
}

type row struct {
	member, group int32
	rate          uint64
}

// rows lays out the members of groups as a plan has them.
func (v *View) rows(groups []group, certain int, solved []uint64) []row {
	var sure, others []row
	for g, gr := range groups {
		for _, i := range gr.members {
			r := row{member: i, group: int32(g), rate: v.effective[i]}
			if g < certain {
				sure = append(sure, r)
				continue
			}
			hi, lo := bits.Mul64(solved[g-certain], v.effective[i])
			r.rate, _ = bits.Div64(hi, lo, gr.effective)
			r.rate = max(1, r.rate)
			others = append(others, r)
		}
	}
	slices.SortFunc(others, func(a, b row) int {
		if a.rate != b.rate {
			return cmp.Compare(b.rate, a.rate)
		}
		return cmp.Compare(a.member, b.member)
	})
	return append(sure, others...)
}
