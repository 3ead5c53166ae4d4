package queue

import "container/list"

// lane is those who wait for one kind of turn: a row of places for each party. The
// parties stand in a ring; who had a turn goes to its end.
type lane struct {
	rows map[string]*list.Element // of *row
	ring list.List
	size int // jobs
}

// row is the places of one party.
type row struct {
	party  string
	places deque
	live   int // of them that were not left
}

// asked is how many parties are compared for one turn.
const asked = 64

func (l *lane) push(j *Job) {
	e := l.rows[j.Party]
	if e == nil {
		if l.rows == nil {
			l.rows = map[string]*list.Element{}
		}
		e = l.ring.PushBack(&row{party: j.Party})
		l.rows[j.Party] = e
	}
	r := e.Value.(*row)
	r.live++
	l.size++
	r.places.push(place{j, j.turn})
	if r.places.len() > 2*r.live+64 {
		r.places.compact()
	}
}

// left notes that a job of party left its place, which stays until it is met.
func (l *lane) left(party string) {
	e := l.rows[party]
	r := e.Value.(*row)
	l.size--
	if r.live--; r.live == 0 {
		l.ring.Remove(e)
		delete(l.rows, party)
	}
}

// next returns the job of the party that has the fewest runs, of equals the one
// whose last turn was longest ago: its newest job or its oldest one. fit says no to
// jobs that may not run now. The job stays where it is until it is lifted.
func (l *lane) next(newest bool, runs func(party string) int, fit func(*Job) bool) *Job {
	var best *list.Element
	var job *Job
	least := 0
	e := l.ring.Front()
	for n := 0; e != nil && n < asked; n++ {
		r := e.Value.(*row)
		if have := runs(r.party); best == nil || have < least {
			if j := r.places.end(newest); fit(j) {
				best, job, least = e, j, have
			}
		}
		e = e.Next()
	}
	if best != nil {
		l.ring.MoveToBack(best)
	}
	return job
}

// place is where a job stood in a lane when it was put there.
type place struct {
	job  *Job
	turn uint32
}

func (p place) void() bool { return p.job.turn != p.turn || p.job.phase != ready }

// deque is a row of places: a ring that grows.
type deque struct {
	row        []place
	head, size int
}

func (d *deque) len() int { return d.size }

func (d *deque) push(p place) {
	if d.size == len(d.row) {
		row := make([]place, max(4, 2*d.size))
		n := copy(row, d.row[d.head:])
		copy(row[n:], d.row[:d.head])
		d.row, d.head = row, 0
	}
	d.row[(d.head+d.size)%len(d.row)] = p
	d.size++
}

// end returns the job at one end, and forgets the places there that were left. There
// must be one that was not.
func (d *deque) end(newest bool) *Job {
	for {
		at := d.head
		if newest {
			at = (d.head + d.size - 1) % len(d.row)
		}
		if p := d.row[at]; !p.void() {
			return p.job
		}
		d.row[at] = place{}
		d.size--
		if !newest {
			d.head = (d.head + 1) % len(d.row)
		}
	}
}

// compact forgets the places that were left.
func (d *deque) compact() {
	row := make([]place, 0, d.size)
	for i := range d.size {
		if p := d.row[(d.head+i)%len(d.row)]; !p.void() {
			row = append(row, p)
		}
	}
	d.row, d.head, d.size = row[:cap(row)], 0, len(row)
}

// each yields the jobs in their order until yield says no.
func (d *deque) each(yield func(*Job) bool) bool {
	for i := range d.size {
		if p := d.row[(d.head+i)%len(d.row)]; !p.void() && !yield(p.job) {
			return false
		}
	}
	return true
}
