package allocation

import (
	"cmp"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// groupRates returns the summed rate of each group that is not certain, with its
// exact target: copies that are left times its share of what is left.
func groupRates(v *View, p *plan) (rate, target []float64) {
	at := map[int32]int{}
	var shares []float64
	sum := 0.0
	for pos := p.sure; pos < len(p.member); pos++ {
		i, ok := at[p.group[pos]]
		if !ok {
			i = len(rate)
			at[p.group[pos]] = i
			rate, shares = append(rate, 0), append(shares, 0)
		}
		rate[i] += float64(p.rate[pos])
		e := float64(v.effective[p.member[pos]])
		shares[i] += e
		sum += e
	}
	for _, e := range shares {
		target = append(target, float64(p.copies-p.certain)*e/sum)
	}
	return rate, target
}

// inclusionBySimpson is the chance of each rate to be among the r first arrivals,
// by Simpson's rule on 64 points to an octave: another method than the solver's.
func inclusionBySimpson(rate []float64, r int) []float64 {
	slowest, fastest := slices.Min(rate), slices.Max(rate)
	const points = 64
	from, octaves := math.Log2(1e-7/fastest), 0
	for ; math.Exp2(from+float64(octaves))*slowest < 40; octaves++ {
	}
	pi := make([]float64, len(rate))
	for k := 0; k <= octaves*points; k++ {
		weight := 2.0 + 2*float64(k%2)
		if k == 0 || k == octaves*points {
			weight = 1
		}
		t := math.Exp2(from + float64(k)/points)
		weight *= t * math.Ln2 / points / 3
		for i, w := range rate {
			f := w * math.Exp(-w*t)
			if f*t < 1e-12 {
				continue
			}
			dp := make([]float64, r)
			dp[0] = 1
			for j, u := range rate {
				if j == i {
					continue
				}
				s := math.Exp(-u * t)
				for c := r - 1; c > 0; c-- {
					dp[c] = dp[c]*s + dp[c-1]*(1-s)
				}
				dp[0] *= s
			}
			for _, x := range dp {
				pi[i] += weight * f * x
			}
		}
	}
	return pi
}

func worstShare(pi, target []float64) float64 {
	worst := 0.0
	for i := range pi {
		worst = max(worst, math.Abs(pi[i]/target[i]-1))
	}
	return worst
}

func TestSolvedSharesAreTheTargets(t *testing.T) {
	const bar = 0.002
	sizes := []int{5, 10, 40, 100}
	if testing.Short() {
		sizes = sizes[:2]
	}
	worst, naive := 0.0, 0.0
	for _, n := range sizes {
		for r := 1; r <= 4; r++ {
			for seed := range max(1, 40/n) {
				d := dice(100*n + 10*r + seed)
				members := d.flat(n)
				if seed%2 == 1 {
					members = d.plain(n)
				}
				v := NewView(members, Policy{})
				p := v.newPlan(&query{}, r)
				rate, target := groupRates(v, p)
				if len(rate) == 0 {
					continue
				}
				left := p.copies - p.certain
				e := worstShare(inclusionBySimpson(rate, left), target)
				worst = max(worst, e)
				if e > bar {
					t.Errorf("%d members, %d copies, seed %d: share off by %.3f %%", n, r, seed, 100*e)
				}
				naive = max(naive, worstShare(inclusionBySimpson(target, left), target))
			}
		}
	}
	t.Logf("worst share %.3f %% off; with capacities as rates %.1f %%", 100*worst, 100*naive)
	if naive < 0.1 {
		t.Errorf("capacities as rates are only %.1f %% off: this test could not fail", 100*naive)
	}
}

func TestCountedSharesAreTheTargets(t *testing.T) {
	items := amount(25_000, 250_000, 1_000_000)
	for _, c := range []struct{ n, r int }{{5, 2}, {5, 4}, {10, 1}, {10, 3}, {30, 3}, {100, 2}, {100, 3}, {100, 4}} {
		d := dice(c.n*10 + c.r)
		v := NewView(d.plain(c.n), Policy{})
		p := v.newPlan(&query{}, c.r)
		count := make([]int, c.n)
		for range items {
			for _, m := range p.order(d.next(), c.r) {
				count[m]++
			}
		}
		want := chances(v, c.r)
		for m, got := range count {
			share := want[v.members[m].ID]
			mean := share * float64(items)
			off := math.Abs(float64(got) - mean)
			if sigma := math.Sqrt(mean * max(0, 1-share)); off > 1e-6*mean && off >= 4*sigma {
				t.Errorf("%d members, %d copies: member %d holds %d items, want %.0f, sigma %.1f", c.n, c.r, m, got, mean, sigma)
			}
		}
	}
}

// overfull returns, of each of so many clusters, the part of the members that get
// more than they lend.
func overfull(n, seeds int, cut bool, flatten func(v *View, p *plan)) []float64 {
	const r, fill = 3, 0.85
	var out []float64
	for seed := range seeds {
		d := dice(seed)
		v := NewView(d.plain(n), Policy{})
		p := v.newPlan(&query{}, r)
		flatten(v, p)
		load := make([]uint64, n)
		for _, size := range d.sizes(2_000*n, fill*float64(v.Usable(r))*(1<<20)) {
			for size > 0 {
				part := size
				if cut {
					part = min(size, 1<<28)
				}
				size -= part
				for _, m := range p.order(d.next(), r) {
					load[m] += part
				}
			}
		}
		over := 0.0
		for m, l := range load {
			if l > v.members[m].Cap<<20 {
				over++
			}
		}
		out = append(out, over/float64(n))
	}
	return out
}

// estimate returns the mean of a sample and the half of its 95 % interval. Members
// of one cluster are not independent of each other: the sample is of clusters.
func estimate(sample []float64) (mean, half float64) {
	for _, x := range sample {
		mean += x / float64(len(sample))
	}
	sum := 0.0
	for _, x := range sample {
		sum += (x - mean) * (x - mean)
	}
	return mean, 1.96 * math.Sqrt(sum/float64(len(sample)-1)/float64(len(sample)))
}

// Items are cut into shards of 256 MiB above 1 GiB, by the rule; cut all at 256 MiB
// they are what the specification's table is of. The bar is 2 %.
func TestMembersAreNotOverfull(t *testing.T) {
	none := func(*View, *plan) {}
	for _, c := range []struct {
		n, clusters int
		cut         bool
	}{{10, amount(20, 60, 1000), false}, {10, amount(0, 0, 1000), true}, {100, amount(0, 2, 12), false}} {
		if c.clusters == 0 {
			continue
		}
		mean, half := estimate(overfull(c.n, c.clusters, c.cut, none))
		t.Logf("%d members, all cut at 256 MiB: %v, %d clusters: %.2f %% +- %.2f overfull", c.n, c.cut, c.clusters, 100*mean, 100*half)
		if mean-half > 0.02 {
			t.Errorf("%d members: %.2f %% get more than they lend, at most 2 %% may", c.n, 100*mean)
		}
	}
	// plain weighted rendezvous, the same items, one copy in a site as well
	naive, _ := estimate(overfull(10, 10, false, func(v *View, p *plan) {
		p.sure, p.screen.open = 0, true
		for pos, m := range p.member {
			p.rate[pos] = v.effective[m]
		}
	}))
	t.Logf("10 members, capacities as rates: %.0f %% overfull", 100*naive)
	if naive < 0.2 {
		t.Errorf("with capacities as rates only %.0f %%: this test could not fail", 100*naive)
	}
}

// chances returns the chance of each member to hold an item.
func chances(v *View, r int) map[peer.ID]float64 {
	p := v.newPlan(&query{}, r)
	_, chance := groupRates(v, p)
	whole := map[int32]float64{}
	for pos, m := range p.member {
		whole[p.group[pos]] += float64(v.effective[m])
	}
	out, at := map[peer.ID]float64{}, map[int32]int{}
	for pos, m := range p.member {
		share := 1.0
		if g := p.group[pos]; pos >= p.sure {
			if _, ok := at[g]; !ok {
				at[g] = len(at)
			}
			share = chance[at[g]]
		}
		out[v.members[m].ID] = share * float64(v.effective[m]) / whole[p.group[pos]]
	}
	return out
}

// moved returns the copies that two views place differently, and the least that
// the change of shares asks for.
func moved(d *dice, items, r int, a, b *View) (copies, least float64) {
	for range items {
		it := Item{Hash: d.hash(), Want: pinset.Replication{Min: r, Max: r}}
		was := a.Allocate(it).Holders
		for _, id := range b.Allocate(it).Holders {
			if !slices.Contains(was, id) {
				copies++
			}
		}
	}
	before := chances(a, r)
	for id, share := range chances(b, r) {
		least += max(0, share-before[id]) * float64(items)
	}
	return copies, least
}

func TestAChangeMovesLittleMoreThanItMust(t *testing.T) {
	items := amount(10_000, 20_000, 200_000)
	for _, c := range []struct {
		n   int
		bar float64
	}{{10, 1.25}, {100, 1.10}} {
		d := dice(c.n)
		members := d.sites(c.n)
		slices.SortFunc(members, func(a, b Member) int { return int(int64(b.Cap) - int64(a.Cap)) })
		large := c.n / 10
		joiner := Member{ID: d.peerID(), Cap: 10_000_000_000_000 >> 20, Phi: FullPhi, Domains: []string{"new"}}
		median := 0 // of what is lent, not of members: an event of less than 1 % of the copies is all noise
		for sum := members[0].Cap; sum < total(members)/2; sum += members[median].Cap {
			median++
		}
		halved, doubled := slices.Clone(members), slices.Clone(members)
		halved[large].Cap /= 2
		doubled[median].Cap *= 2
		base := NewView(members, Policy{})
		for _, change := range []struct {
			name  string
			after []Member
		}{
			{"join of 10 TB", append(slices.Clone(members), joiner)},
			{"leave of a large one", slices.Delete(slices.Clone(members), large, large+1)},
			{"a large one halves", halved},
			{"a large one doubles", doubled},
		} {
			copies, least := moved(&d, items, 3, base, NewView(change.after, Policy{}))
			t.Logf("%d members, %s: %.2f %% of copies move, %.3f of the least", c.n, change.name, 100*copies/float64(3*items), copies/least)
			if copies > c.bar*least {
				t.Errorf("%d members, %s: %.0f copies move, at least %.0f must", c.n, change.name, copies, least)
			}
		}
	}
}

// What a method that fills the freest first leaves empty, here has its share: all
// members are used, and the largest hold as large a part of the data as of the
// capacity.
func TestEverybodyHasAShare(t *testing.T) {
	d := dice(8)
	f := newFleet(&d, amount(40, 100, 100), 10_000, 0.5)
	slices.SortFunc(f.load, func(a, b uint64) int { return cmp.Compare(b, a) })
	caps := f.view.Members()
	slices.SortFunc(caps, func(a, b Member) int { return cmp.Compare(b.Cap, a.Cap) })
	data, top := 0.0, len(caps)/10
	for _, l := range f.load {
		data += float64(l)
	}
	held := 0.0
	for _, l := range f.load[:top] {
		held += float64(l) / data
	}
	lent := float64(total(caps[:top])) / float64(total(caps))
	t.Logf("%d members: the largest tenth lends %.1f %% and holds %.1f %%; the smallest load is %d bytes", len(caps), 100*lent, 100*held, f.load[len(f.load)-1])
	if f.load[len(f.load)-1] == 0 || math.Abs(held-lent) > 0.03 {
		t.Errorf("the largest tenth lends %.1f %% and holds %.1f %%, smallest load %d", 100*lent, 100*held, f.load[len(f.load)-1])
	}
}

// A plan and what the view keeps of each member beside the names in its record.
func TestTablesAreSmall(t *testing.T) {
	const n = 10_000
	d := dice(9)
	v := NewView(d.flat(n), Policy{})
	p := v.newPlan(&query{}, 3)
	size := 4*(cap(p.member)+cap(p.group)+cap(p.at)) + 8*(cap(p.key)+cap(p.rate)+cap(p.screen.below)) +
		8*(cap(v.effective)+cap(v.keys)) + int(reflect.TypeFor[Member]().Size())*cap(v.members)
	t.Logf("%d bytes a member", size/n)
	if size/n > 400 {
		t.Errorf("%d bytes a member, at most 400 may be", size/n)
	}
}

func total(members []Member) (mib uint64) {
	for _, m := range members {
		mib += m.Cap
	}
	return mib
}

// A peer that does not know one member yet disagrees about that member's share.
func TestAViewWithoutOneMemberDiffersByItsShare(t *testing.T) {
	d := dice(7)
	const items, r = 20_000, 3
	v := NewView(d.flat(100), Policy{})
	m := v.members[slices.IndexFunc(v.members, func(m Member) bool { return m.Cap > 2_000_000 })]
	less := NewView(slices.DeleteFunc(v.Members(), func(o Member) bool { return o.ID == m.ID }), Policy{})
	held := 0.0
	probe := d
	for range items {
		if v.Holds(m.ID, Item{Hash: probe.hash(), Want: pinset.Replication{Min: r, Max: r}}) {
			held++
		}
	}
	copies, _ := moved(&d, items, r, v, less)
	if copies > 1.2*held {
		t.Errorf("%.0f of %d copies differ, the member's share is %.0f", copies, r*items, held)
	}
}
