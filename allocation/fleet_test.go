package allocation

import "slices"

// fleet is members with a pinset, each of which answers its load by Feedback.
type fleet struct {
	members []Member
	items   []sized
	view    *View
	load    []uint64 // assigned bytes, by member
	placed  [][]int32
}

type sized struct {
	item  uint64
	bytes uint64
}

const fleetCopies = 3

// newFleet fills n members in sites to a part of what they can hold with three
// copies, with pins cut into shards.
func newFleet(d *dice, n, items int, fill float64) *fleet {
	f := &fleet{members: d.sites(n)}
	f.view = NewView(f.members, Policy{})
	f.members = f.view.Members()
	total := fill * float64(f.view.Usable(fleetCopies)) * (1 << 20)
	for _, size := range d.sizes(items, total) {
		f.items = append(f.items, sized{d.next(), size})
	}
	f.placed = make([][]int32, len(f.items))
	f.place()
	return f
}

// place computes all placements anew, and returns the copies that moved and their
// bytes; those of new items do not count.
func (f *fleet) place() (copies int, bytes uint64) {
	f.view = NewView(f.members, Policy{})
	p := f.view.newPlan(&query{}, fleetCopies)
	f.load = make([]uint64, len(f.members))
	for i, it := range f.items {
		was := f.placed[i]
		is := p.order(it.item, fleetCopies)
		f.placed[i] = is
		for _, m := range is {
			f.load[m] += it.bytes
			if was != nil && !slices.Contains(was, m) {
				copies++
				bytes += it.bytes
			}
		}
	}
	return copies, bytes
}

func (f *fleet) over() int {
	n := 0
	for i, m := range f.members {
		if f.load[i] > m.Cap<<20 {
			n++
		}
	}
	return n
}

// round lets members answer the loads that they saw; it returns how many published.
func (f *fleet) round(saw []uint64, acts func(i int) bool) int {
	published := 0
	loads := make([]Filling, len(saw))
	for i, m := range f.members {
		loads[i] = Filling{m.Cap << 20, saw[i]}
	}
	crowd := Crowd(loads)
	for i := range f.members {
		m := &f.members[i]
		if next := Feedback(m.Phi, loads[i], crowd); next != m.Phi && acts(i) {
			m.Phi = next
			published++
		}
	}
	return published
}

// settled is what came of rounds in which everybody answers at once.
type settled struct {
	fits  int     // rounds until nobody was over, -1: somebody stayed over
	quiet int     // until nobody published, -1: somebody went on
	moved float64 // part of the copies, of all rounds
}

// settle plays rounds until nobody publishes: also who is not over may, and what
// that moves counts.
func (f *fleet) settle(rounds int) settled {
	out, moved := settled{fits: -1, quiet: -1}, 0
	for r := 0; ; r++ {
		if f.over() > 0 {
			out.fits = -1
		} else if out.fits < 0 {
			out.fits = r
		}
		if r == rounds {
			break
		}
		if f.round(f.load, func(int) bool { return true }) == 0 {
			out.quiet = r
			break
		}
		copies, _ := f.place()
		moved += copies
	}
	out.moved = float64(moved) / float64(fleetCopies*len(f.items))
	return out
}

// excess is the part of all copies' bytes that is above what its members lend: so
// much moves in any case.
func (f *fleet) excess() float64 {
	above, all := 0.0, 0.0
	for i, m := range f.members {
		all += float64(f.load[i])
		above += max(0, float64(f.load[i])-float64(m.Cap<<20))
	}
	return above / all
}

// churn replaces a part of the items by others of the same sizes, and returns
// their bytes.
func (f *fleet) churn(d *dice, part float64) uint64 {
	bytes := uint64(0)
	for range int(part * float64(len(f.items))) {
		i := d.below(len(f.items))
		f.items[i].item, f.placed[i] = d.next(), nil
		bytes += f.items[i].bytes
	}
	return bytes
}

// flow is what came of many steps of churn.
type flow struct {
	over, published, moved float64 // part of member-steps, per step, part of the bytes that changed
	worst                  float64 // load over lent
}

// flow plays steps of 2 % churn in which a random half of the members answers the
// loads of the step before.
func (f *fleet) flow(d *dice, steps int) flow {
	var out flow
	var moved, changed uint64
	for range steps {
		saw := f.load
		changed += fleetCopies * f.churn(d, 0.02)
		out.published += float64(f.round(saw, func(int) bool { return d.chance(50) })) / float64(steps)
		_, bytes := f.place()
		moved += bytes
		out.over += float64(f.over()) / float64(steps*len(f.members))
		for i, m := range f.members {
			out.worst = max(out.worst, float64(f.load[i])/float64(m.Cap<<20))
		}
	}
	out.moved = float64(moved) / float64(changed)
	return out
}
