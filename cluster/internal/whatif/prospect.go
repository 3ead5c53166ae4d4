package whatif

import (
	"slices"
	"strings"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// Amount gives a load its form for people.
func Amount(l allocation.Load) pinset.Amount {
	return pinset.Amount{Copies: uint64(l.Copies), Bytes: l.Bytes}
}

// Site is where a member stands: its domains, the widest first.
func Site(path []string) string { return strings.Join(path, "/") }

// Prospect tells what a change means for one member.
func (w *World) Prospect(a *identity.Authority, s allocation.Shift) pinset.Prospect {
	p := pinset.Prospect{
		Peer: s.ID, Name: w.Names[s.ID],
		Before: Amount(s.Before), After: Amount(s.After), In: Amount(s.In), Out: Amount(s.Out),
	}
	if r, ok := a.Member(s.ID); ok {
		p.Name, p.Site = r.Name, Site(r.Domains)
	} else {
		p.Peer, p.Note = "", "joins"
	}
	i := slices.IndexFunc(w.Members, func(m allocation.Member) bool { return m.ID == s.ID })
	switch {
	case i < 0:
		p.Note = "leaves"
		return p
	case w.Members[i].State == allocation.Draining:
		p.Note = "draining"
	case w.Members[i].Mirror || len(w.Members[i].Mirrors) > 0:
		p.Note = "mirror"
	}
	p.Site, p.Lent.After = Site(w.Members[i].Domains), w.Lent[s.ID]
	return p
}

// mostCopies is up to how many copies it is told how much data would fit.
const mostCopies = 5

// Usable tells how much data fits under two views, for each number of copies that
// the members could make.
func Usable(before, after *allocation.View) []pinset.Usable {
	var out []pinset.Usable
	for r := 1; r <= mostCopies; r++ {
		u := pinset.Usable{Copies: r, Bytes: pinset.BeforeAfter{Before: before.Usable(r) << 20, After: after.Usable(r) << 20}}
		if u.Bytes != (pinset.BeforeAfter{}) {
			out = append(out, u)
		}
	}
	return out
}
