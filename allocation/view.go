package allocation

import (
	"encoding/binary"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/pinset"
)

// Item is what is placed as a whole.
type Item struct {
	Hash    multihash.Multihash // of its root: version and codec of a CID do not matter
	Want    pinset.Replication  // zero: the policy's
	Tags    []string            // a holder has all of them; in any order
	Include []peer.ID           // members that hold it in any case; in any order
	Size    uint64              // bytes, 0: not known
}

// Placement is who holds an item.
type Placement struct {
	// Holders in rank order, the named ones first. The first Binding of them are
	// promised; the others are best effort.
	Holders []peer.ID
	Binding int
	// Spares are next in line: as many as there are holders to choose, at least
	// one, if there are. Ranked gives all.
	Spares  []peer.ID
	Mirrors []peer.ID // hold it as well
	Short   int       // copies missing to the minimum
	Reason  string    // why, if Short is not 0
}

// View is a set of members under a policy. It is immutable and safe for concurrent
// use.
type View struct {
	policy    Policy
	members   []Member // by id
	effective []uint64 // E of each
	keys      []uint64 // for draw
	archives  []int32  // active mirrors of everything
	followers []follower
	index     map[peer.ID]int32
	digest    [32]byte
	plans     *planCache
}

// NewView returns the view of members under a policy. It copies what it keeps; the
// order of members does not matter.
func NewView(members []Member, p Policy) *View {
	v := &View{policy: p.withDefaults(), members: normalised(members), index: make(map[peer.ID]int32, len(members))}
	v.digest = digest(v.members)
	for i := range v.members {
		m := &v.members[i]
		v.effective = append(v.effective, m.effective(v.policy.FillDays))
		v.keys = append(v.keys, key(memberDomain, m.seat()))
		v.index[m.ID] = int32(i)
		if m.Mirror && m.State == Active {
			v.archives = append(v.archives, int32(i))
		}
	}
	v.follow()
	v.plans = newPlanCache(len(v.members))
	return v
}

// Digest is M: SHA-256 over the fields of all records that decide who holds what.
// Two views with one M and one policy give every item the same placement.
func (v *View) Digest() [32]byte { return v.digest }

// Members returns a copy of the records, sorted by id.
func (v *View) Members() []Member { return normalised(v.members) }

// Usable returns the most data, in MiB, of which r copies (or one everywhere) fit
// on the members under the rule of distinct domains, counting what they lend and
// not how full they let themselves become.
func (v *View) Usable(r int) uint64 {
	members := v.eligible(&query{})
	if r == pinset.Everywhere {
		r = len(members)
	}
	groups, _ := v.strictGroups(members, r)
	return usable(groups, r)
}

// Allocate returns who holds an item. A shortage is reported in the placement and
// is no error: the copies that can be made are made.
func (v *View) Allocate(it Item) Placement {
	q := v.query(&it)
	out := Placement{Holders: v.ids(q.include)}
	var drawn []int32
	if v.known() {
		p := v.plan(&q)
		copies := p.copies
		if !q.every {
			copies = q.copies()
		}
		list := p.order(key(itemDomain, it.Hash), copies+max(copies, 1))
		copies = min(copies, len(list))
		drawn = list[:copies]
		out.Holders = append(out.Holders, v.ids(drawn)...)
		out.Spares = v.ids(list[copies:])
	}
	out.Mirrors = v.ids(v.mirrorsOf(&q, drawn))
	q.settle(&out, v.policy.MirrorsCount)
	if out.Short > 0 {
		out.Reason = v.reason(&q)
	}
	return out
}

// Ranked returns every member that could hold the item, in rank order: the holders
// of Allocate, then all spares. Mirrors are not in it.
func (v *View) Ranked(it Item) []peer.ID {
	q := v.query(&it)
	out := v.ids(q.include)
	if v.known() {
		p := v.plan(&q)
		out = append(out, v.ids(p.order(key(itemDomain, it.Hash), len(p.member)))...)
	}
	return out
}

// Holds says whether the member is to keep the item, as a holder or as a mirror.
// It equals looking id up in Allocate's answer, and is faster.
func (v *View) Holds(id peer.ID, it Item) bool {
	i, ok := v.index[id]
	if !ok {
		return false
	}
	q := v.query(&it)
	item := key(itemDomain, it.Hash)
	return v.holds(i, &q, item) || v.follows(i) && v.mirrors(i, &q, item, new([]int32))
}

// holds is Holds but for mirrors by name.
func (v *View) holds(i int32, q *query, item uint64) bool {
	if slices.Contains(q.include, i) || slices.Contains(q.mirrors, i) {
		return true
	}
	if !v.known() || !q.every && q.copies() == 0 {
		return false
	}
	p := v.plan(q)
	pos := p.at[i]
	return pos >= 0 && (q.every || p.holds(item, int(pos)))
}

// known says whether this version can compute what the policy asks for. Otherwise
// it places nothing rather than something else than the others.
func (v *View) known() bool { return v.policy.Algo == Algorithm }

func (v *View) ids(at []int32) []peer.ID {
	if len(at) == 0 {
		return nil
	}
	out := make([]peer.ID, len(at))
	for i, m := range at {
		out[i] = v.members[m].ID
	}
	return out
}

// query reads an item: fills in the defaults, and drops named members that are
// gone.
func (v *View) query(it *Item) query {
	want := it.Want.Or(v.policy.Replication)
	q := query{min: max(want.Min, 0), max: max(want.Max, 0), class: sizeClass(it.Size), tags: it.Tags}
	q.every = want.Min == pinset.Everywhere || want.Max == pinset.Everywhere
	q.max = max(q.max, q.min)
	for _, id := range it.Include {
		if i, ok := v.index[id]; ok && v.members[i].State != Left && !slices.Contains(q.include, i) {
			q.include = append(q.include, i)
		}
	}
	slices.Sort(q.include)
	for _, i := range v.archives {
		if v.unfit(i, &q) == fits && !slices.Contains(q.include, i) {
			q.mirrors = append(q.mirrors, i)
		}
	}
	if v.policy.MirrorsCount && !q.every {
		q.max = max(0, q.max-len(q.mirrors))
	}
	return q
}

// copies to place beside the named members.
func (q *query) copies() int { return max(0, q.max-len(q.include)) }

// settle says how much of the placement is binding, and what is missing. A pin
// that is wanted everywhere is short only when nobody can take it.
func (q *query) settle(out *Placement, mirrorsCount bool) {
	least := q.min
	if q.every {
		least = max(1, len(out.Holders))
	} else if mirrorsCount {
		least = max(0, least-len(q.mirrors))
	}
	out.Binding = min(least, len(out.Holders))
	out.Short = least - out.Binding
}

// plan returns the plan for a query, from the cache if it is there.
func (v *View) plan(q *query) *plan {
	k := planKey{copies: q.copies(), class: q.class}
	if q.every {
		k.copies = pinset.Everywhere
	}
	if len(q.tags) > 0 {
		k.tags = string(appendTexts(nil, q.tags))
	}
	if len(q.include) > 0 {
		b := make([]byte, 0, 4*len(q.include))
		for _, i := range q.include {
			b = binary.BigEndian.AppendUint32(b, uint32(i))
		}
		k.include = string(b)
	}
	return v.plans.get(k, func() *plan { return v.newPlan(q, k.copies) })
}
