package allocation

import (
	"crypto/sha256"
	"math"
	"math/big"
	"slices"
	"sort"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// This file is the twin: the same function, written from its description a second
// time, as slowly and plainly as it reads. It shares with the package the types of
// inputs and results, and nothing else. It writes the vectors.

// naiveLog is -log2((h+1)/2^64) with 57 binary places, by squaring big integers.
func naiveLog(h uint64) *big.Int {
	v := new(big.Int).Add(new(big.Int).SetUint64(h), big.NewInt(1))
	if v.BitLen() == 65 {
		return new(big.Int)
	}
	whole := v.BitLen() - 1
	v.Lsh(v, uint(64-v.BitLen()))
	bits := new(big.Int)
	for range 57 {
		v.Mul(v, v) // 127 or 128 bits
		bits.Lsh(bits, 1)
		if v.BitLen() == 128 {
			bits.Add(bits, big.NewInt(1))
			v.Rsh(v, 64)
		} else {
			v.Rsh(v, 63)
		}
	}
	log2 := new(big.Int).Lsh(big.NewInt(int64(whole)), 57)
	log2.Add(log2, bits)
	return new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(64), 57), log2)
}

func naiveKey(prefix, b string) *big.Int {
	sum := sha256.Sum256([]byte(prefix + b))
	return new(big.Int).SetBytes(sum[:8])
}

// naiveDraw mixes modulo 2^64.
func naiveDraw(ik, mk *big.Int) uint64 {
	mod := new(big.Int).Lsh(big.NewInt(1), 64)
	x := new(big.Int).Xor(ik, mk)
	for _, c := range []string{"ff51afd7ed558ccd", "c4ceb9fe1a85ec53"} {
		f, _ := new(big.Int).SetString(c, 16)
		x.Mul(x, f).Mod(x, mod)
		x.Xor(x, new(big.Int).Rsh(x, 32))
	}
	return x.Uint64()
}

func naiveShare(m Member, days uint64) *big.Int {
	e := new(big.Int).SetUint64(m.Cap)
	if limit := big.NewInt(1 << 44); e.Cmp(limit) > 0 {
		e = limit
	}
	if m.InCap > 0 {
		in := new(big.Int).Mul(new(big.Int).SetUint64(m.InCap), new(big.Int).SetUint64(days))
		if in.Cmp(e) < 0 {
			e = in
		}
	}
	phi := int64(m.Phi)
	if phi > 65536 {
		phi = 65536
	}
	return e.Rsh(e.Mul(e, big.NewInt(phi)), 16)
}

// naiveRow is what the twin's plan knows of a member.
type naiveRow struct {
	m     Member
	class int
	rate  *big.Int
	group string
}

type naiveGroup struct {
	id      string
	members []Member
	share   *big.Int
	rawCap  *big.Int
}

func naiveGroups(members []Member, level int, days uint64) []naiveGroup {
	byID := map[string]*naiveGroup{}
	for _, m := range members {
		id := "m" + string(m.ID)
		if level >= 0 && level < len(m.Domains) && m.Domains[level] != "" {
			id = "d"
			for i := 0; i <= level; i++ {
				id += string(rune(len(m.Domains[i]))) + m.Domains[i] // lengths below 128 in tests
			}
		}
		g := byID[id]
		if g == nil {
			g = &naiveGroup{id: id, share: new(big.Int), rawCap: new(big.Int)}
			byID[id] = g
		}
		g.members = append(g.members, m)
		g.share.Add(g.share, naiveShare(m, days))
		g.rawCap.Add(g.rawCap, new(big.Int).SetUint64(min(m.Cap, 1<<44)))
	}
	var out []naiveGroup
	for _, g := range byID {
		out = append(out, *g)
	}
	sort.Slice(out, func(i, j int) bool {
		if c := out[i].share.Cmp(out[j].share); c != 0 {
			return c > 0
		}
		return out[i].id < out[j].id
	})
	return out
}

// naiveUsable bisects for the largest D with sum min(cap, D) >= r*D.
func naiveUsable(groups []naiveGroup, r int) *big.Int {
	if r < 1 {
		return new(big.Int)
	}
	lo, hi := new(big.Int), new(big.Int).Lsh(big.NewInt(1), 70)
	one := big.NewInt(1)
	for new(big.Int).Sub(hi, lo).Cmp(one) > 0 {
		d := new(big.Int).Add(lo, hi)
		d.Rsh(d, 1)
		sum := new(big.Int)
		for _, g := range groups {
			if g.rawCap.Cmp(d) < 0 {
				sum.Add(sum, g.rawCap)
			} else {
				sum.Add(sum, d)
			}
		}
		if sum.Cmp(new(big.Int).Mul(d, big.NewInt(int64(r)))) >= 0 {
			lo = d
		} else {
			hi = d
		}
	}
	return lo
}

func naiveFloat(v *big.Int) float64 { return float64(v.Uint64()) }

// naivePlan does section "plan" for already filtered members. It returns the level
// at which copies are apart as well.
func naivePlan(eligible []Member, r int, days uint64) (map[peer.ID]naiveRow, int) {
	single := naiveGroups(eligible, -1, days)
	groups, strict := single, -1
	for level := range 8 {
		deepest := 0
		for _, m := range eligible {
			deepest = max(deepest, len(m.Domains))
		}
		if level >= deepest {
			break
		}
		g := naiveGroups(eligible, level, days)
		u := naiveUsable(g, r)
		if len(g) >= r && u.Lsh(u, 1).Cmp(naiveUsable(single, r)) >= 0 {
			groups, strict = g, level
			break
		}
	}
	rows := map[peer.ID]naiveRow{}
	total := new(big.Int)
	for _, g := range groups {
		total.Add(total, g.share)
	}
	for len(groups) > 0 && r > 0 && new(big.Int).Mul(big.NewInt(int64(r)), groups[0].share).Cmp(total) >= 0 {
		for _, m := range groups[0].members {
			rows[m.ID] = naiveRow{m, 0, naiveShare(m, days), groups[0].id}
		}
		total.Sub(total, groups[0].share)
		groups, r = groups[1:], r-1
	}
	var lambda []float64
	for _, g := range groups {
		top := float64(r) * naiveFloat(g.share)
		lambda = append(lambda, top/naiveFloat(total))
	}
	for i, w := range naiveCalibrate(lambda, r) {
		g := groups[i]
		rate, _ := new(big.Float).SetMantExp(big.NewFloat(w), 40).Int(nil)
		if rate.Sign() == 0 {
			rate.SetInt64(1)
		}
		for _, m := range g.members {
			own := new(big.Int).Mul(rate, naiveShare(m, days))
			own.Quo(own, g.share)
			if own.Sign() == 0 {
				own.SetInt64(1)
			}
			rows[m.ID] = naiveRow{m, 1, own, g.id}
		}
	}
	return rows, strict
}

func naiveNL(x float64) float64 {
	h := uint64(math.MaxUint64)
	if x < 1 {
		h = uint64(x * 18446744073709551616.0)
	}
	return float64(naiveLog(h).Uint64()) / 144115188075855872.0
}

func naiveCalibrate(lambda []float64, r int) []float64 {
	var w []float64
	for _, l := range lambda {
		if r == 1 {
			w = append(w, l)
		} else {
			w = append(w, l/(1-l/2))
		}
	}
	for round := 0; r > 1 && round < 8; round++ {
		pi := naiveInclusion(w, r)
		var sum float64
		for i := range w {
			want, have := naiveNL(1-lambda[i]), naiveNL(1-math.Min(pi[i], 0.999999))
			f := 1.0
			if have != 0 || want != 0 {
				f = math.Max(0.25, math.Min(4, want/have))
			}
			w[i] = float64(w[i] * f)
			sum += w[i]
		}
		k := float64(r) / sum
		for i := range w {
			w[i] = float64(w[i] * k)
		}
	}
	return w
}

// naivePoisson is the distribution of arrivals of everyone but i, cut at r.
func naivePoisson(s []float64, skip, r int) []float64 {
	dp := make([]float64, r)
	dp[0] = 1
	for i := range s {
		if i == skip {
			continue
		}
		next := make([]float64, r)
		for j := range dp {
			next[j] = float64(dp[j] * s[i])
			if j > 0 {
				next[j] += float64(dp[j-1] * (1 - s[i]))
			}
		}
		dp = next
	}
	return dp
}

func naiveInclusion(w []float64, r int) []float64 {
	n := len(w)
	pi, lastQ, lastT := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range lastT {
		lastT[i] = 1
	}
	var history [][]float64
	for k := 0; k < 1024; k++ {
		s := make([]float64, n)
		for i := range s {
			if k >= 8 {
				s[i] = float64(history[k-8][i] * history[k-8][i])
				continue
			}
			root := []float64{1, 0x1.172b83c7d517bp0, 0x1.306fe0a31b715p0, 0x1.4bfdad5362a27p0, 0x1.6a09e667f3bcdp0, 0x1.8ace5422aa0dbp0, 0x1.ae89f995ad3adp0, 0x1.d5818dcfba487p0}
			t := float64(0x1p-20 / slices.Max(w) * root[k])
			x := float64(w[i] * t)
			xx := float64(x * x)
			s[i] = 1 - x + float64(xx/2) - float64(float64(xx*x)/6)
		}
		history = append(history, s)
		all := naivePoisson(s, -1, r)
		most := 0.0
		for i := range s {
			q, t := 1-s[i], 0.0
			if s[i] >= 0.5 {
				d := 0.0
				for j := range all {
					d = float64((all[j] - float64(d*q)) / s[i])
					t += d
				}
			} else {
				for _, p := range naivePoisson(s, i, r) {
					t += p
				}
			}
			pi[i] += float64(float64((q-lastQ[i])*(t+lastT[i])) / 2)
			lastQ[i], lastT[i] = q, t
			most = math.Max(most, t)
		}
		if most < 1e-7 {
			break
		}
	}
	return pi
}

// naiveBefore orders by class, then log/rate, then id.
func naiveBefore(a, b naiveRow, logs map[peer.ID]*big.Int) bool {
	if a.class != b.class {
		return a.class < b.class
	}
	x := new(big.Int).Mul(logs[a.m.ID], b.rate)
	if c := x.Cmp(new(big.Int).Mul(logs[b.m.ID], a.rate)); c != 0 {
		return c < 0
	}
	return a.m.ID < b.m.ID
}

// naiveSpread is the soft rule on a strict order whose first are of distinct
// groups: of twice the copies, those in new coarse domains come first.
func naiveSpread(rows map[peer.ID]naiveRow, order []peer.ID, r int) []peer.ID {
	groups := map[string]bool{}
	for _, row := range rows {
		groups[row.group] = true
	}
	var out, rest []peer.ID
	seen := map[string]bool{}
	for at, id := range order {
		coarse := "m" + string(id)
		if d := rows[id].m.Domains; len(d) > 0 && d[0] != "" {
			coarse = "d" + d[0]
		}
		if at < min(2*r, len(groups)) && len(out) < r && !seen[coarse] {
			seen[coarse] = true
			out = append(out, id)
		} else {
			rest = append(rest, id)
		}
	}
	return append(out, rest...)
}

func naiveOrder(rows map[peer.ID]naiveRow, it Item) []peer.ID {
	ik := naiveKey("pinfold/item/1", string(it.Hash))
	logs := map[peer.ID]*big.Int{}
	var all []naiveRow
	for id, r := range rows {
		logs[id] = naiveLog(naiveDraw(ik, naiveKey("pinfold/member/1", string(id))))
		all = append(all, r)
	}
	sort.Slice(all, func(i, j int) bool { return naiveBefore(all[i], all[j], logs) })
	var best, others []peer.ID
	seen := map[string]bool{}
	for _, r := range all {
		if seen[r.group] {
			others = append(others, r.m.ID)
		} else {
			best = append(best, r.m.ID)
		}
		seen[r.group] = true
	}
	return append(best, others...)
}

// naiveFits says whether a record, whatever its state, takes the item.
func naiveFits(m Member, it Item, days uint64) bool {
	if naiveShare(m, days).Sign() == 0 {
		return false
	}
	if gib := it.Size >> 30; gib > 0 {
		class := 0
		for ; gib > 0; gib >>= 1 {
			class++
		}
		if m.Cap < uint64(4)<<class*1024 {
			return false
		}
	}
	for _, t := range it.Tags {
		if !slices.Contains(m.Tags, t) {
			return false
		}
	}
	return true
}

// naiveAllocate is the whole function. Spares is cut as Placement says.
func naiveAllocate(members []Member, p Policy, it Item) Placement {
	days, want := p.FillDays, it.Want
	if days == 0 {
		days = 30
	}
	if (want == pinset.Replication{}) {
		want = p.Replication
	}
	if (want == pinset.Replication{}) {
		want = pinset.Replication{Min: 2, Max: 3}
	}
	every := want.Min == -1
	var inc, mirrors, rest, apart []Member
	named := map[peer.ID]bool{}
	for _, m := range members {
		if slices.Contains(it.Include, m.ID) && m.State != Left {
			named[m.ID] = true
			inc = append(inc, m)
		}
	}
	for _, m := range members {
		switch {
		case named[m.ID] || m.State != Active || !naiveFits(m, it, days):
		case m.Mirror:
			mirrors = append(mirrors, m)
		case len(m.Mirrors) > 0: // if anything, an extra copy
		default:
			rest = append(rest, m)
			if !slices.ContainsFunc(inc, func(n Member) bool { return naiveSharesFinest(n, m) }) {
				apart = append(apart, m)
			}
		}
	}
	if p.MirrorsCount && !every {
		want.Max = max(0, want.Max-len(mirrors))
		want.Min = max(0, want.Min-len(mirrors))
	}
	copies := max(0, want.Max-len(inc))
	if every {
		copies = len(rest)
	} else if len(apart) >= max(1, copies) {
		rest = apart
	}
	rows, level := naivePlan(rest, max(1, copies), days)
	order := naiveOrder(rows, it)
	if p.SoftSpread && level > 0 {
		order = naiveSpread(rows, order, max(1, copies))
	}
	out := Placement{Holders: naiveIDs(inc), Mirrors: naiveIDs(mirrors)}
	cut := min(copies, len(order))
	out.Holders = append(out.Holders, order[:cut]...)
	out.Spares = order[cut:min(len(order), cut+max(1, copies))]
	if every {
		want.Min = max(1, len(out.Holders))
	}
	out.Binding = min(want.Min, len(out.Holders))
	out.Short = max(0, want.Min-len(out.Holders))
	have := append(slices.Clone(out.Holders), out.Mirrors...)
	var followers []Member
	for range members { // one more link of a chain each time
		for _, m := range members {
			if m.State == Active && !m.Mirror && naiveFits(m, it, days) && !slices.Contains(have, m.ID) &&
				slices.ContainsFunc(m.Mirrors, func(id peer.ID) bool { return slices.Contains(have, id) }) {
				have = append(have, m.ID)
				followers = append(followers, m)
			}
		}
	}
	out.Mirrors = naiveIDs(append(mirrors, followers...))
	return out
}

func naiveSharesFinest(named, m Member) bool {
	depth := len(named.Domains)
	return depth > 0 && len(m.Domains) >= depth &&
		strings.Join(named.Domains, "/") == strings.Join(m.Domains[:depth], "/")
}

func naiveIDs(members []Member) []peer.ID {
	var out []peer.ID
	for _, m := range members {
		out = append(out, m.ID)
	}
	slices.Sort(out)
	return out
}
