package allocation

import (
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

func samePlaces(t *testing.T, what string, want, got Placement) {
	t.Helper()
	if diff := cmp.Diff(want, got, samePlacement); diff != "" {
		t.Fatalf("%s changes the placement:\n%s", what, diff)
	}
}

func TestOrderOfInputsDoesNotMatter(t *testing.T) {
	cases(t, 80, 4, func(d *dice, members []Member, p Policy, v *View, it Item) {
		again := shuffled(d, append(shuffled(d, members), members...)) // every record twice
		for i := range again {
			again[i].Tags = slices.Clone(again[i].Tags)
			slices.Reverse(again[i].Tags)
		}
		other := NewView(again, p)
		if v.Digest() != other.Digest() {
			t.Fatal("the digest depends on the order of records or tags")
		}
		turned := it
		turned.Tags, turned.Include = slices.Clone(it.Tags), slices.Clone(it.Include)
		slices.Reverse(turned.Tags)
		slices.Reverse(turned.Include)
		turned.Include = append(turned.Include, turned.Include...)
		samePlaces(t, "the order of inputs", v.Allocate(it), other.Allocate(turned))
	})
}

func TestOfTwoRecordsOfOneMemberTheSameOneCounts(t *testing.T) {
	var d dice
	a := d.plain(5)
	b := slices.Clone(a)
	b[2].Cap, b[3].Incarnation = 1, 7
	x, y := NewView(append(slices.Clone(a), b...), Policy{}), NewView(append(b, a...), Policy{})
	if x.Digest() != y.Digest() || len(x.Members()) != 5 {
		t.Errorf("%d members, digests %x and %x", len(x.Members()), x.Digest(), y.Digest())
	}
}

func TestViewIsItsOwn(t *testing.T) {
	var d dice
	members := d.motley(12)
	members[3].Tags = []string{"a", "b"}
	v := NewView(members, Policy{})
	it := Item{Hash: d.hash()}
	before := v.Allocate(it)
	got := v.Members()
	for i := range members {
		members[i].Cap, got[i].Cap = 1, 1
		for j := range got[i].Tags {
			got[i].Tags[j] = "changed"
		}
		for j := range members[i].Domains {
			members[i].Domains[j] = "changed"
		}
	}
	samePlaces(t, "writing to what went in or came out", before, v.Allocate(it))
	if v.Digest() != NewView(v.Members(), Policy{}).Digest() {
		t.Error("writing to what went in or came out changes the members")
	}
}

func TestEveryFieldOfARecordIsInTheDigest(t *testing.T) {
	base := Member{ID: "id", Cap: 5, InCap: 6, Phi: 7, Domains: []string{"a", "b"}, Tags: []string{"x", "y"}}
	seen := map[[32]byte]string{NewView(nil, Policy{}).Digest(): "nothing"}
	for name, edit := range map[string]func(*Member){
		"base": func(*Member) {}, "id": func(m *Member) { m.ID = "ie" }, "cap": func(m *Member) { m.Cap++ },
		"inCap": func(m *Member) { m.InCap++ }, "phi": func(m *Member) { m.Phi++ },
		"domain": func(m *Member) { m.Domains = []string{"a", "c"} }, "order of domains": func(m *Member) { m.Domains = []string{"b", "a"} },
		"one domain": func(m *Member) { m.Domains = []string{"ab"} }, "tag": func(m *Member) { m.Tags = []string{"x"} },
		"joined tags": func(m *Member) { m.Tags = []string{"xy"} }, "moved": func(m *Member) { m.Domains, m.Tags = []string{"a", "b", "x"}, []string{"y"} },
		"mirror": func(m *Member) { m.Mirror = true }, "draining": func(m *Member) { m.State = Draining },
		"mirror of one": func(m *Member) { m.Mirrors = []peer.ID{"a"} }, "mirror of two": func(m *Member) { m.Mirrors = []peer.ID{"b", "a"} },
		"mirror of both": func(m *Member) { m.Mirror, m.Mirrors = true, []peer.ID{"a"} },
		"left":           func(m *Member) { m.State = Left }, "incarnation": func(m *Member) { m.Incarnation++ },
	} {
		m := base
		edit(&m)
		d := NewView([]Member{m}, Policy{}).Digest()
		if other, dup := seen[d]; dup {
			t.Errorf("%q and %q have one digest", name, other)
		}
		seen[d] = name
		if d != naiveDigest([]Member{m}) {
			t.Errorf("%s: the digest is not as described", name)
		}
	}
}

func TestHoldersAreDistinctEligibleAndAsManyAsThereCanBe(t *testing.T) {
	cases(t, 200, 6, func(d *dice, members []Member, p Policy, v *View, it Item) {
		q := v.query(&it)
		eligible := v.eligible(&q)
		pl := v.Allocate(it)
		all := append(append(slices.Clone(pl.Holders), pl.Spares...), pl.Mirrors...)
		slices.Sort(all)
		if len(slices.Compact(all)) != len(pl.Holders)+len(pl.Spares)+len(pl.Mirrors) {
			t.Fatalf("somebody is named twice: %+v", pl)
		}
		named := 0
		for _, id := range pl.Holders {
			i := v.index[id]
			if slices.Contains(it.Include, id) {
				named++
				if v.members[i].State == Left {
					t.Fatal("a member that left holds an item")
				}
			} else if !slices.Contains(eligible, i) {
				t.Fatalf("%+v is not eligible for %+v", v.members[i], it)
			}
		}
		others := 0
		for _, i := range eligible {
			if !slices.Contains(it.Include, v.members[i].ID) {
				others++
			}
		}
		want := named + others
		if !q.every {
			want = max(named, min(q.max, want))
		}
		if len(pl.Holders) != want {
			t.Fatalf("%d holders, want %d: %+v", len(pl.Holders), want, it)
		}
		if (pl.Short > 0) != (pl.Reason != "") {
			t.Fatalf("short by %d, reason %q", pl.Short, pl.Reason)
		}
		if ranked := v.Ranked(it); len(ranked) != want && len(ranked) < len(pl.Holders)+len(pl.Spares) ||
			!slices.Equal(ranked[:len(pl.Holders)+len(pl.Spares)], append(slices.Clone(pl.Holders), pl.Spares...)) {
			t.Fatalf("Ranked %v does not begin with %v %v", ranked, pl.Holders, pl.Spares)
		}
	})
}

func TestNoTwoCopiesInOneSiteWhereThereAreEnough(t *testing.T) {
	for seed := range 100 {
		d := dice(seed)
		members := d.plain(8 + d.below(40))
		for i := range members {
			members[i].Domains = []string{members[i].Domains[1]}
			members[i].Cap = 100_000 + d.next()%50_000 // no site so large that the rule would cost half
		}
		v := NewView(members, Policy{})
		sites := map[string]bool{}
		for _, m := range members {
			sites[m.Domains[0]] = true
		}
		for r := 1; r <= min(4, len(sites)); r++ {
			if _, level := v.strictGroups(v.eligible(&query{}), r); level < 0 {
				continue // the rule would cost more than half of the capacity
			}
			for range 20 {
				used := map[string]bool{}
				for _, id := range v.Allocate(Item{Hash: d.hash(), Want: pinset.Replication{Min: r, Max: r}}).Holders {
					site := v.members[v.index[id]].Domains[0]
					if used[site] {
						t.Fatalf("seed %d: two of %d copies in %s", seed, r, site)
					}
					used[site] = true
				}
			}
		}
	}
}

func TestTheStrictRuleYieldsWhereItCostsTooMuch(t *testing.T) {
	var d dice
	members := d.flat(6) // two copies of 300 GiB fit on single members, of 200 GiB in distinct regions
	for i := range members {
		members[i].Cap = 102_400
		members[i].Domains = []string{"large"}
	}
	members[0].Domains, members[1].Domains = []string{"small"}, []string{"small"}
	for share, strict := range map[uint64]bool{0: true, 50: true, 66: true, 67: false, 100: false} {
		v := NewView(members, Policy{StrictShare: share})
		if _, level := v.strictGroups(v.eligible(&query{}), 2); (level == 0) != strict {
			t.Errorf("share %d %%: copies are apart at level %d, strict is %v", share, level, strict)
		}
		want := uint64(307_200)
		if strict {
			want = 204_800
		}
		if got := v.Usable(2); got != want {
			t.Errorf("share %d %%: %d MiB usable, want %d", share, got, want)
		}
	}
}

func TestLeavingAndComingBackIsNoChange(t *testing.T) {
	cases(t, 60, 4, func(d *dice, members []Member, p Policy, v *View, it Item) {
		it.Include = nil
		i := d.below(len(members))
		gone := slices.Clone(members)
		gone[i].State = Left
		without := NewView(gone, p)
		removed := NewView(slices.Delete(slices.Clone(members), i, i+1), p)
		samePlaces(t, "a record that says left, against none,", removed.Allocate(it), without.Allocate(it))
		back := slices.Clone(gone)
		back[i] = members[i]
		back[i].Incarnation++
		samePlaces(t, "leaving and coming back", v.Allocate(it), NewView(back, p).Allocate(it))
		if without.Holds(members[i].ID, it) {
			t.Fatal("a member that left holds an item")
		}
	})
}

func TestDrainingAndMirrorsAreNotChosen(t *testing.T) {
	var d dice
	members := d.flat(10)
	members[0].State, members[1].Mirror, members[2].Phi = Draining, true, 0
	v := NewView(members, Policy{})
	for range 300 {
		it := Item{Hash: d.hash(), Want: pinset.Replication{Min: 2, Max: 5}}
		pl := v.Allocate(it)
		for _, m := range members[:3] {
			if slices.Contains(pl.Holders, m.ID) || slices.Contains(pl.Spares, m.ID) {
				t.Fatalf("%+v was chosen", m)
			}
		}
		if !slices.Equal(pl.Mirrors, []peer.ID{members[1].ID}) || !v.Holds(members[1].ID, it) {
			t.Fatalf("mirrors %v", pl.Mirrors)
		}
		it.Include = []peer.ID{members[0].ID, members[1].ID}
		if pl = v.Allocate(it); len(pl.Holders) != 5 || !slices.Contains(pl.Holders, members[0].ID) || len(pl.Mirrors) != 0 {
			t.Fatalf("a draining member and a mirror that were named: %+v", pl)
		}
	}
}

func TestMirrorsCountWhereThePolicySaysSo(t *testing.T) {
	var d dice
	members := d.flat(6)
	members[0].Mirror = true
	it := Item{Hash: d.hash()}
	on, off := NewView(members, Policy{MirrorsCount: true}).Allocate(it), NewView(members, Policy{}).Allocate(it)
	if len(on.Holders) != 2 || on.Binding != 1 || len(off.Holders) != 3 || off.Binding != 2 {
		t.Errorf("with counting %+v, without %+v", on, off)
	}
}

// Plain rendezvous on fixed rates: who is not chosen does not matter, and who
// grows only gains.
func TestOnFixedRatesOnlyTheChangedMemberMoves(t *testing.T) {
	for seed := range 200 {
		d := dice(seed)
		n, r := 4+d.below(30), 1+d.below(3)
		v := NewView(d.flat(n), Policy{})
		p := v.newPlan(&query{}, r)
		p.screen.open = true
		pos := p.sure + d.below(n-p.sure)
		smaller, larger := *p, *p
		smaller.member = slices.Delete(slices.Clone(p.member), pos, pos+1)
		smaller.group = slices.Delete(slices.Clone(p.group), pos, pos+1)
		smaller.key = slices.Delete(slices.Clone(p.key), pos, pos+1)
		smaller.rate = slices.Delete(slices.Clone(p.rate), pos, pos+1)
		larger.rate = slices.Clone(p.rate)
		larger.rate[pos] *= 3
		for range 50 {
			item := d.next()
			was := p.order(item, r)
			held := slices.Contains(was, p.member[pos])
			if got := smaller.order(item, r); !held && !slices.Equal(got, was) {
				t.Fatalf("seed %d: without a member that was not chosen: %v, want %v", seed, got, was)
			}
			for _, m := range larger.order(item, r) {
				if m != p.member[pos] && !slices.Contains(was, m) {
					t.Fatalf("seed %d: a grown member moved an item to another", seed)
				}
			}
		}
	}
}

func TestWhatMembersHoldAddsUp(t *testing.T) {
	cases(t, 40, 10, func(d *dice, members []Member, p Policy, v *View, it Item) {
		pl, held := v.Allocate(it), 0
		for _, m := range v.Members() {
			if v.Holds(m.ID, it) {
				held++
			}
		}
		if want := len(pl.Holders) + len(pl.Mirrors); held != want {
			t.Fatalf("%d members hold it, Allocate names %d", held, want)
		}
	})
}

func TestConcurrentUseGivesTheSameAnswers(t *testing.T) {
	d := dice(3)
	members := d.motley(40)
	items := make([]Item, 400)
	var want []Placement
	for i := range items {
		items[i] = d.item(members)
		want = append(want, NewView(members, Policy{}).Allocate(items[i]))
	}
	v := NewView(members, Policy{})
	v.plans.limit = 4 // plans come and go
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range items {
				at := (i*7 + w*100) % len(items)
				if diff := cmp.Diff(want[at], v.Allocate(items[at]), samePlacement); diff != "" {
					t.Errorf("item %d: %s", at, diff)
				}
			}
		})
	}
	wg.Wait()
	if n := len(v.plans.now) + len(v.plans.old); n > 8 {
		t.Errorf("%d plans are kept, at most 8 may be", n)
	}
}

func TestTiesGoToTheSmallerID(t *testing.T) {
	a, b := candidate{log: 6, rate: 4, member: 1}, candidate{log: 3, rate: 2, member: 2}
	if !before(&a, &b) || before(&b, &a) {
		t.Error("of two members that draw the same, the greater id comes first")
	}
	b.sure = true
	if before(&a, &b) || !before(&b, &a) {
		t.Error("a certain group does not come first")
	}
}

func TestWishesThatNoPinCanHaveAreRead(t *testing.T) {
	var d dice
	v := NewView(d.flat(6), Policy{})
	for want, n := range map[pinset.Replication]int{{Min: 3, Max: 1}: 3, {Min: -7, Max: 2}: 2, {Min: -1, Max: 2}: 6, {Min: 0, Max: -3}: 0} {
		if pl := v.Allocate(Item{Hash: d.hash(), Want: want}); len(pl.Holders) != n {
			t.Errorf("%+v: %d holders, want %d", want, len(pl.Holders), n)
		}
	}
}

func TestUnknownAlgorithmPlacesNothing(t *testing.T) {
	var d dice
	members := d.flat(5)
	v := NewView(members, Policy{Algo: 2})
	it := Item{Hash: d.hash()}
	pl := v.Allocate(it)
	if len(pl.Holders) != 0 || pl.Short != 2 || !strings.Contains(pl.Reason, "update pinfold") || v.Holds(members[0].ID, it) {
		t.Errorf("%+v", pl)
	}
}

func TestShortageIsExplained(t *testing.T) {
	var d dice
	members := d.flat(6)
	members[0].State, members[1].State, members[2].Mirror = Left, Draining, true
	members[3].Cap, members[4].Phi, members[5].Tags = 4096, 0, []string{"eu"}
	got := NewView(members, Policy{}).Allocate(Item{Hash: d.hash(), Size: 1 << 30, Tags: []string{"eu"}})
	const want = `1 of 5 members can take it; 1 draining; 1 mirrors, which come on top; 1 lending nothing; 1 without the tags ["eu"]`
	if got.Reason != want || got.Short != 1 || len(got.Holders) != 1 {
		t.Errorf("got %d holders, short %d, %q\nwant %q", len(got.Holders), got.Short, got.Reason, want)
	}
	members[3].Tags = []string{"eu"}
	got = NewView(members, Policy{}).Allocate(Item{Hash: d.hash(), Size: 1 << 30, Tags: []string{"eu"}})
	if !strings.Contains(got.Reason, "1 lending less than 8 GiB") {
		t.Errorf("got %q", got.Reason)
	}
}

// Extreme records may be silly; they may not hang a planner or break a sum.
func TestExtremeRecordsAreSurvived(t *testing.T) {
	var d dice
	for _, caps := range [][]uint64{
		{1 << 63, 1<<64 - 1, 1}, {1 << 43, 1, 1 << 42, 1 << 41, 1 << 40}, {1 << 43, 1, 1 << 43, 1 << 43, 1 << 43},
		{1 << 44, 1 << 44, 1, 1, 1}, {1, 1, 1, 1 << 43}, {0, 0, 0}, {1 << 44, 1 << 43, 3, 2, 1}, {1}, {},
	} {
		members := d.flat(len(caps))
		for i, c := range caps {
			members[i].Cap = c
			if i < 2 && len(caps) > 4 {
				members[i].Domains = []string{"one site"}
			}
		}
		v := NewView(members, Policy{FillDays: 1<<64 - 1})
		for r := 1; r <= 6; r++ {
			it := Item{Hash: d.hash(), Want: pinset.Replication{Min: r, Max: r}, Size: 1<<64 - 1}
			v.Allocate(it)
			it.Size = 0
			if p := v.newPlan(&query{}, r); slices.Contains(p.rate, 0) {
				t.Errorf("%d, %d copies: rates %d", caps, r, p.rate)
			}
			pl := v.Allocate(it)
			samePlaces(t, "not being the twin", naiveAllocate(v.Members(), Policy{FillDays: 1 << 40}, it), pl)
			want := 0
			for _, c := range caps {
				if c > 0 {
					want++
				}
			}
			if len(pl.Holders) != min(r, want) {
				t.Errorf("%d: %d copies asked, %d holders", caps, r, len(pl.Holders))
			}
		}
	}
}

// Clock, randomness, network, disk and measured space cannot be inputs of a
// package that imports nothing that could give them.
func TestImportsAreOfAPureFunction(t *testing.T) {
	allowed := []string{
		"bytes", "cmp", "crypto/sha256", "encoding/binary", "fmt", "iter", "math/bits", "slices", "strconv", "strings", "sync",
		"github.com/libp2p/go-libp2p/core/peer", "github.com/multiformats/go-multihash", "github.com/pinfold/pinfold/pinset",
	}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Skip("no source here: ", err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range tree.Imports {
			if path := strings.Trim(imp.Path.Value, `"`); !slices.Contains(allowed, path) {
				t.Errorf("%s imports %s: allocation is a pure function of records and item", f.Name(), path)
			}
		}
	}
}
