package queue

import (
	"container/heap"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/pinfold/pinfold/pinset"
)

// Lane says among whom a job waits for its turn.
type Lane uint8

const (
	Urgent      Lane = iota // pins whose owner said so, and that count towards the minimum
	Fresh                   // new pins that count
	Repair                  // what moved, went missing or failed, and counts
	Bulk                    // pins whose owner said that they may wait, and that count
	FreshExtra              // the same for best-effort copies
	RepairExtra             //
	BulkExtra               //
	Release                 // copies to let go, or to look at whether they may
	Waiting                 // nobody was found who provides it
	Lanes
)

func (l Lane) String() string {
	return [...]string{"urgent", "new", "repair", "bulk", "new, beyond the minimum", "repair, beyond the minimum", "bulk, beyond the minimum",
		"to let go", "waiting for a provider"}[l]
}

// LaneFor returns the lane of a fetch. Fresh: of a new pin, not of what moved, failed
// or went missing.
func LaneFor(p pinset.Priority, fresh, binding bool) Lane {
	l := Repair
	switch {
	case p == pinset.PriorityBulk:
		l = Bulk
	case p == pinset.PriorityHigh && binding:
		return Urgent
	case fresh || p == pinset.PriorityHigh:
		l = Fresh
	}
	if !binding {
		l += FreshExtra - Fresh
	}
	return l
}

// MayWait says whether what is in the lane can wait for the hours in which much is
// fetched: all but new pins that count, and what nobody was found for.
func (l Lane) MayWait() bool { return l != Urgent && l != Fresh && l != Waiting }

// counts says whether best-effort copies leave room for what is in the lane.
func (l Lane) counts() bool { return l <= Bulk }

// phase is where a job is.
type phase uint8

const (
	later phase = iota // in the heap, until due
	ready              // in its lane
	busy               // somebody works on it
)

// Job is an item that is not at rest. It is kept small: there is one for each item
// that still has to be fetched. Whoever works on it may change its fields.
type Job struct {
	Key     string
	Party   string // whose turn it takes
	Need    uint64 // bytes it is known to take
	due     int64  // Unix milliseconds, while later
	turn    uint32 // distinguishes its place in a lane from places it has left
	index   int32  // in the heap
	Lane    Lane
	phase   phase
	Class   pinset.Priority // that its owner gave it
	Looks   uint8           // in a row, at whether a copy may go
	Wanted  bool            // assigned here
	Held    bool            // and the node confirmed it
	Binding bool
	Refused bool // waits for room
	Put     bool // waits for what the line allows
	Suspect bool // the node did not list it in a sweep
	Again   bool // changed while somebody worked on it
}

// Missing says whether a report must name it: it is assigned, and the node did
// not confirm it.
func (j *Job) Missing() bool { return j.Wanted && (!j.Held || j.Suspect) }

// Counts says whether best-effort copies leave room for it.
func (j *Job) Counts() bool { return j.Lane.counts() }

// Due is until when it waits; zero: it does not.
func (j *Job) Due() time.Time {
	if j.phase != later {
		return time.Time{}
	}
	return time.UnixMilli(j.due)
}

// Queue holds the jobs, and the slots in which they run. It is not safe for
// concurrent use.
type Queue struct {
	jobs    map[string]*Job
	most    int // jobs since the map was made
	later   laterHeap
	lanes   [Lanes]lane
	turn    uint32
	ahead   uint64 // bytes wanted by ready jobs that count
	waiting int    // ready jobs
	room    uint64 // bytes that were free when those who wait for room were last woken
	line    uint64 // the same of what the line allows
	slots   slots
}

// New returns an empty queue.
func New(l Limits) *Queue {
	return &Queue{jobs: map[string]*Job{}, slots: newSlots(l)}
}

// Find returns the job of an item, nil: it is at rest.
func (q *Queue) Find(key string) *Job { return q.jobs[key] }

// Get returns the job of an item, a new busy one if there is none.
func (q *Queue) Get(key string) *Job {
	j := q.jobs[key]
	if j == nil {
		j = &Job{Key: key, phase: busy}
		q.jobs[key] = j
		q.most = max(q.most, len(q.jobs))
	}
	return j
}

// All yields all jobs, in no order.
func (q *Queue) All() iter.Seq[*Job] { return maps.Values(q.jobs) }

// IsBusy says whether somebody works on an item.
func (q *Queue) IsBusy(key string) bool {
	j := q.jobs[key]
	return j != nil && j.phase == busy
}

// Ready is how many jobs wait for their turn.
func (q *Queue) Ready() int { return q.waiting }

// ReadyIn is how many of them wait in a lane.
func (q *Queue) ReadyIn(l Lane) int { return q.lanes[l].size }

// Later is how many jobs wait for their time.
func (q *Queue) Later() int { return len(q.later) }

// Ahead is how many bytes the jobs want that wait for their turn and count.
func (q *Queue) Ahead() uint64 { return q.ahead }

// Place puts a job that nobody works on into its lane, at due or at once.
func (q *Queue) Place(j *Job, now, due time.Time) {
	q.Lift(j)
	if j.Put && due.After(now.Add(longest/2)) {
		due = now.Add(longest / 2) // months may be used up; a look that changes nothing costs little
	}
	if due.After(now) {
		j.phase, j.due = later, due.UnixMilli()
		heap.Push(&q.later, j)
		return
	}
	q.makeReady(j)
}

func (q *Queue) makeReady(j *Job) {
	q.turn++
	j.phase, j.turn = ready, q.turn
	q.lanes[j.Lane].push(j)
	q.waiting++
	if j.Counts() {
		q.ahead += j.Need
	}
}

// Lift takes a job out of heap or lane: somebody works on it.
func (q *Queue) Lift(j *Job) {
	switch j.phase {
	case later:
		heap.Remove(&q.later, int(j.index))
	case ready:
		q.waiting--
		if j.Counts() {
			q.ahead -= j.Need
		}
		j.turn = 0 // its place in the lane is void
		q.lanes[j.Lane].left(j.Party)
	}
	j.phase = busy
}

// Drop removes a job that somebody works on: the item is at rest.
func (q *Queue) Drop(j *Job) {
	delete(q.jobs, j.Key)
	if q.most > 1000 && len(q.jobs) < q.most/8 { // maps do not shrink
		jobs := make(map[string]*Job, len(q.jobs))
		maps.Copy(jobs, q.jobs)
		q.jobs, q.most = jobs, len(jobs)
	}
}

// longest is more than anything is put off for, but by the rules of the line.
const longest = 24 * time.Hour

// Due moves what is due into its lane and returns when the next one will be.
func (q *Queue) Due(now time.Time) (next time.Time, ok bool) {
	for len(q.later) > 0 {
		// What is due in the far future was placed under a clock that has gone back.
		if at := time.UnixMilli(q.later[0].due); at.After(now) && at.Before(now.Add(longest)) {
			return at, true
		}
		j := heap.Pop(&q.later).(*Job)
		j.phase = busy
		q.makeReady(j)
	}
	return time.Time{}, false
}

// Hurry makes jobs ready that wait for their time, those for which want says so.
func (q *Queue) Hurry(now time.Time, want func(*Job) bool) {
	var hurried []*Job
	for _, j := range q.later {
		if want(j) {
			hurried = append(hurried, j)
		}
	}
	slices.SortFunc(hurried, func(a, b *Job) int { return int(a.due - b.due) })
	for _, j := range hurried {
		q.Place(j, now, time.Time{})
	}
}

// WakeRefused makes jobs ready that wait for room, as many as fit into so many
// bytes, those that count first. When nothing got free it costs nothing.
func (q *Queue) WakeRefused(room uint64, now time.Time) {
	grown := room > q.room
	q.room = room
	if !grown {
		return
	}
	for _, binding := range []bool{true, false} {
		q.Hurry(now, func(j *Job) bool {
			need := max(j.Need, 1)
			if !j.Refused || j.Binding != binding || need > room {
				return false
			}
			room -= need
			return true
		})
	}
}

// WakePut makes jobs ready that wait for what the line allows, as many as it allows
// now. When that is no more than before it costs nothing.
func (q *Queue) WakePut(left uint64, now time.Time) {
	grown := left > q.line
	q.line = left
	if !grown {
		return
	}
	q.Hurry(now, func(j *Job) bool {
		if !j.Put || left == 0 {
			return false
		}
		left -= min(left, max(j.Need, 1))
		return true
	})
}

type laterHeap []*Job

func (h laterHeap) Len() int           { return len(h) }
func (h laterHeap) Less(a, b int) bool { return h[a].due < h[b].due }
func (h laterHeap) Swap(a, b int) {
	h[a], h[b] = h[b], h[a]
	h[a].index, h[b].index = int32(a), int32(b)
}

func (h *laterHeap) Push(x any) {
	j := x.(*Job)
	j.index = int32(len(*h))
	*h = append(*h, j)
}

func (h *laterHeap) Pop() any {
	old := *h
	j := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return j
}
