package allocation

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/libp2p/go-libp2p/core/peer"
)

var samePlacement = cmp.Options{cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Placement{}, "Reason")}

// cases calls f with random clusters, policies and items.
func cases(t *testing.T, clusters, items int, f func(d *dice, members []Member, p Policy, v *View, it Item)) {
	t.Helper()
	for seed := range clusters {
		d := dice(seed)
		n := 1 + d.below(14)
		if seed%10 == 9 {
			n = 15 + d.below(60)
		}
		members := d.motley(n)
		if seed%3 == 0 {
			members = d.plain(n)
		}
		switch seed % 9 {
		case 5:
			members = d.following(d.motley(n))
		case 7:
			members = d.regions(n)
		}
		p := Policy{MirrorsCount: seed%4 == 1, SoftSpread: seed%2 == 1}
		if seed%5 == 4 {
			p.FillDays = uint64(1 + d.below(60))
		}
		v := NewView(members, p)
		for range items {
			f(&d, members, p, v, d.item(members))
		}
	}
}

func TestAllocateEqualsTheTwin(t *testing.T) {
	clusters := amount(60, 400, 4000)
	cases(t, clusters, 8, func(d *dice, members []Member, p Policy, v *View, it Item) {
		want := naiveAllocate(members, p, it)
		if diff := cmp.Diff(want, v.Allocate(it), samePlacement); diff != "" {
			t.Fatalf("%d members, item %+v: twin against package:\n%s", len(members), it, diff)
		}
	})
}

func TestUsableEqualsTheTwin(t *testing.T) {
	for seed := range 300 {
		d := dice(seed)
		members := d.flat(1 + d.below(12))
		for r := 1; r < 8; r++ {
			want := naiveUsable(naiveGroups(members, -1, 30), r).Uint64()
			if got := NewView(members, Policy{}).Usable(r); got != want {
				t.Fatalf("seed %d, %d copies on %d members: usable %d, want %d", seed, r, len(members), got, want)
			}
		}
	}
}

func TestLogarithmEqualsTheTwinAndFalls(t *testing.T) {
	var d dice
	check := func(h uint64) {
		t.Helper()
		if got, want := negLog2(h), naiveLog(h); want.Uint64() != got {
			t.Fatalf("negLog2(%#x) = %#x, want %#x", h, got, want)
		}
		if h > 0 && negLog2(h-1) < negLog2(h) {
			t.Fatalf("negLog2 rises from %#x", h-1)
		}
	}
	for _, h := range edges() {
		check(h)
	}
	for range 20_000 {
		check(d.next() >> d.below(64))
		check(^(d.next() >> d.below(64)))
	}
}

// edges are draws at which integer code tends to be wrong.
func edges() []uint64 {
	out := []uint64{0, 1, 2, 1<<64 - 1, 1<<64 - 2, 1<<64 - 3}
	for bit := range 64 {
		out = append(out, 1<<bit-1, 1<<bit, 1<<bit+1, ^uint64(1<<bit))
	}
	return out
}

func TestHoldsEqualsAllocate(t *testing.T) {
	clusters := amount(60, 300, 3000)
	cases(t, clusters, 20, func(d *dice, members []Member, p Policy, v *View, it Item) {
		checkHolds(t, v, it, v.Members())
	})
	for _, n := range []int{100, 300, 1000} {
		d := dice(n)
		for _, members := range [][]Member{d.plain(n), d.flat(n)} {
			v := NewView(members, Policy{})
			for range 40 {
				checkHolds(t, v, d.item(members), members)
			}
		}
	}
}

func checkHolds(t *testing.T, v *View, it Item, members []Member) {
	t.Helper()
	pl := v.Allocate(it)
	for _, m := range members {
		want := slices.Contains(pl.Holders, m.ID) || slices.Contains(pl.Mirrors, m.ID)
		if got := v.Holds(m.ID, it); got != want {
			t.Fatalf("%d members, item %+v: Holds(%s) = %v, Allocate says %v", len(members), it, m.ID, got, want)
		}
	}
	if v.Holds(peer.ID("stranger"), it) {
		t.Fatal("a stranger holds an item")
	}
}

// The screens that skip logarithms may never change the order.
func TestScreenedOrderEqualsTheWholeOrder(t *testing.T) {
	items := amount(2_000, 20_000, 1_000_000)
	for _, n := range []int{60, 100, 1000} {
		for _, r := range []int{1, 2, 3, 6} {
			d := dice(n + r)
			members := d.plain(n)
			if r%2 == 0 {
				members = d.flat(n)
			}
			v := NewView(members, Policy{})
			p := v.newPlan(&query{}, r)
			open := *p
			open.screen = screen{open: true}
			if p.screen.open {
				if n > 100 {
					t.Fatalf("%d members, %d copies: nothing is screened", n, r)
				}
				continue
			}
			for range items * 10 / n {
				item := d.next()
				if got, want := p.order(item, 2*r), open.order(item, 2*r); !slices.Equal(got, want) {
					t.Fatalf("%d members, %d copies, item %#x: %v, want %v", n, r, item, got, want)
				}
			}
		}
	}
}

// The yardstick must be right where it claims to be clear: at the very bounds.
func TestYardstickAgreesWithTheLogarithms(t *testing.T) {
	var d dice
	clear, first := 0, 0
	rate := func() uint64 { return 1 + d.next()>>8>>d.below(56) }
	check := func(me candidate, h, r uint64) {
		got, sure := newYardstick(&me).before(^h, r)
		if !sure {
			return
		}
		clear++
		want, _ := lessProduct(negLog2(h), me.rate, me.log, r)
		if got != want {
			t.Fatalf("log %#x rate %#x against draw %#x rate %#x: before %v, want %v", me.log, me.rate, h, r, got, want)
		}
		if got {
			first++
		}
	}
	for range 300_000 {
		me := candidate{log: negLog2(^(d.next() >> d.below(64))), rate: rate()}
		r := rate()
		check(me, ^(d.next() >> d.below(64)), r)
		h := crossing(&me, r)
		for _, off := range []uint64{0, 1, 7, 100, 1 << 9, 1 << 10, 1 << 11, 1 << 14} {
			check(me, h+off, r)
			check(me, h-off, r)
		}
	}
	if clear < 1_000_000 || first < 300_000 {
		t.Errorf("only %d answers were clear, %d of them \"before\"", clear, first)
	}
}

func TestIntervalsOfWholeYardsticks(t *testing.T) {
	for n := uint64(1); n < 40; n++ {
		least := 1.0
		for _, step := range []uint64{8, 4, 2, 1} {
			if n >= step {
				least = -math.Expm1(-float64(step))
				break
			}
		}
		if got := float64(intervalAbove(n)) / (1 << 64); math.Abs(got-least) > 1e-14 {
			t.Errorf("for %d: %.17f, want %.17f", n, got, least)
		}
	}
}

// crossing is the smallest draw that comes before me at rate r.
func crossing(me *candidate, r uint64) uint64 {
	lo, hi := uint64(0), uint64(1<<64-1)
	for lo < hi {
		mid := lo + (hi-lo)/2
		if less, _ := lessProduct(negLog2(mid), me.rate, me.log, r); less {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}
