package queue

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pinfold/pinfold/pinset"
)

var start = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

// Whatever is placed, lifted and dropped in whatever order: each job is where its
// phase says, once, and the sums are those of the jobs and of the slots.
func TestQueueKeepsItsSums(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	limits := Limits{Moving: 2, Seeking: 2, Looking: 2}
	q, now := New(limits), start
	running := map[*Slot]bool{}
	for step := range 50_000 {
		k := fmt.Sprint(rng.IntN(40))
		switch rng.IntN(6) {
		case 0, 1: // take it, and put it somewhere
			if q.IsBusy(k) {
				break
			}
			j := q.Get(k)
			q.Lift(j)
			j.Lane, j.Party, j.Need = Lane(rng.IntN(int(Lanes))), fmt.Sprint(rng.IntN(4)), uint64(rng.IntN(100))
			j.Refused, j.Binding, j.Put = rng.IntN(2) == 0, rng.IntN(2) == 0, rng.IntN(2) == 0
			q.Place(j, now, now.Add(time.Duration(rng.IntN(20)-10)*time.Second))
		case 2:
			if s := q.Start(now, Gate(rng.IntN(3))); s != nil {
				if s.Job.phase != busy {
					t.Fatalf("step %d: picked %+v", step, s.Job)
				}
				running[s] = true
			}
		case 3: // done with one
			for s := range running {
				delete(running, s)
				q.End(s)
				q.Drop(s.Job)
				break
			}
		case 4:
			for s := range running {
				if rng.IntN(2) == 0 {
					q.Moves(s, now)
				} else {
					q.Stalls(s, now)
				}
				break
			}
		case 5:
			now = now.Add(time.Duration(rng.IntN(3)) * time.Second)
			if next, some := q.Due(now); some && !next.After(now) {
				t.Fatalf("step %d: due at %v, it is %v", step, next, now)
			}
			q.WakeRefused(uint64(rng.IntN(300)), now)
			q.WakePut(uint64(rng.IntN(300)), now)
		}
		checkQueue(t, q, running)
	}
	for s := range running {
		q.End(s)
	}
	q.Due(now.Add(time.Hour))
	for range 100 {
		if s := q.Start(now, Open); s != nil {
			q.End(s)
		}
	}
	if q.Ready() != 0 || q.Ahead() != 0 || q.Later() != 0 || len(q.slots.shares) != 0 {
		t.Errorf("%d ready, %d ahead, %d later, shares %v after all was picked", q.Ready(), q.Ahead(), q.Later(), q.slots.shares)
	}
}

func checkQueue(t *testing.T, q *Queue, running map[*Slot]bool) {
	t.Helper()
	var waiting, put int
	var ahead uint64
	for j := range q.All() {
		switch j.phase {
		case ready:
			waiting++
			if j.Counts() {
				ahead += j.Need
			}
		case later:
			put++
			if q.later[j.index] != j {
				t.Fatalf("%+v is not where it says", j)
			}
		}
	}
	line := 0
	for range q.Line() {
		line++
	}
	if waiting != q.Ready() || waiting != line || ahead != q.Ahead() || put != q.Later() {
		t.Fatalf("%d ready (%d in line), %d ahead, %d later; the jobs say %d, %d, %d", q.Ready(), line, q.Ahead(), q.Later(), waiting, ahead, put)
	}
	var runs [classes]int
	for s := range running {
		runs[s.Class]++
	}
	if runs != q.slots.runs || len(q.slots.tries) != runs[Trying] {
		t.Fatalf("runs %v, want %v", q.slots.runs, runs)
	}
	if runs[Looking] > 2 || runs[Seeking] > 4 || runs[Trying] > 8 {
		t.Fatalf("runs %v are too many", runs)
	}
}

// A place that a job has left is not taken for its present one, and such places do
// not pile up.
func TestQueueForgetsPlacesThatWereLeft(t *testing.T) {
	q := New(Limits{Moving: 1})
	j, other := q.Get("1"), q.Get("2")
	q.Place(other, start, time.Time{})
	for range 10_000 {
		q.Place(j, start, time.Time{})
	}
	if n := q.lanes[Urgent].rows[""].Value.(*row).places.len(); n > 100 {
		t.Errorf("%d places for two jobs", n)
	}
	for _, want := range []*Job{other, j, nil} {
		s := q.Start(start, Open)
		if want == nil && s == nil {
			break
		}
		if s == nil || s.Job != want {
			t.Fatalf("picked %+v, want %+v", s, want)
		}
		q.End(s)
	}
}

func (q *Queue) add(party string, l Lane, n int) {
	for range n {
		j := q.Get(fmt.Sprint(len(q.jobs)))
		j.Party, j.Lane = party, l
		q.Place(j, start, time.Time{})
	}
}

// Who has a hundred thousand does not delay who has ten.
func TestPartiesTakeTurns(t *testing.T) {
	q := New(Limits{Moving: 4})
	q.add("many", Fresh, 100_000)
	q.add("few", Fresh, 10)
	q.add("some", Fresh, 10)
	got := map[string]int{}
	for range 30 {
		s := q.Start(start, Open)
		q.Moves(s, start)
		q.End(s)
		got[s.party]++
	}
	if got["few"] != 10 || got["some"] != 10 {
		t.Errorf("of 30 turns %v", got)
	}
}

// Whose fetches take long has no more slots than the others, as these come free.
func TestPartiesShareTheSlots(t *testing.T) {
	q := New(Limits{Moving: 8})
	q.add("slow", Fresh, 100)
	q.add("quick", Fresh, 1000)
	slow := 0
	for range 900 {
		s := q.Start(start, Open)
		if s == nil {
			t.Fatal("no slot")
		}
		q.Moves(s, start)
		if s.party == "slow" {
			slow++
		} else {
			q.End(s)
		}
	}
	if slow > 1 { // while the other has none, for each of its turns
		t.Errorf("the slow one has %d of 8 slots, and the other none", slow)
	}
}

func TestLanes(t *testing.T) {
	for _, tc := range []struct {
		p              pinset.Priority
		fresh, binding bool
		want           Lane
	}{
		{pinset.PriorityNormal, true, true, Fresh},
		{pinset.PriorityNormal, false, true, Repair},
		{pinset.PriorityNormal, true, false, FreshExtra},
		{pinset.PriorityNormal, false, false, RepairExtra},
		{pinset.PriorityHigh, true, true, Urgent},
		{pinset.PriorityHigh, false, true, Urgent},
		{pinset.PriorityHigh, false, false, FreshExtra},
		{pinset.PriorityBulk, true, true, Bulk},
		{pinset.PriorityBulk, false, true, Bulk},
		{pinset.PriorityBulk, true, false, BulkExtra},
	} {
		if got := LaneFor(tc.p, tc.fresh, tc.binding); got != tc.want {
			t.Errorf("LaneFor(%s, fresh %v, binding %v) = %s, want %s", tc.p, tc.fresh, tc.binding, got, tc.want)
		}
	}
}

// High goes first, bulk last, and nobody is starved: of a hundred turns each lane
// that counts has some.
func TestPrioritiesHaveTheirOrder(t *testing.T) {
	q := New(Limits{Moving: 1})
	q.add("", Bulk, 1000)
	q.add("", Fresh, 1000)
	q.add("", Repair, 1000)
	q.add("", FreshExtra, 1000)
	q.add("", Urgent, 3)
	var got [Lanes]int
	for i := range 100 {
		s := q.Start(start, Open)
		q.Moves(s, start)
		q.End(s)
		got[s.Job.Lane]++
		if i < 3 && s.Job.Lane != Urgent {
			t.Errorf("turn %d: %s", i, s.Job.Lane)
		}
	}
	if got[Fresh] < 60 || got[Repair] < 15 || got[Bulk] < 3 || got[FreshExtra] != 0 {
		t.Errorf("of 100 turns %v", got)
	}
}

// Fetches that move are as many as the limit says, also while tries take long to
// find out.
func TestSlotsLimitWhatMoves(t *testing.T) {
	for _, wait := range []time.Duration{0, 300 * time.Millisecond, 2 * time.Second} {
		q, now := New(Limits{Moving: 8, Seeking: 8}), start
		q.add("", Fresh, 1000)
		var trying, moving []*Slot
		most := 0
		for range 2000 {
			for s := q.Start(now, Open); s != nil; s = q.Start(now, Open) {
				trying = append(trying, s)
			}
			now = now.Add(50 * time.Millisecond)
			for len(trying) > 0 && now.Sub(trying[0].began) >= wait {
				q.Moves(trying[0], now)
				moving, trying = append(moving, trying[0]), trying[1:]
			}
			if now.After(start.Add(time.Minute)) { // the chances are learnt
				most = max(most, len(moving))
			}
			for len(moving) > 0 && now.Sub(moving[0].began) >= wait+5*time.Second {
				q.End(moving[0])
				moving = moving[1:]
			}
		}
		if most > 9 { // one from each end of the lane
			t.Errorf("data after %s: %d fetches move at one time, at most 8 may", wait, most)
		}
	}
}

// What may wait does when the gate is not open, and nothing else.
func TestGates(t *testing.T) {
	for gate, want := range map[Gate]int{Shut: 1, Calm: 4, Open: int(Lanes)} {
		q := New(Limits{Moving: 100, Seeking: 100, Looking: 100})
		for l := range Lanes {
			q.add("", l, 1)
		}
		n := 0
		for s := q.Start(start, gate); s != nil; s = q.Start(start, gate) {
			n++
			if q.Moves(s, start); gate == Calm && s.Job.Lane != Release && s.Job.Lane.MayWait() {
				t.Errorf("started from the lane %s", s.Job.Lane)
			}
		}
		if n != want {
			t.Errorf("gate %d: %d started, want %d", gate, n, want)
		}
	}
}

// What was put off comes when the line allows more, as much as it allows.
func TestPutOffComesWhenTheLineAllowsMore(t *testing.T) {
	q := New(Limits{Moving: 1})
	for i, far := range []time.Duration{time.Hour, 40 * 24 * time.Hour, 2 * time.Hour} {
		j := q.Get(fmt.Sprint(i))
		j.Put, j.Need = true, 10
		q.Place(j, start, start.Add(far))
	}
	if _, some := q.Due(start); !some || q.Ready() != 0 {
		t.Errorf("%d ready of what was put off, for however long", q.Ready())
	}
	for _, step := range []struct{ left, ready int }{{0, 0}, {15, 2}, {15, 2}, {10, 2}, {11, 3}} {
		if q.WakePut(uint64(step.left), start); q.Ready() != step.ready {
			t.Errorf("%d bytes are left and %d ready, want %d", step.left, q.Ready(), step.ready)
		}
	}
}
