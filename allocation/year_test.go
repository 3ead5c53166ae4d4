package allocation

import (
	"encoding/binary"
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// A year of a cluster, with the real functions: members come with slow start, leave
// by draining, lend more or less, are away for minutes to days, and one day the
// network is cut 60 to 40. They fetch what Allocate gives them as far as it fits,
// keep what it takes away until the holders have it and a day more, and answer
// their loads by Feedback, twice a week.

const (
	yearMin, yearMax = 2, 3
	day              = 24 * 60 // in minutes
	grace            = 3 * day // then who is away is declared gone
)

// copyOf is a copy of an item at a member.
type copyOf struct{ item, member int32 }

// kept is a copy on a member's disk.
type kept struct {
	member int32
	gone   int32 // the minute in which it ceased to be assigned, 0: it is
	stand  bool  // an interim copy
}

// absence is from when to when a member cannot be reached, and whether it was
// declared gone.
type absence struct {
	from, until int
	evicted     bool
}

type year struct {
	*dice
	octaves int      // of what members lend, from 32 GB
	now     int      // minutes
	members []Member // in the order of joining
	starts  []bool   // in slow start
	absent  []absence
	stored  []uint64
	at      map[peer.ID]int32
	view    *View

	bytes []uint64 // of items
	name  []uint64
	is    [][yearMax]int32 // assigned members, -1: none
	disk  [][]kept         // copies, by item
	due   []copyOf         // assigned and not there yet
	gone  []copyOf         // on disks, no longer assigned; some are assigned again
	stand []copyOf         // interim copies; some are gone
	seat  []int32          // members' places in the view
	whose []int32          // the other way round

	tally yearTally
}

type yearTally struct {
	changes, joins, leaves, resizes, outages, evictions int
	moved, least                                        float64 // bytes
	interim, refused, thin                              int     // copies; the most at once; items, the most at once
	splitMoves                                          int     // copies
}

func newYear(d *dice, members, items, octaves int, fill float64) *year {
	y := &year{dice: d, octaves: octaves, at: map[peer.ID]int32{}}
	for _, m := range d.sites(members) {
		y.join(m)
	}
	y.look(NewView(y.members, Policy{}))
	for _, size := range d.sizes(items, fill*float64(y.view.Usable(yearMax))*(1<<20)) {
		y.bytes, y.name = append(y.bytes, size), append(y.name, d.next())
		y.is, y.disk = append(y.is, [yearMax]int32{-1, -1, -1}), append(y.disk, nil)
	}
	y.assignAll(y.allocate())
	for range 6 {
		y.fetch()
		y.records()
		y.place()
		y.now += 2 * day
		y.release()
	}
	y.tally = yearTally{}
	return y
}

func (y *year) join(m Member) {
	m.Cap = 32_000_000_000 >> 20 << y.below(y.octaves)
	m.Cap += y.next() % m.Cap
	y.at[m.ID] = int32(len(y.members))
	y.members, y.starts = append(y.members, m), append(y.starts, m.Phi < FullPhi)
	y.absent, y.stored = append(y.absent, absence{}), append(y.stored, 0)
}

func (y *year) away(m int32) bool {
	a := y.absent[m]
	return a.from <= y.now && y.now < a.until || a.evicted
}

func (y *year) itemAt(i int32) Item {
	h := append([]byte{0x12, 0x20}, make([]byte, 32)...)
	binary.BigEndian.PutUint64(h[2:], y.name[i])
	return Item{Hash: h, Want: pinset.Replication{Min: yearMin, Max: yearMax}, Size: y.bytes[i]}
}

func (y *year) look(v *View) {
	y.view, y.whose, y.seat = v, y.whose[:0], make([]int32, len(y.members))
	for i := range v.members {
		m := y.at[v.members[i].ID]
		y.whose, y.seat[m] = append(y.whose, m), int32(i)
	}
}

// holders are those of Allocate, whose order it calls where they may have changed.
func (y *year) holders(i int32) [yearMax]int32 {
	it := y.itemAt(i)
	q := y.view.query(&it)
	p, item := y.view.plan(&q), key(itemDomain, it.Hash)
	was := y.is[i]
	var pos [yearMax]int32
	for n, m := range was {
		if pos[n] = -1; m >= 0 {
			pos[n] = p.at[y.seat[m]]
		}
	}
	if p.keeps(item, pos[:]) {
		return was
	}
	out := [yearMax]int32{-1, -1, -1}
	for n, m := range p.order(item, q.copies()) {
		out[n] = y.whose[m]
	}
	return out
}

// keeps says that these are the holders; where it does not they may be as well.
// Nobody else must come before the last of them, but for somebody of the group of
// one of them, and behind that one.
func (p *plan) keeps(item uint64, pos []int32) bool {
	if p.sure > 0 || p.coarse != nil || len(pos) != p.copies || slices.Contains(pos, -1) {
		return false
	}
	holders := make([]candidate, 0, yearMax)
	last := 0
	for n, at := range pos {
		c := p.candidate(item, int(at))
		if slices.ContainsFunc(holders, func(o candidate) bool { return p.group[o.pos] == p.group[at] }) {
			return false
		}
		if holders = append(holders, c); before(&holders[last], &c) {
			last = n
		}
	}
	limit := newYardstick(&holders[last])
	for other := range p.key {
		first, clear := limit.before(^draw(item, p.key[other]), p.rate[other])
		if clear && !first || slices.Contains(pos, int32(other)) {
			continue
		}
		c := p.candidate(item, other)
		if !before(&c, &holders[last]) {
			continue
		}
		mate := slices.IndexFunc(holders, func(h candidate) bool { return p.group[h.pos] == p.group[other] })
		if mate < 0 || before(&c, &holders[mate]) {
			return false
		}
	}
	return true
}

// allocate finds the holders of all items, on all cores.
func (y *year) allocate() [][yearMax]int32 {
	out := make([][yearMax]int32, len(y.bytes))
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(out); i += workers {
				out[i] = y.holders(int32(i))
			}
		})
	}
	wg.Wait()
	return out
}

// place follows the records, if they have changed.
func (y *year) place() {
	view := NewView(y.members, Policy{})
	if view.Digest() == y.view.Digest() {
		return
	}
	total := 0.0
	for _, b := range y.bytes {
		total += float64(b)
	}
	was := chances(y.view, yearMax)
	for id, share := range chances(view, yearMax) {
		y.tally.least += max(0, share-was[id]) * total
	}
	y.look(view)
	y.tally.changes++
	y.assignAll(y.allocate())
}

// likeAllocate holds what was found the short way to Allocate, for a part of the items.
func (y *year) likeAllocate(t testing.TB) {
	t.Helper()
	for range 500 {
		i := int32(y.below(len(y.bytes)))
		want := [yearMax]int32{-1, -1, -1}
		for n, id := range y.view.Allocate(y.itemAt(i)).Holders {
			want[n] = y.at[id]
		}
		is := y.is[i]
		slices.Sort(is[:])
		slices.Sort(want[:])
		if is != want {
			t.Fatalf("minute %d: item %d is at %v, Allocate says %v", y.now, i, is, want)
		}
	}
}

// assignAll returns how many copies moved.
func (y *year) assignAll(all [][yearMax]int32) int {
	moves := 0
	for i, is := range all {
		moves += y.assign(int32(i), is)
	}
	return moves
}

func (y *year) assign(i int32, is [yearMax]int32) int {
	was, moves := y.is[i], 0
	if is == was {
		return 0
	}
	y.is[i] = is
	for _, m := range was {
		if m >= 0 && !slices.Contains(is[:], m) {
			if k := y.copy(copyOf{i, m}, false); k != nil {
				k.gone = int32(y.now)
				y.gone = append(y.gone, copyOf{i, m})
			}
		}
	}
	for _, m := range is {
		if m < 0 || slices.Contains(was[:], m) {
			continue
		}
		if k := y.copy(copyOf{i, m}, false); k != nil {
			k.gone = 0
			continue
		}
		y.tally.moved += float64(y.bytes[i])
		y.due = append(y.due, copyOf{i, m})
		moves++
	}
	return moves
}

// copy finds a copy on a disk, of the one or the other kind.
func (y *year) copy(c copyOf, stand bool) *kept {
	for n := range y.disk[c.item] {
		if k := &y.disk[c.item][n]; k.member == c.member && k.stand == stand {
			return k
		}
	}
	return nil
}

// store takes in a copy if there is room for it.
func (y *year) store(c copyOf, stand bool) bool {
	if y.stored[c.member]+y.bytes[c.item] > y.members[c.member].Cap<<20 {
		return false
	}
	y.stored[c.member] += y.bytes[c.item]
	y.disk[c.item] = append(y.disk[c.item], kept{member: c.member, stand: stand})
	return true
}

func (y *year) drop(c copyOf, stand bool) {
	y.stored[c.member] -= y.bytes[c.item]
	y.disk[c.item] = slices.DeleteFunc(y.disk[c.item], func(k kept) bool { return k.member == c.member && k.stand == stand })
}

// fetch lets members that can be reached take in what is due.
func (y *year) fetch() {
	var later []copyOf
	refused := 0
	for _, c := range y.due {
		if !slices.Contains(y.is[c.item][:], c.member) || y.copy(c, false) != nil {
			continue
		}
		if away := y.away(c.member); !away && y.store(c, false) {
			continue
		} else if !away {
			refused++
		}
		later = append(later, c)
	}
	y.due = later
	y.tally.refused = max(y.tally.refused, refused)
}

// release drops what is no longer assigned a day after all holders have it, and
// interim copies as soon as the minimum of them does.
func (y *year) release() {
	y.gone = slices.DeleteFunc(y.gone, func(c copyOf) bool {
		k := y.copy(c, false)
		if k == nil || k.gone == 0 {
			return true
		}
		if missing, _ := y.lacks(c.item); missing > 0 || y.now-int(k.gone) < day || y.away(c.member) {
			return false
		}
		y.drop(c, false)
		return true
	})
	y.stand = slices.DeleteFunc(y.stand, func(c copyOf) bool {
		if y.copy(c, true) == nil {
			return true
		}
		if _, held := y.lacks(c.item); held < yearMin {
			return false
		}
		y.drop(c, true)
		return true
	})
}

// lacks counts the assigned members that lack an item, and those that have it.
func (y *year) lacks(i int32) (missing, held int) {
	for _, m := range y.is[i] {
		switch {
		case m < 0:
		case y.copy(copyOf{i, m}, false) != nil:
			held++
		default:
			missing++
		}
	}
	return missing, held
}

func (y *year) someone() int32 {
	for {
		if i := int32(y.below(len(y.members))); y.members[i].State == Active {
			return i
		}
	}
}

// membership plays one week's joins, leaves and resizes. Who lends less keeps
// lending what is in use.
func (y *year) membership() {
	for range y.below(3) {
		m := y.sites(1)[0]
		m.Domains, m.Phi = []string{"site-" + m.ID.String()}, StartPhi
		y.join(m)
		y.tally.joins++
	}
	if y.chance(75) {
		y.members[y.someone()].State = Draining
		y.tally.leaves++
	}
	if y.chance(75) {
		i := y.someone()
		m := &y.members[i]
		m.Cap = max(m.Cap/2+y.next()%(m.Cap*3/2), y.stored[i]>>20+1)
		y.tally.resizes++
	}
}

// outages lets members be away from some time of the next days on, for minutes to
// days (log-uniform).
func (y *year) outages(days int) {
	for range max(1, len(y.members)*days/70) {
		i := y.someone()
		from := y.now + y.below(days*day)
		if a := y.absent[i]; a.until <= y.now {
			y.absent[i] = absence{from: from, until: from + int(math.Exp2(1+y.uniform()*12.3))} // at most 7 days
			y.tally.outages++
		}
	}
}

// evictions declares gone who is away for longer than the grace, and takes back
// who has returned. It returns how many records it changed.
func (y *year) evictions() int {
	n := 0
	for i := range y.members {
		m, a := &y.members[i], &y.absent[i]
		switch {
		case m.State == Active && y.away(int32(i)) && y.now-a.from > grace:
			m.State, a.evicted = Left, true
			y.tally.evictions++
			n++
		case a.evicted && y.now >= a.until:
			m.State, a.evicted = Active, false
			m.Incarnation++
			n++
		}
	}
	return n
}

// records is what members write of themselves at the end of a step.
func (y *year) records() {
	assigned, busy, leaving := make([]uint64, len(y.members)), make([]bool, len(y.members)), make([]bool, len(y.members))
	for i, is := range y.is {
		for _, m := range is {
			if m >= 0 {
				assigned[m] += y.bytes[i]
			}
		}
	}
	for _, c := range y.due {
		busy[c.member] = true
	}
	for _, c := range y.gone {
		leaving[c.member] = true
	}
	loads := make([]Filling, len(y.members))
	for i, m := range y.members {
		if m.State == Active {
			loads[i] = Filling{m.Cap << 20, assigned[i]}
		}
	}
	crowd := Crowd(loads)
	for i := range y.members {
		m := &y.members[i]
		switch {
		case y.away(int32(i)):
		case m.State == Draining && assigned[i] == 0 && !leaving[i]:
			m.State = Left
		case m.State == Active && y.starts[i] && !busy[i]:
			m.Phi = SlowStart(m.Phi, loads[i], crowd)
			y.starts[i] = m.Phi < FullPhi
		case m.State == Active:
			m.Phi = Feedback(m.Phi, loads[i], crowd)
		}
	}
}

// pin replaces a part of the items by new ones, of which reachable members keep
// interim copies where holders are away. cut are those beyond a cut.
func (y *year) pin(part float64, cut map[peer.ID]bool) {
	away := map[peer.ID]bool{}
	for i, m := range y.members {
		if y.away(int32(i)) || cut[m.ID] {
			away[m.ID] = true
		}
	}
	for range int(part * float64(len(y.bytes))) {
		i := int32(y.below(len(y.bytes)))
		y.unpin(i)
		y.name[i] = y.next()
		y.is[i] = y.holders(i)
		for _, m := range y.is[i] {
			if m >= 0 {
				y.due = append(y.due, copyOf{i, m})
			}
		}
		for _, id := range y.view.StandIns(y.itemAt(i), away) {
			if c := (copyOf{i, y.at[id]}); y.store(c, true) {
				y.stand = append(y.stand, c)
				y.tally.interim++
			}
		}
	}
}

func (y *year) unpin(i int32) {
	for _, k := range y.disk[i] {
		y.stored[k.member] -= y.bytes[i]
	}
	y.disk[i] = y.disk[i][:0]
	y.is[i] = [yearMax]int32{-1, -1, -1}
}

// split cuts the network 60 to 40 for a day in which both sides go on pinning.
func (y *year) split(pins float64) {
	side := [2]map[peer.ID]bool{{}, {}}
	for _, m := range y.members {
		side[min(1, y.below(10)/6)][m.ID] = true
	}
	y.pin(pins*0.6, side[1])
	y.pin(pins*0.4, side[0])
	y.tally.splitMoves += y.assignAll(y.allocate())
	y.now += day
}

// check holds the year to what must be true at any time.
func (y *year) check(t testing.TB) {
	t.Helper()
	for i, m := range y.members {
		if y.stored[i] > m.Cap<<20 {
			t.Fatalf("minute %d: member %d stores %d bytes and lends %d", y.now, i, y.stored[i], m.Cap<<20)
		}
	}
	coming := make([]bool, len(y.bytes))
	for _, c := range y.due {
		coming[c.item] = true
	}
	thin := 0
	for i, disk := range y.disk {
		n := 0
		for _, k := range disk {
			if !y.absent[k.member].evicted {
				n++
			}
		}
		if n < yearMin {
			thin++
		}
		if n == 0 && !coming[i] {
			t.Fatalf("minute %d: item %d is lost", y.now, i)
		}
	}
	y.likeAllocate(t)
	y.tally.thin = max(y.tally.thin, thin)
}

// run plays the weeks.
func (y *year) run(t testing.TB, weeks int) {
	for week := range weeks {
		for _, days := range []int{2, 5} { // until the next step
			y.release()
			y.fetch()
			if y.evictions() == 0 && NewView(shuffled(y.dice, y.members), Policy{}).Digest() != y.view.Digest() {
				t.Fatalf("minute %d: outages alone change who holds what", y.now)
			}
			if days == 2 {
				if week == weeks/2 {
					y.split(0.005)
					y.release()
				}
				y.pin(0.005, nil)
				y.membership()
			}
			y.records()
			y.place()
			y.fetch()
			y.check(t)
			y.outages(days)
			y.now += days * day
		}
	}
	for range 2 { // everybody comes back
		y.now += 8 * day
		y.evictions()
		y.place()
		y.fetch()
		y.release()
	}
	y.check(t)
}

func (y *year) judge(t testing.TB) {
	t.Helper()
	r := y.tally
	if r.splitMoves > 0 || len(y.stand) > 0 {
		t.Errorf("%d copies moved by the split; %d interim copies are left", r.splitMoves, len(y.stand))
	}
	if r.outages == 0 || r.interim == 0 || r.evictions == 0 || r.leaves == 0 || r.moved == 0 {
		t.Errorf("a year in which too little happened: %+v", r)
	}
}

func TestAYear(t *testing.T) {
	d := dice(2026)
	y := newYear(&d, 50, 2_000, 2, 0.92)
	y.run(t, amount(26, 52, 520))
	y.judge(t)
	if y.tally.refused == 0 {
		t.Error("nobody was ever full")
	}
	t.Logf("%d items, moved/minimum %.3f: %+v", len(y.bytes), y.tally.moved/y.tally.least, y.tally)
}

// BenchmarkYear is TestAYear with a thousand members: with some hundred thousand
// items of small lenders, and with a million items of 32 GB to 2 TB, which takes
// half an hour of processor time.
func BenchmarkYear(b *testing.B) {
	for _, c := range []struct {
		name          string
		pins, octaves int
	}{{"small", 100_000, 1}, {"million", 800_000, 6}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				d := dice(2026)
				y := newYear(&d, 1000, c.pins, c.octaves, 0.7)
				y.run(b, 52)
				y.judge(b)
				b.ReportMetric(y.tally.moved/y.tally.least, "moved/minimum")
				b.ReportMetric(float64(y.tally.refused), "refused-at-once")
				b.ReportMetric(float64(y.tally.thin), "thin-at-once")
				b.Logf("%d items: %+v", len(y.bytes), y.tally)
			}
		})
	}
}
