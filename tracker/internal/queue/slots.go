package queue

import (
	"cmp"
	"iter"
	"slices"
	"time"
)

// Class of what runs.
type Class uint8

const (
	Trying  Class = iota // fetches of which nobody knows yet whether data comes
	Moving               // fetches whose data comes
	Seeking              // fetches that go on looking for a provider
	Looking              // looks and lettings go
	classes
)

// Limits are how many may run of each class.
type Limits struct {
	Moving  int // fetches whose data comes; of tries there may be four times as many, which cost little
	Seeking int
	Looking int
}

// Youth is how long a try is taken for one that will move, as most do. Kubo tells
// progress every 500 ms.
const Youth = 600 * time.Millisecond

// Slot is what a job runs in.
type Slot struct {
	Job   *Job
	Class Class
	party string
	kind  kind // of the try that it was
	moved bool // data has come
	turn  uint32
	began time.Time
}

// slots are what runs. How likely a try moves is learnt from those before it.
type slots struct {
	limits Limits
	runs   [classes]int
	tries  map[*Slot]struct{}
	shares map[share]int
	picks  uint32
	chance [kinds]chances
	lost   uint32 // the latest turn of a job that found nobody
}

// kind of a try, by how likely it is that data comes.
type kind uint8

const (
	hopeful  kind = iota // of the newest jobs, and newer than all that are known to have found nobody
	doubtful             // of the newest, and older than one of these
	oldest
	kinds
)

// chances of a kind of try, as they were lately.
type chances struct {
	young float64 // that data comes in its youth
	old   float64 // that it comes later, if not then
}

// of a try that runs since began.
func (c chances) of(began, now time.Time) float64 {
	if now.Sub(began) < Youth {
		return c.young + (1-c.young)*c.old
	}
	return c.old
}

// share is the part of a party in the fetches, in those that seek, or in the looks.
type share struct {
	class Class
	party string
}

func newSlots(l Limits) slots {
	return slots{limits: l, tries: map[*Slot]struct{}{}, shares: map[share]int{}, chance: [kinds]chances{{1, 0.25}, {1, 0.25}, {1, 0.25}}}
}

// of the class that counts for a party's share: a try is a fetch.
func shareOf(c Class, party string) share {
	if c == Trying {
		c = Moving
	}
	return share{c, party}
}

func (s *slots) put(slot *Slot, c Class) {
	slot.Class = c
	s.runs[c]++
	s.shares[shareOf(c, slot.party)]++
	if c == Trying {
		s.tries[slot] = struct{}{}
	}
}

func (s *slots) remove(slot *Slot) {
	s.runs[slot.Class]--
	at := shareOf(slot.Class, slot.party)
	if s.shares[at]--; s.shares[at] == 0 {
		delete(s.shares, at)
	}
	delete(s.tries, slot)
}

// room says whether one more try may begin at an end, and whether for a job that is
// older than one that found nobody. Those that run count as much as is likely.
func (s *slots) room(newest bool, now time.Time) (any, doubt bool) {
	expected := float64(s.runs[Moving])
	var tries [kinds]int
	for t := range s.tries {
		tries[t.kind]++
		expected += s.chance[t.kind].of(t.began, now)
	}
	fits := func(k kind) bool { return expected+s.chance[k].of(now, now) <= float64(s.limits.Moving)+0.001 }
	if !newest {
		any = tries[oldest] < 2*s.limits.Moving && fits(oldest)
		return any, any
	}
	if tries[hopeful]+tries[doubtful] >= 2*s.limits.Moving {
		return false, false
	}
	any = fits(hopeful)
	return any, any && tries[doubtful] < s.limits.Moving
}

// learn from a try that moved, or did not. A hopeful one that did not says nothing
// of those that are newer.
func (s *slots) learn(t *Slot, now time.Time, moved bool) {
	if t.kind == hopeful && !moved {
		return
	}
	c, outcome := &s.chance[t.kind], 0.0
	if moved {
		outcome = 1
	}
	if now.Sub(t.began) < Youth {
		c.young += (outcome - c.young) / 8
		return
	}
	c.young -= c.young / 8
	c.old += (outcome - c.old) / 8
}

// Gate says which fetches may start.
type Gate uint8

const (
	Shut Gate = iota // none, only looks
	Calm             // none that may wait
	Open
)

// Start lifts the job whose turn it is, if there is a slot for it; nil: none.
func (q *Queue) Start(now time.Time, gate Gate) *Slot {
	s := &q.slots
	if s.runs[Looking] < s.limits.Looking {
		if j := q.next(Release, Looking, true, nil); j != nil {
			return q.begin(j, &Slot{began: now}, Looking)
		}
	}
	if gate == Shut {
		return nil
	}
	s.picks++
	for _, newest := range [...]bool{s.picks%2 == 0, s.picks%2 != 0} {
		any, doubt := s.room(newest, now)
		if !any {
			continue
		}
		for _, l := range s.order() {
			if gate == Calm && l.MayWait() {
				continue
			}
			fit := func(j *Job) bool { return doubt || j.turn > s.lost }
			if j := q.next(l, Moving, newest, fit); j != nil {
				return q.begin(j, &Slot{began: now, kind: s.kindOf(newest, j)}, Trying)
			}
		}
	}
	if s.runs[Seeking] < s.limits.Seeking {
		if j := q.next(Waiting, Seeking, false, nil); j != nil {
			return q.begin(j, &Slot{began: now}, Seeking)
		}
	}
	return nil
}

func (s *slots) kindOf(newest bool, j *Job) kind {
	switch {
	case !newest:
		return oldest
	case j.turn <= s.lost:
		return doubtful
	}
	return hopeful
}

// order is in which lanes a job is looked for. New pins are not behind repairs, nor
// repairs starved, nor what may wait.
func (s *slots) order() [7]Lane {
	first, second, firstExtra, secondExtra := Fresh, Repair, FreshExtra, RepairExtra
	if s.picks%4 == 0 {
		first, second, firstExtra, secondExtra = second, first, secondExtra, firstExtra
	}
	if s.picks%16 == 0 {
		return [...]Lane{Bulk, Urgent, first, second, firstExtra, secondExtra, BulkExtra}
	}
	return [...]Lane{Urgent, first, second, Bulk, firstExtra, secondExtra, BulkExtra}
}

func (q *Queue) next(l Lane, c Class, newest bool, fit func(*Job) bool) *Job {
	if fit == nil {
		fit = func(*Job) bool { return true }
	}
	return q.lanes[l].next(newest, func(party string) int { return q.slots.shares[share{c, party}] }, fit)
}

func (q *Queue) begin(j *Job, slot *Slot, c Class) *Slot {
	slot.Job, slot.party, slot.turn = j, j.Party, j.turn
	q.Lift(j)
	q.slots.put(slot, c)
	return slot
}

// Ages returns when some try is no longer young, which may make room for another.
func (q *Queue) Ages(now time.Time) (next time.Time, some bool) {
	for t := range q.slots.tries {
		if at := t.began.Add(Youth); at.After(now) && (!some || at.Before(next)) {
			next, some = at, true
		}
	}
	return next, some
}

// Fetches notes that the fetch in a slot begins now; before it was looked at.
func (q *Queue) Fetches(slot *Slot, now time.Time) { slot.began = now }

// Moves notes that data comes.
func (q *Queue) Moves(slot *Slot, now time.Time) {
	switch slot.Class {
	case Trying:
		q.slots.learn(slot, now, true)
	case Seeking:
	default:
		return
	}
	slot.moved = true
	q.slots.remove(slot)
	q.slots.put(slot, Moving)
}

// Stalls notes that no data came for as long as a slot is kept for it. It goes on
// among those who seek, if there is room and it was not there; else it ends. For
// what moved already there is room that those who never do cannot take.
func (q *Queue) Stalls(slot *Slot, now time.Time) (goesOn bool) {
	s := &q.slots
	if slot.Class == Trying {
		s.learn(slot, now, false)
		s.lost = max(s.lost, slot.turn)
	}
	limit := s.limits.Seeking
	if slot.moved {
		limit += s.limits.Moving
	}
	if slot.Class == Seeking || s.runs[Seeking] >= limit {
		return false
	}
	s.remove(slot)
	s.put(slot, Seeking)
	return true
}

// End frees a slot.
func (q *Queue) End(slot *Slot) { q.slots.remove(slot) }

// Runs returns how many run of a class.
func (q *Queue) Runs(c Class) int { return q.slots.runs[c] }

// Line yields the jobs that wait for their turn: lane by lane, in each one party
// after the other, the oldest first.
func (q *Queue) Line() iter.Seq[*Job] {
	return func(yield func(*Job) bool) {
		for l := range q.lanes {
			for e := q.lanes[l].ring.Front(); e != nil; e = e.Next() {
				if !e.Value.(*row).places.each(yield) {
					return
				}
			}
		}
	}
}

// Next returns the jobs that wait for their time and are due first, at most so many.
func (q *Queue) Next(most int) []*Job {
	var first []*Job
	for _, j := range q.later {
		at, _ := slices.BinarySearchFunc(first, j, func(a, b *Job) int { return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.Key, b.Key)) })
		if at >= most {
			continue
		}
		first = slices.Insert(first, at, j)
		first = first[:min(len(first), most)]
	}
	return first
}
