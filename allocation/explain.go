package allocation

import (
	"math/bits"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Role is what a member is to an item.
type Role string

const (
	Named      Role = "named"       // the pin names it
	Binding    Role = "binding"     // its copy is promised
	BestEffort Role = "best effort" // its copy comes on top of the minimum
	Spare      Role = "spare"       // in line
	Mirroring  Role = "mirror"      // its copy comes beside all others
	Out        Role = "out"         // holds none
)

// Row tells what one item's placement makes of one member.
type Row struct {
	ID   peer.ID
	Role Role
	Rank int // in line, from 1; 0: not in line
	// Score is what the line is ordered by, in millionths, the smallest first:
	// among the members of sites that hold everything, then among all others. 0
	// where nothing is drawn.
	Score uint64
	Cap   uint64   // MiB lent
	Share uint64   // MiB asked for: E
	Site  []string // the domain of which one copy lies in it at most; empty: itself
	Why   string
}

// Explain returns a row for every member that has not left: in the order of
// Ranked, then mirrors, then those that cannot hold the item, by id.
func (v *View) Explain(it Item) []Row {
	q := v.query(&it)
	rows := make([]Row, 0, len(v.members))
	done := make([]bool, len(v.members))
	level := -1
	add := func(i int32, r Row) {
		done[i] = true
		r.ID, r.Cap, r.Share = v.members[i].ID, v.members[i].Cap, v.effective[i]
		r.Site = slices.Clone(v.site(i, level))
		rows = append(rows, r)
	}
	var line []drawn
	if v.known() {
		p := v.plan(&q)
		level, line = p.level, p.explain(key(itemDomain, it.Hash))
	}
	for at, i := range q.include {
		add(i, Row{Role: Named, Rank: at + 1, Why: "the pin names it"})
	}
	placed := v.Allocate(it)
	for _, d := range line {
		role := Spare
		switch rank := len(rows); {
		case rank < placed.Binding:
			role = Binding
		case rank < len(placed.Holders):
			role = BestEffort
		}
		add(d.member, Row{Role: role, Rank: len(rows) + 1, Score: d.score(), Why: d.why(role)})
	}
	for _, id := range placed.Mirrors {
		add(v.index[id], Row{Role: Mirroring, Why: v.mirrorsWhy(v.index[id])})
	}
	for i := range v.members {
		if !done[i] && v.members[i].State != Left {
			add(int32(i), Row{Role: Out, Why: v.out(int32(i), &q)})
		}
	}
	return rows
}

// out says why an active or draining member is not in line.
func (v *View) out(i int32, q *query) string {
	r := v.refusal(i, q)
	if r == mirrors {
		r = v.unfit(i, q)
	}
	switch {
	case r == fits && v.follows(i):
		return "mirrors members that do not hold it"
	case r == fits && !v.known():
		return v.reason(q)
	case r == fits:
		return "in the domain of a member that the pin names"
	}
	return q.text(r)
}

// drawn is a member in line, and whether it is the first of its group.
type drawn struct {
	candidate
	first bool
}

// explain returns the whole line for an item.
func (p *plan) explain(item uint64) []drawn {
	line := make([]drawn, 0, len(p.member))
	for at, m := range p.order(item, len(p.member)) {
		line = append(line, drawn{p.candidate(item, int(p.at[m])), at < p.groups})
	}
	return line
}

// score is log/rate in millionths, at most what 64 bits hold.
func (d *drawn) score() uint64 {
	const places = fracBits - rateBits
	hi, lo := bits.Mul64(d.log, 1_000_000)
	hi, lo = hi>>places, hi<<(64-places)|lo>>places
	if hi >= d.rate {
		return 1<<64 - 1
	}
	q, _ := bits.Div64(hi, lo, d.rate)
	return q
}

const (
	whySure   = "its site is so large that it has a copy of everything"
	whySecond = "another of its site comes first"
)

func (d *drawn) why(r Role) string {
	switch {
	case !d.first:
		return whySecond
	case d.sure:
		return whySure
	case r == Spare:
		return "next in line"
	}
	return "drawn by its share"
}
