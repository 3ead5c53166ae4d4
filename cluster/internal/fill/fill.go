package fill

import (
	"fmt"
	"math"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// Share is a part of a whole, 0 of nothing.
func Share(part, of uint64) float64 {
	if of == 0 {
		return 0
	}
	return float64(part) / float64(of)
}

// SpreadOf looks at those who take a share.
func SpreadOf(members []pinset.Fill) pinset.Spread {
	s := pinset.Spread{Least: math.Inf(1)}
	var bytes, lent uint64
	for _, f := range members {
		if f.Role != "" || f.Lent == 0 {
			continue
		}
		s.Least, s.Most = min(s.Least, f.Fill), max(s.Most, f.Fill)
		bytes, lent = bytes+f.Assigned.Bytes, lent+f.Lent
	}
	if lent == 0 {
		return pinset.Spread{}
	}
	s.Mean, s.Points = Share(bytes, lent), 100*(s.Most-s.Least)
	return s
}

// Wishes counts pins that leave the allocation less than a free choice.
type Wishes struct {
	named, tagged, large uint64
	greatest             uint64 // bytes of one pin
}

// Note counts one.
func (w *Wishes) Note(p pinset.Pin, it allocation.Item) {
	if len(p.Include) > 0 {
		w.named++
	}
	if len(p.Tags) > 0 {
		w.tagged++
	}
	if it.Size >= large {
		w.large++
	}
	w.greatest = max(w.greatest, it.Size)
}

const (
	large      = 1 << 30 // from where an item's size changes who may hold it
	evenEnough = 0.1     // apart, of the mean fill: below it nothing need be said
	overFull   = 0.96    // a member that is nearly full
	idleEnough = 5       // percent of what is lent that is never missed
)

// Limits finds what stands in the way, the gravest first.
func Limits(a *identity.Authority, view *allocation.View, b pinset.Balance, w Wishes) []pinset.Limit {
	var out []pinset.Limit
	add := func(code, do, format string, args ...any) {
		out = append(out, pinset.Limit{Code: code, Title: fmt.Sprintf(format, args...), Do: do})
	}
	for _, f := range b.Members {
		switch {
		case f.Role == "" && f.Fill > 1:
			add("over-full", "lend more there (pinfold give SIZE), or anywhere",
				"%s is assigned %s and lends %s: what does not fit is refused there", f.Name, pinset.FormatSize(f.Assigned.Bytes), pinset.FormatSize(f.Lent))
		case f.Role == "" && f.Fill > overFull:
			add("nearly-full", "lend more there (pinfold give SIZE), or anywhere", "%s is filled to %.0f %%", f.Name, 100*f.Fill)
		}
	}
	out = append(out, siteLimits(a, view, b)...)
	if b.Unsized > 0 {
		add("size-unknown", "", "%d pins are of unknown size until a member has fetched them; they are counted as nothing", b.Unsized)
	}
	if b.Spread.Most-b.Spread.Least <= evenEnough*b.Spread.Mean {
		return out
	}
	if w.named > 0 {
		add("named", "pin without --on where it need not be", "%d pins name members that hold them in any case", w.named)
	}
	if w.tagged > 0 {
		add("tags", "have more members carry the tags (pinfold set --tag), or pin without --tags", "%d pins ask for tags, which only some members have", w.tagged)
	}
	if few := fewest(b); few > 0 && few < 400 {
		add("few-pins", "", "the member with the smallest share has %d copies: so few fall unevenly, as dice do (about %.0f %% either way)", few, 100/math.Sqrt(float64(few)))
	}
	if w.large > 0 {
		add("large-pins", "", "%d pins are of 1 GiB or more (the largest %s), and lie at one member as a whole: small members take none", w.large, pinset.FormatSize(w.greatest))
	}
	for _, m := range a.Members() {
		if m.Phi < identity.FullPhi && m.State == identity.Active {
			add("asks-for-less", "", "%s asks for %.0f %% of its share: it has just joined, or was too full", m.Name, 100*float64(m.Phi)/identity.FullPhi)
		}
	}
	return out
}

// fewest is the least number of copies at a member that takes a share.
func fewest(b pinset.Balance) uint64 {
	least := uint64(math.MaxUint64)
	for _, f := range b.Members {
		if f.Role == "" && f.Lent > 0 {
			least = min(least, f.Assigned.Copies)
		}
	}
	if least == math.MaxUint64 {
		return 0
	}
	return least
}

// siteLimits finds sites so large that part of what they lend can never be used:
// of a pin at most one copy lies in each.
func siteLimits(a *identity.Authority, view *allocation.View, b pinset.Balance) []pinset.Limit {
	p := a.Policy()
	copies := p.Max
	if copies == pinset.Everywhere {
		return []pinset.Limit{{Code: "everywhere", Title: "every pin goes to every member: the smallest one is full first",
			Do: "want fewer copies of what need not be everywhere (pin add --replication N)"}}
	}
	var lent uint64
	for _, f := range b.Members {
		if f.Role == "" {
			lent += f.Lent
		}
	}
	fits := view.Usable(copies) << 20
	if fits == 0 {
		return []pinset.Limit{{Code: "few-members", Title: fmt.Sprintf("%d copies cannot be made apart from each other: there are too few members", copies),
			Do: "invite more members (pinfold invite)"}}
	}
	idle := lent - min(lent, fits*uint64(copies))
	if lent == 0 || idle < lent/100*idleEnough {
		return nil
	}
	return []pinset.Limit{{Code: "site-too-large",
		Title: fmt.Sprintf("with %d copies, each at another site, %s of the %s lent cannot be used: the largest sites lend more than all others can match",
			copies, pinset.FormatSize(idle), pinset.FormatSize(lent)),
		Do: "lend more at the smaller sites, or ask for fewer copies; try it: pinfold plan --if replication=" + fmt.Sprint(max(1, copies-1))}}
}
