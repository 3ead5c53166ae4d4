package allocation

import (
	"bufio"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

//go:embed testdata/vectors.txt
var vectors string

var update = flag.Bool("update", false, "write testdata/vectors.txt anew, with the twin's results")

// TestVectors holds the package to the committed results of the twin. It needs no
// file, so that it can run as a test binary of another target (targets_test.go).
func TestVectors(t *testing.T) {
	if *update {
		vectors = writeVectors()
		if err := os.WriteFile("testdata/vectors.txt", []byte(vectors), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := vectorReader{t: t}
	lines := bufio.NewScanner(strings.NewReader(vectors))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		r.line++
		if f := strings.Fields(lines.Text()); len(f) > 0 && f[0] != "#" {
			r.read(f)
		}
	}
	if lines.Err() != nil || r.checked < 500 {
		t.Fatalf("%d vectors read, %v", r.checked, lines.Err())
	}
}

type vectorReader struct {
	t             *testing.T
	line, checked int
	members       []Member
	policy        Policy
	view          *View
}

func (r *vectorReader) read(f []string) {
	switch f[0] {
	case "log":
		r.expect(fmt.Sprintf("%016x", negLog2(number(f[1], 16))), f[2])
	case "solve":
		r.expect(floatText(calibrate(floats(f[2]), int(number(f[1], 10)))), f[3])
	case "cluster":
		r.members, r.view = nil, nil
	case "policy":
		r.policy = Policy{
			Algo: uint32(number(f[1], 10)), FillDays: number(f[2], 10), MirrorsCount: f[3] == "true",
			Replication: replication(f[4]), SoftSpread: len(f) > 5,
		}
	case "member":
		r.members = append(r.members, parseMember(f[1:]))
	case "mirrors":
		m := &r.members[number(f[1], 10)]
		for _, n := range list(f[2], ",") {
			m.Mirrors = append(m.Mirrors, r.members[number(n, 10)].ID)
		}
	case "digest":
		r.view = NewView(r.members, r.policy)
		r.expect(fmt.Sprintf("%x", r.view.Digest()), f[1])
	case "rates":
		q := query{class: int(number(f[2], 10)), tags: list(f[3], ",")}
		p := r.view.newPlan(&q, int(number(f[1], 10)))
		r.expect(rateText(r.view, p), f[4])
	case "item":
		it := r.parseItem(f[1:])
		r.expect(r.placementText(r.view.Allocate(it)), strings.Join(f[6:], " "))
	case "sum":
		r.expect(sum(f[1:4], func(m []Member, p Policy) func(Item) Placement { return NewView(m, p).Allocate }), f[4])
	default:
		r.t.Fatalf("testdata/vectors.txt:%d: unknown line %q", r.line, f[0])
	}
}

func (r *vectorReader) expect(got, want string) {
	r.t.Helper()
	r.checked++
	if got != want {
		r.t.Errorf("testdata/vectors.txt:%d: got\n%s\nwant\n%s", r.line, got, want)
	}
}

func number(s string, base int) uint64 {
	n, err := strconv.ParseUint(s, base, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func list(s, sep string) []string {
	if s == "-" {
		return nil
	}
	return strings.Split(s, sep)
}

func listText(in []string, sep string) string {
	if len(in) == 0 {
		return "-"
	}
	return strings.Join(in, sep)
}

func replication(s string) pinset.Replication {
	lo, hi, _ := strings.Cut(s, "..")
	least, _ := strconv.Atoi(lo)
	most, _ := strconv.Atoi(hi)
	return pinset.Replication{Min: least, Max: most}
}

func floats(s string) []float64 {
	var out []float64
	for _, bits := range list(s, ",") {
		out = append(out, math.Float64frombits(number(bits, 16)))
	}
	return out
}

func floatText(in []float64) string {
	var out []string
	for _, x := range in {
		out = append(out, fmt.Sprintf("%016x", math.Float64bits(x)))
	}
	return listText(out, ",")
}

func memberText(m Member) string {
	escape := strings.NewReplacer(" ", "_")
	return fmt.Sprintf("%x %d %d %d %s %s %v %s %d", string(m.ID), m.Cap, m.InCap, m.Phi,
		listText(m.Domains, "/"), escape.Replace(listText(m.Tags, ",")), m.Mirror, m.State, m.Incarnation)
}

func parseMember(f []string) Member {
	id, _ := hex.DecodeString(f[0])
	m := Member{
		ID: peer.ID(id), Cap: number(f[1], 10), InCap: number(f[2], 10), Phi: uint32(number(f[3], 10)),
		Domains: list(f[4], "/"), Tags: list(strings.ReplaceAll(f[5], "_", " "), ","), Mirror: f[6] == "true",
		Incarnation: number(f[8], 10),
	}
	for m.State = Active; m.State.String() != f[7]; {
		m.State++
	}
	return m
}

func itemText(it Item, members []Member) string {
	return fmt.Sprintf("%x %d..%d %s %s %d", []byte(it.Hash), it.Want.Min, it.Want.Max,
		listText(it.Tags, ","), places(it.Include, members), it.Size)
}

func (r *vectorReader) parseItem(f []string) Item {
	h, _ := hex.DecodeString(f[0])
	it := Item{Hash: h, Want: replication(f[1]), Tags: list(f[2], ","), Size: number(f[4], 10)}
	for _, n := range list(f[3], ",") {
		it.Include = append(it.Include, r.members[number(n, 10)].ID)
	}
	return it
}

func (r *vectorReader) placementText(p Placement) string { return placementText(p, r.members) }

// placementText names members by their place in the file.
func placementText(p Placement, members []Member) string {
	return fmt.Sprintf("holders %s binding %d spares %s mirrors %s short %d",
		places(p.Holders, members), p.Binding, places(p.Spares, members), places(p.Mirrors, members), p.Short)
}

func places(ids []peer.ID, members []Member) string {
	var out []string
	for _, id := range ids {
		at := slices.IndexFunc(members, func(m Member) bool { return m.ID == id })
		out = append(out, strconv.Itoa(at))
	}
	return listText(out, ",")
}

func rateText(v *View, p *plan) string {
	out := make([]string, len(v.members))
	for i, pos := range p.at {
		switch {
		case pos < 0:
			out[i] = "-"
		case int(pos) < p.sure:
			out[i] = fmt.Sprintf("c%x", p.rate[pos])
		default:
			out[i] = fmt.Sprintf("%x", p.rate[pos])
		}
	}
	return strings.Join(out, ",")
}

// TestSum says what many placements hash to, for comparison with other targets.
func TestSum(t *testing.T) {
	items := strconv.Itoa(amount(1_000, 3_000, 1_000_000))
	for _, kind := range []string{"plain", "motley"} {
		t.Logf("sum of %s: %s", kind, sum([]string{kind, "100", items}, func(m []Member, p Policy) func(Item) Placement { return NewView(m, p).Allocate }))
	}
}

// sum hashes the placements of many items in a cluster that is too large to write
// out. Its name is the kind of cluster, the members, and the items.
func sum(name []string, allocate func([]Member, Policy) func(Item) Placement) string {
	n, items := int(number(name[1], 10)), int(number(name[2], 10))
	d := dice(n)
	members := map[string]func(int) []Member{"plain": d.plain, "flat": d.flat, "motley": d.motley}[name[0]](n)
	place := allocate(members, Policy{})
	h := sha256.New()
	for range items {
		it := d.item(members)
		fmt.Fprintln(h, placementText(place(it), members))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// writeVectors is the whole file, from the twin.
func writeVectors() string {
	var b strings.Builder
	b.WriteString(`# Results of the naive twin (naive_test.go), for package allocation on every target.
# Written by: go test ./allocation -run TestVectors -update
#
# log     draw, its negative binary logarithm with 57 places (hex)
# solve   copies, shares of groups, their weights (IEEE 754 bits, hex): to the last bit
# policy  algo, days to fill, do mirrors count, default copies, "soft" for soft spread
# member  id (hex), MiB lent, MiB/day in, phi, domains, tags (_ for a space), mirror, state, incarnation
# mirrors a member and those it mirrors (members by their number from 0)
# digest  M
# rates   copies, size class, tags, rate of each member by id (c: certain, -: not eligible; hex)
# item    multihash (hex), copies, tags, named members, bytes, placement (members by their number from 0)
# sum     kind of cluster, members, items, SHA-256 over the lines of all placements
`)
	for _, h := range edges() {
		fmt.Fprintf(&b, "log %016x %016x\n", h, naiveLog(h))
	}
	for seed := range 40 {
		d := dice(seed)
		r := 2 + seed%4
		lambda := d.shares(r+1+d.below(12), r)
		fmt.Fprintf(&b, "solve %d %s %s\n", r, floatText(lambda), floatText(naiveCalibrate(lambda, r)))
	}
	for seed, n := range []int{1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 30, 60} {
		d := dice(1000 + seed)
		members := d.motley(n)
		if seed%3 == 1 {
			members = d.plain(n)
		}
		p := Policy{Algo: 1, FillDays: 30, MirrorsCount: seed%5 == 4, Replication: pinset.Replication{Min: 2, Max: 3}}
		writeCluster(&b, members, p, func() Item { return d.item(members) })
	}
	for _, name := range []string{"plain 150 120", "flat 120 120", "motley 200 120"} {
		f := strings.Fields(name)
		got := sum(f, func(m []Member, p Policy) func(Item) Placement {
			return func(it Item) Placement { return naiveAllocate(m, p, it) }
		})
		fmt.Fprintf(&b, "sum %s %s\n", name, got)
	}
	for seed, n := range []int{6, 10, 24} {
		d := dice(2000 + seed)
		members := d.motley(n)
		if seed == 1 {
			members = d.regions(n)
		}
		for range 1 + n/4 {
			m := &members[d.below(n)]
			m.Mirrors = append(m.Mirrors, members[d.below(n)].ID)
		}
		p := Policy{Algo: 1, FillDays: 30, SoftSpread: true, Replication: pinset.Replication{Min: 2, Max: 3}}
		writeCluster(&b, members, p, func() Item { return d.item(members) })
	}
	return b.String()
}

func writeCluster(b *strings.Builder, members []Member, p Policy, item func() Item) {
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(string(a.ID), string(b.ID)) })
	soft := map[bool]string{true: " soft"}[p.SoftSpread]
	fmt.Fprintf(b, "\ncluster %d\npolicy %d %d %v %d..%d%s\n", len(members), p.Algo, p.FillDays, p.MirrorsCount,
		p.Replication.Min, p.Replication.Max, soft)
	for _, m := range members {
		fmt.Fprintln(b, "member", memberText(m))
	}
	for i, m := range members {
		if len(m.Mirrors) > 0 {
			fmt.Fprintln(b, "mirrors", i, places(m.Mirrors, members))
		}
	}
	fmt.Fprintf(b, "digest %x\n", naiveDigest(members))
	for _, tags := range []string{"-", "eu"} {
		for r := 1; r <= 4; r++ {
			fmt.Fprintf(b, "rates %d 0 %s %s\n", r, tags, naiveRateText(members, r, tags))
		}
	}
	for range 24 {
		it := item()
		fmt.Fprintf(b, "item %s %s\n", itemText(it, members), placementText(naiveAllocate(members, p, it), members))
	}
}

func naiveRateText(members []Member, r int, tags string) string {
	var eligible []Member
	for _, m := range members {
		if m.State == Active && !m.Mirror && len(m.Mirrors) == 0 && naiveFits(m, Item{Tags: list(tags, ",")}, 30) {
			eligible = append(eligible, m)
		}
	}
	rows, _ := naivePlan(eligible, r, 30)
	out := make([]string, len(members))
	for i, m := range members {
		row, ok := rows[m.ID]
		switch {
		case !ok:
			out[i] = "-"
		case row.class == 0:
			out[i] = fmt.Sprintf("c%x", row.rate)
		default:
			out[i] = fmt.Sprintf("%x", row.rate)
		}
	}
	return strings.Join(out, ",")
}

// naiveDigest is M by its description in digest.go.
func naiveDigest(members []Member) [32]byte {
	wide := func(n uint64) string { return string(new(big.Int).SetUint64(n).FillBytes(make([]byte, 8))) }
	short := func(s string) string { return string([]byte{byte(len(s))}) + s } // lengths below 128 in tests
	var tuples []string
	for _, m := range members {
		tags := slices.Clone(m.Tags)
		slices.Sort(tags)
		t := short(string(m.ID)) + wide(m.Cap) + wide(m.InCap) + wide(uint64(m.Phi))[4:]
		for _, names := range [][]string{m.Domains, tags} {
			t += string([]byte{byte(len(names))})
			for _, s := range names {
				t += short(s)
			}
		}
		mirror := "\x00"
		if m.Mirror {
			mirror = "\x01"
		}
		if of := slices.Compact(slices.Sorted(slices.Values(m.Mirrors))); len(of) > 0 {
			mirror = string([]byte{mirror[0] + 2, byte(len(of))})
			for _, id := range of {
				mirror += short(string(id))
			}
		}
		tuples = append(tuples, t+mirror+string([]byte{byte(m.State)})+wide(m.Incarnation))
	}
	slices.Sort(tuples)
	all := "pinfold/members/1" + string([]byte{byte(len(tuples))})
	for _, t := range tuples {
		n := len(t)
		if n >= 128 {
			all += string([]byte{byte(n%128 + 128), byte(n / 128)}) + t
			continue
		}
		all += short(t)
	}
	return sha256.Sum256([]byte(all))
}
