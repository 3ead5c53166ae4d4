package tracker

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Whatever is placed, lifted and dropped in whatever order: each job is where its
// phase says, once, and the sums are those of the jobs.
func TestQueueKeepsItsSums(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	q, now := newQueue(), testNow
	busy := map[*job]bool{}
	for step := range 200_000 {
		k := keyOf(testCID(uint64(rng.IntN(40))))
		switch rng.IntN(5) {
		case 0, 1: // take it, and put it somewhere
			j := q.get(k)
			q.lift(j)
			delete(busy, j)
			j.lane, j.need, j.refused, j.binding = lane(rng.IntN(int(lanes))), uint64(rng.IntN(100)), rng.IntN(2) == 0, rng.IntN(2) == 0
			q.place(j, now, now.Add(time.Duration(rng.IntN(20)-10)*time.Second))
		case 2: // pick
			free := slots{moving: rng.IntN(2), waiting: rng.IntN(2), release: rng.IntN(2)}
			j := q.pick(free)
			if j == nil {
				break
			}
			if busy[j] || j.phase != phaseBusy || *free.of(classOf(j.lane)) == 0 {
				t.Fatalf("step %d: picked %+v with slots %+v", step, j, free)
			}
			busy[j] = true
		case 3: // done with one
			for j := range busy {
				delete(busy, j)
				q.drop(j)
				break
			}
		case 4:
			now = now.Add(time.Duration(rng.IntN(3)) * time.Second)
			if next, some := q.due(now); some && !next.After(now) {
				t.Fatalf("step %d: due at %v, it is %v", step, next, now)
			}
			q.wakeRefused(uint64(rng.IntN(300)), now)
		}
		checkQueue(t, q)
	}
	q.due(now.Add(time.Hour))
	for range 40 {
		q.pick(slots{1, 1, 1})
	}
	if q.waiting != 0 || q.ahead != 0 || len(q.later) != 0 {
		t.Errorf("%d ready, %d ahead, %d later after all was picked", q.waiting, q.ahead, len(q.later))
	}
}

func checkQueue(t *testing.T, q *queue) {
	t.Helper()
	var waiting, later int
	var ahead uint64
	for _, j := range q.jobs {
		switch j.phase {
		case phaseReady:
			waiting++
			if j.counts() {
				ahead += j.need
			}
		case phaseLater:
			later++
			if q.later[j.index] != j {
				t.Fatalf("%+v is not where it says", j)
			}
		}
	}
	if waiting != q.waiting || ahead != q.ahead || later != len(q.later) {
		t.Fatalf("%d ready, %d ahead, %d later; the jobs say %d, %d, %d", q.waiting, q.ahead, len(q.later), waiting, ahead, later)
	}
}

// A place that a job has left is not taken for its present one.
func TestQueueForgetsPlacesThatWereLeft(t *testing.T) {
	q := newQueue()
	j := q.get(keyOf(testCID(1)))
	for range 3 {
		q.place(j, testNow, time.Time{})
	}
	if got := q.pick(slots{moving: 1}); got != j {
		t.Fatalf("picked %+v", got)
	}
	if got := q.pick(slots{moving: 1}); got != nil {
		t.Fatalf("picked %+v twice", got)
	}
}
