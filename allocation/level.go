package allocation

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
)

// group is the members that share a draw: those of one domain at the level at
// which copies must be apart, or a single member.
type group struct {
	id        string
	members   []int32 // positions in the view, rising
	cap       uint64  // MiB lent
	effective uint64
}

// groupsAt gathers members by the domain they stand in at a level (0 is the
// coarsest). A member that names none there is a group of its own; level -1 makes
// all of them so.
func (v *View) groupsAt(members []int32, level int) []group {
	var out []group
	at := make(map[string]int, len(members))
	for _, i := range members {
		id := v.groupID(i, level)
		g, ok := at[id]
		if !ok {
			g = len(out)
			at[id] = g
			out = append(out, group{id: id})
		}
		out[g].members = append(out[g].members, i)
		out[g].cap += min(v.members[i].Cap, maxCap)
		out[g].effective += v.effective[i]
	}
	return out
}

// site returns the domain in which a member stands at a level, as its whole path:
// two households of one name in two regions are two. A member that names none
// there stands for itself, and nil is returned.
func (v *View) site(i int32, level int) []string {
	d := v.members[i].Domains
	if level < 0 || level >= len(d) || d[level] == "" {
		return nil
	}
	return d[:level+1]
}

// groupID names the site; its first byte keeps members' ids apart from domains.
func (v *View) groupID(i int32, level int) string {
	site := v.site(i, level)
	if site == nil {
		return "m" + string(v.members[i].ID)
	}
	var b strings.Builder
	b.WriteByte('d')
	for _, d := range site {
		b.Write(binary.AppendUvarint(nil, uint64(len(d))))
		b.WriteString(d)
	}
	return b.String()
}

// strictGroups returns the groups in which no two of r copies may lie: the
// coarsest domains of which there are r and which leave at least the policy's
// share of the capacity usable that single members would; and the level of these
// domains, -1 for members.
func (v *View) strictGroups(members []int32, r int) ([]group, int) {
	single := v.groupsAt(members, -1)
	depth := 0
	for _, i := range members {
		depth = max(depth, len(v.members[i].Domains))
	}
	if depth == 0 {
		return single, -1
	}
	most := usable(single, r)
	for level := range depth {
		g := v.groupsAt(members, level)
		if len(g) < r {
			continue
		}
		if short, _ := lessProduct(usable(g, r), 100, most, v.policy.StrictShare); !short {
			return g, level
		}
	}
	return single, -1
}

// coarse numbers the coarse domains of members; it has a place for each member of
// the view.
func (v *View) coarse(members []int32) []int32 {
	out := make([]int32, len(v.members))
	for number, g := range v.groupsAt(members, 0) {
		for _, i := range g.members {
			out[i] = int32(number)
		}
	}
	return out
}

// usable is the most data, in MiB, of which r copies fit into groups with no two
// of a datum in one: the greatest d for which min(cap, d), summed over groups,
// reaches r*d. That is the least of tail(k)/(r-k) for k < r, tail(k) being the
// capacity without the k largest groups.
func usable(groups []group, r int) uint64 {
	if r < 1 || len(groups) < r {
		return 0
	}
	caps := make([]uint64, len(groups))
	tail := uint64(0)
	for i, g := range groups {
		caps[i] = g.cap
		tail += g.cap
	}
	slices.SortFunc(caps, func(a, b uint64) int { return cmp.Compare(b, a) })
	most := tail / uint64(r)
	for k := 1; k < r; k++ {
		tail -= caps[k-1]
		most = min(most, tail/uint64(r-k))
	}
	return most
}

// rateBits is the number of binary places of a solved rate.
const rateBits = 40

// rates sorts groups into the order of the algorithm, says how many of the first
// are certain to hold one of r copies, and returns the rate of each of the others.
func rates(groups []group, r int) (certain int, solved []uint64) {
	slices.SortFunc(groups, func(a, b group) int {
		if a.effective != b.effective {
			return cmp.Compare(b.effective, a.effective)
		}
		return strings.Compare(a.id, b.id)
	})
	sum := uint64(0)
	for _, g := range groups {
		sum += g.effective
	}
	for r > 0 && certain < len(groups) && reaches(r, groups[certain].effective, sum) {
		sum -= groups[certain].effective
		certain++
		r--
	}
	others := groups[certain:]
	if len(others) == 0 {
		return certain, nil
	}
	lambda := make([]float64, len(others))
	for i, g := range others {
		lambda[i] = float64(float64(float64(r)*float64(g.effective)) / float64(sum))
	}
	solved = make([]uint64, len(others))
	for i, w := range calibrate(lambda, r) {
		solved[i] = max(1, uint64(float64(w*(1<<rateBits))))
	}
	return certain, solved
}

// reaches says whether r*e >= sum.
func reaches(r int, e, sum uint64) bool {
	hi, lo := bits.Mul64(uint64(r), e)
	return hi > 0 || lo >= sum
}
