package allocation

import "fmt"

// refusal is why a member is not in line for an item.
type refusal uint8

const (
	fits refusal = iota
	hasLeft
	draining
	mirrors
	idle
	untagged
	small
	refusals // how many there are
)

// refusal says what keeps the member out of the line for q's item.
func (v *View) refusal(i int32, q *query) refusal {
	switch m := &v.members[i]; {
	case m.State == Left:
		return hasLeft
	case m.State == Draining:
		return draining
	case m.mirroring():
		return mirrors
	}
	return v.unfit(i, q)
}

// unfit says why the member's record does not let it hold q's item in any role.
func (v *View) unfit(i int32, q *query) refusal {
	switch m := &v.members[i]; {
	case v.effective[i] == 0:
		return idle
	case !m.hasTags(q.tags):
		return untagged
	case m.Cap < classCap(q.class):
		return small
	}
	return fits
}

// text follows "member" or a number of members.
func (q *query) text(r refusal) string {
	switch r {
	case hasLeft:
		return "gone"
	case draining:
		return "draining"
	case mirrors:
		return "mirrors, which come on top"
	case idle:
		return "lending nothing"
	case untagged:
		return fmt.Sprintf("without the tags %q", q.tags)
	case small:
		return fmt.Sprintf("lending less than %d GiB, too little for its size", classCap(q.class)>>10)
	}
	return "fit"
}

// reason tells why fewer members than wanted can take an item.
func (v *View) reason(q *query) string {
	if !v.known() {
		return fmt.Sprintf("the cluster places pins by algorithm %d, this version knows %d: update pinfold",
			v.policy.Algo, Algorithm)
	}
	var count [refusals]int
	for i := range v.members {
		count[v.refusal(int32(i), q)]++
	}
	out := fmt.Sprintf("%d of %d members can take it", count[fits], len(v.members)-count[hasLeft])
	for r := draining; r < refusals; r++ {
		if n := count[r]; n > 0 {
			out += fmt.Sprintf("; %d %s", n, q.text(r))
		}
	}
	return out
}
