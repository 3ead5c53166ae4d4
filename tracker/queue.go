package tracker

import (
	"container/heap"
	"maps"
	"time"
)

// lane says among whom a job waits for its turn.
type lane uint8

const (
	laneFresh       lane = iota // new pins that count towards the minimum
	laneRepair                  // what moved, went missing or failed, and counts
	laneFreshExtra              // the same for best-effort copies
	laneRepairExtra             //
	laneRelease                 // copies to let go, or to look at whether they may
	laneWaiting                 // nobody was found who provides it
	lanes
)

// phase is where a job is.
type phase uint8

const (
	phaseLater phase = iota // in the heap, until due
	phaseReady              // in its lane
	phaseBusy               // somebody works on it
)

// job is an item that is not at rest. It is kept small: there is one for each
// item that still has to be fetched.
type job struct {
	key     key
	due     int64  // Unix milliseconds, in phaseLater
	need    uint64 // bytes it is known to take
	turn    uint32 // distinguishes its place in a lane from places it has left
	index   int32  // in the heap
	lane    lane
	phase   phase
	wanted  bool // assigned here
	held    bool // and the node confirmed it
	binding bool
	refused bool  // waits for room
	looks   uint8 // in a row, at whether a copy may go
	suspect bool  // the node did not list it in a sweep
	again   bool  // changed while somebody worked on it
}

// missing says whether a report must name it: it is assigned, and the node did
// not confirm it.
func (j *job) missing() bool { return j.wanted && (!j.held || j.suspect) }

// slot classes: how many jobs of which lanes run at one time.
type slots struct{ moving, waiting, release int }

// queue holds the jobs. It is not safe for concurrent use.
type queue struct {
	jobs    map[key]*job
	most    int // jobs since the map was made
	later   laterHeap
	ready   [lanes]deque
	turn    uint32
	picks   uint32 // counts picks, for the shares of the lanes
	ahead   uint64 // bytes wanted by binding jobs in phaseReady
	waiting int    // jobs in phaseReady
	room    uint64 // bytes that were free when those who wait for room were last woken
}

func newQueue() *queue { return &queue{jobs: map[key]*job{}} }

// get returns the job of an item, a new busy one if there is none.
func (q *queue) get(k key) *job {
	j := q.jobs[k]
	if j == nil {
		j = &job{key: k, phase: phaseBusy}
		q.jobs[k] = j
		q.most = max(q.most, len(q.jobs))
	}
	return j
}

// isBusy says whether somebody works on an item.
func (q *queue) isBusy(k key) bool {
	j := q.jobs[k]
	return j != nil && j.phase == phaseBusy
}

// place puts a job that nobody works on into its lane, at due or at once.
func (q *queue) place(j *job, now, due time.Time) {
	q.lift(j)
	if due.After(now) {
		j.phase, j.due = phaseLater, due.UnixMilli()
		heap.Push(&q.later, j)
		return
	}
	q.makeReady(j)
}

func (q *queue) makeReady(j *job) {
	q.turn++
	j.phase, j.turn = phaseReady, q.turn
	q.ready[j.lane].push(place{j, j.turn})
	q.waiting++
	if j.counts() {
		q.ahead += j.need
	}
}

// counts says whether best-effort copies leave room for it.
func (j *job) counts() bool { return j.lane == laneFresh || j.lane == laneRepair }

// lift takes a job out of heap or lane: somebody works on it.
func (q *queue) lift(j *job) {
	switch j.phase {
	case phaseLater:
		heap.Remove(&q.later, int(j.index))
	case phaseReady:
		q.waiting--
		if j.counts() {
			q.ahead -= j.need
		}
		j.turn = 0 // its place in the lane is void
	}
	j.phase = phaseBusy
}

// drop removes a job that somebody works on: the item is at rest.
func (q *queue) drop(j *job) {
	delete(q.jobs, j.key)
	if q.most > 1000 && len(q.jobs) < q.most/8 { // maps do not shrink
		jobs := make(map[key]*job, len(q.jobs))
		maps.Copy(jobs, q.jobs)
		q.jobs, q.most = jobs, len(jobs)
	}
}

// longest is more than anything is put off.
const longest = 24 * time.Hour

// due moves what is due into its lane and returns when the next one will be.
func (q *queue) due(now time.Time) (next time.Time, ok bool) {
	for len(q.later) > 0 {
		// What is due in the far future was placed under a clock that has gone back.
		if at := time.UnixMilli(q.later[0].due); at.After(now) && at.Before(now.Add(longest)) {
			return at, true
		}
		j := heap.Pop(&q.later).(*job)
		j.phase = phaseBusy
		q.makeReady(j)
	}
	return time.Time{}, false
}

// pick takes the next job for which there is a slot, or nil.
func (q *queue) pick(free slots) *job {
	if free.release > 0 {
		if j := q.take(laneRelease); j != nil {
			return j
		}
	}
	if free.moving > 0 {
		q.picks++
		first, second := laneFresh, laneRepair
		if q.picks%4 == 0 { // new pins are not behind repairs, nor repairs starved
			first, second = second, first
		}
		for _, l := range [...]lane{first, second, first + laneFreshExtra, second + laneFreshExtra} {
			if j := q.take(l); j != nil {
				return j
			}
		}
	}
	if free.waiting > 0 {
		return q.take(laneWaiting)
	}
	return nil
}

// take lifts the job whose turn it is in a lane. Among new pins every second is
// the newest, so that a heap of pins that nobody provides does not delay the next.
func (q *queue) take(l lane) *job {
	d := &q.ready[l]
	newest := q.picks%2 == 1 && (l == laneFresh || l == laneFreshExtra)
	for d.len() > 0 {
		p := d.pop(newest)
		if p.job.turn == p.turn && p.job.phase == phaseReady {
			q.lift(p.job)
			return p.job
		}
	}
	return nil
}

// place is where a job stood in a lane when it was put there.
type place struct {
	job  *job
	turn uint32
}

// deque is a lane's row of places: a ring that grows.
type deque struct {
	row        []place
	head, size int
}

func (d *deque) len() int { return d.size }

func (d *deque) push(p place) {
	if d.size == len(d.row) {
		row := make([]place, max(16, 2*d.size))
		n := copy(row, d.row[d.head:])
		copy(row[n:], d.row[:d.head])
		d.row, d.head = row, 0
	}
	d.row[(d.head+d.size)%len(d.row)] = p
	d.size++
}

func (d *deque) pop(newest bool) place {
	d.size--
	at := d.head
	if newest {
		at = (d.head + d.size) % len(d.row)
	} else {
		d.head = (d.head + 1) % len(d.row)
	}
	p := d.row[at]
	d.row[at] = place{}
	if d.size == 0 {
		d.row, d.head = nil, 0 // an empty lane costs nothing
	}
	return p
}

type laterHeap []*job

func (h laterHeap) Len() int           { return len(h) }
func (h laterHeap) Less(a, b int) bool { return h[a].due < h[b].due }
func (h laterHeap) Swap(a, b int) {
	h[a], h[b] = h[b], h[a]
	h[a].index, h[b].index = int32(a), int32(b)
}

func (h *laterHeap) Push(x any) {
	j := x.(*job)
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

// wakeRefused makes jobs ready that wait for room, as many as fit into so many
// bytes, those that count first. When nothing got free it costs nothing.
func (q *queue) wakeRefused(room uint64, now time.Time) {
	grown := room > q.room
	q.room = room
	if !grown {
		return
	}
	for _, binding := range []bool{true, false} {
		var fit []*job
		for _, j := range q.later {
			if need := max(j.need, 1); j.refused && j.binding == binding && need <= room {
				room -= need
				fit = append(fit, j)
			}
		}
		for _, j := range fit {
			q.place(j, now, time.Time{})
		}
	}
}
