package upkeep

import (
	"container/heap"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
)

// Due is something that is to be done at a time.
type Due[T any] struct {
	Key   string // two with one key are one: the later Add counts
	CID   cid.Cid
	Value T
	At    time.Time
}

// Queue holds what is due soonest, up to a limit. It is safe for concurrent use.
type Queue[T any] struct {
	limit int
	wake  chan struct{}

	mu      sync.Mutex
	heap    dueHeap[T]
	horizon time.Time // what is due from then on was dropped; zero: nothing was
}

// NewQueue returns an empty queue for limit things.
func NewQueue[T any](limit int) *Queue[T] {
	return &Queue[T]{limit: limit, wake: make(chan struct{}, 1), heap: dueHeap[T]{at: map[string]int{}}}
}

// Add puts something in, or moves it to another time. What is due beyond all that
// a full queue holds is forgotten, which Forgot tells.
func (q *Queue[T]) Add(d Due[T]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i, ok := q.heap.at[d.Key]; ok {
		heap.Remove(&q.heap, i)
	}
	if !q.horizon.IsZero() && !d.At.Before(q.horizon) {
		return
	}
	heap.Push(&q.heap, d)
	if len(q.heap.rows) > q.limit {
		last := q.heap.latest()
		q.horizon = q.heap.rows[last].At
		heap.Remove(&q.heap, last)
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Replan gives everything the time that at says.
func (q *Queue[T]) Replan(at func(Due[T]) time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.heap.rows {
		q.heap.rows[i].At = at(q.heap.rows[i])
	}
	heap.Init(&q.heap)
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Due takes out what is due at now, soonest first, at most limit.
func (q *Queue[T]) Due(now time.Time, limit int) []Due[T] {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []Due[T]
	for len(out) < limit && len(q.heap.rows) > 0 && !q.heap.rows[0].At.After(now) {
		out = append(out, heap.Pop(&q.heap).(Due[T]))
	}
	return out
}

// Forgot says, once, that everything that was kept is done and something was
// dropped: whoever put it in has to look again.
func (q *Queue[T]) Forgot() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.forgot() {
		return false
	}
	q.horizon = time.Time{}
	return true
}

func (q *Queue[T]) forgot() bool { return len(q.heap.rows) == 0 && !q.horizon.IsZero() }

// Wait returns when something is due, or with the error of ctx.
func (q *Queue[T]) Wait(ctx context.Context, now func() time.Time) error {
	for {
		ready, err := q.wait(ctx, now, nil)
		if ready || err != nil {
			return err
		}
	}
}

// WaitOr is Wait that also returns when other delivers, and when Forgot is true.
func (q *Queue[T]) WaitOr(ctx context.Context, now func() time.Time, other <-chan struct{}) error {
	for {
		ready, err := q.wait(ctx, now, other)
		if ready || err != nil {
			return err
		}
	}
}

// wait looks and sleeps once. A clock that jumps is noticed within a minute.
func (q *Queue[T]) wait(ctx context.Context, now func() time.Time, other <-chan struct{}) (bool, error) {
	q.mu.Lock()
	first, some, forgot := time.Time{}, len(q.heap.rows) > 0, q.forgot()
	if some {
		first = q.heap.rows[0].At
	}
	q.mu.Unlock()
	if forgot && other != nil || some && !first.After(now()) {
		return true, ctx.Err()
	}
	var alarm <-chan time.Time
	if some {
		t := time.NewTimer(min(first.Sub(now()), time.Minute))
		defer t.Stop()
		alarm = t.C
	}
	select {
	case <-alarm:
	case <-q.wake:
	case <-other:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
	return false, nil
}

// dueHeap is a heap by time that knows where each key is.
type dueHeap[T any] struct {
	rows []Due[T]
	at   map[string]int
}

func (h *dueHeap[T]) Len() int           { return len(h.rows) }
func (h *dueHeap[T]) Less(i, j int) bool { return h.rows[i].At.Before(h.rows[j].At) }
func (h *dueHeap[T]) Swap(i, j int) {
	h.rows[i], h.rows[j] = h.rows[j], h.rows[i]
	h.at[h.rows[i].Key], h.at[h.rows[j].Key] = i, j
}
func (h *dueHeap[T]) Push(x any) {
	d := x.(Due[T])
	h.at[d.Key] = len(h.rows)
	h.rows = append(h.rows, d)
}
func (h *dueHeap[T]) Pop() any {
	last := len(h.rows) - 1
	d := h.rows[last]
	h.rows[last] = Due[T]{}
	h.rows = h.rows[:last]
	delete(h.at, d.Key)
	return d
}

// latest is the row that is due last: one of the heap's lower half.
func (h *dueHeap[T]) latest() int {
	best := len(h.rows) / 2
	for i := best; i < len(h.rows); i++ {
		if h.rows[i].At.After(h.rows[best].At) {
			best = i
		}
	}
	return best
}

// Changed is a set of CIDs that changed. It is safe for concurrent use.
type Changed struct {
	limit int
	wake  chan struct{}

	mu   sync.Mutex
	cids map[cid.Cid]struct{}
	all  bool
}

// NewChanged returns a set that says "all" beyond limit, and at first.
func NewChanged(limit int) *Changed {
	return &Changed{limit: limit, wake: make(chan struct{}, 1), cids: map[cid.Cid]struct{}{}, all: true}
}

// Add notes changes.
func (c *Changed) Add(cids []cid.Cid, all bool) {
	if len(cids) == 0 && !all {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all = c.all || all || len(c.cids)+len(cids) > c.limit; c.all {
		clear(c.cids)
	} else {
		for _, k := range cids {
			c.cids[k] = struct{}{}
		}
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Take returns the changes since the last call and forgets them.
func (c *Changed) Take() (cids []cid.Cid, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.cids {
		cids = append(cids, k)
	}
	all = c.all
	clear(c.cids)
	c.all = false
	return cids, all
}

// Wake delivers when there are changes.
func (c *Changed) Wake() <-chan struct{} { return c.wake }

// Rank orders members for a key: the lowest has the first turn. Different keys
// give different orders.
func Rank(member, key string) uint64 {
	sum := sha256.Sum256([]byte("pinfold/turn/1\x00" + member + "\x00" + key))
	return binary.BigEndian.Uint64(sum[:])
}
