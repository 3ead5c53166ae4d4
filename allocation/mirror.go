package allocation

import (
	"cmp"
	"slices"
)

// A mirror holds items beside their holders, so it is never one of those itself:
// its copies are extra ones. It mirrors everything, or what some members hold,
// which may be mirrors in turn.

// mirroring says whether m is a mirror of any kind.
func (m *Member) mirroring() bool { return m.Mirror || len(m.Mirrors) > 0 }

// follow notes whom the active members mirror by name. Who is not known, or has
// left, holds nothing that could be mirrored.
func (v *View) follow() {
	for i := range v.members {
		m := &v.members[i]
		if m.Mirror || m.State != Active {
			continue
		}
		var of []int32
		for _, id := range m.Mirrors {
			if at, ok := v.index[id]; ok {
				of = append(of, at)
			}
		}
		if len(of) > 0 {
			v.followers = append(v.followers, follower{int32(i), of})
		}
	}
}

// follower is a member that mirrors others by name.
type follower struct {
	member int32
	of     []int32
}

// mirrorsOf returns who mirrors q's item, as rising positions: the mirrors of
// everything, and whoever mirrors a member that holds the item.
func (v *View) mirrorsOf(q *query, holders []int32) []int32 {
	if len(v.followers) == 0 {
		return q.mirrors
	}
	held := slices.Concat(q.include, holders, q.mirrors)
	out := slices.Clone(q.mirrors)
	for again := true; again; { // a mirror may be mirrored: no longer chain than there are followers
		again = false
		for _, f := range v.followers {
			holds := func(i int32) bool { return slices.Contains(held, i) }
			if !holds(f.member) && slices.ContainsFunc(f.of, holds) && v.unfit(f.member, q) == fits {
				held, out, again = append(held, f.member), append(out, f.member), true
			}
		}
	}
	slices.Sort(out)
	return out
}

// follows says whether the member at i mirrors others by name.
func (v *View) follows(i int32) bool { return len(v.mirrored(i)) > 0 }

// mirrored are those whom the member at i mirrors by name.
func (v *View) mirrored(i int32) []int32 {
	at, ok := slices.BinarySearchFunc(v.followers, i, func(f follower, i int32) int { return cmp.Compare(f.member, i) })
	if !ok {
		return nil
	}
	return v.followers[at].of
}

// mirrors says whether mirrorsOf names the member at i, who mirrors by name. asked
// are those about whom it is being asked already.
func (v *View) mirrors(i int32, q *query, item uint64, asked *[]int32) bool {
	if v.unfit(i, q) != fits {
		return false
	}
	*asked = append(*asked, i)
	return slices.ContainsFunc(v.mirrored(i), func(j int32) bool {
		return v.holds(j, q, item) || v.follows(j) && !slices.Contains(*asked, j) && v.mirrors(j, q, item, asked)
	})
}

// mirrorsWhy tells people why a mirror has the item.
func (v *View) mirrorsWhy(i int32) string {
	if v.members[i].Mirror {
		return "mirrors everything"
	}
	return "mirrors a member that holds it"
}
