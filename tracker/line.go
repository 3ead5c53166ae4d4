package tracker

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/pinfold/pinfold/pinset"
	"github.com/pinfold/pinfold/tracker/internal/queue"
)

// Queue tells what runs and what waits, at most so many of those that wait for their
// turn and of those that wait for their time.
func (t *Tracker) Queue(ctx context.Context, most int) (pinset.Queue, error) {
	q, turns := t.line(most)
	for _, turn := range turns {
		l, err := t.Local(ctx, turn.key.cid())
		if err != nil {
			return pinset.Queue{}, err
		}
		turn.describe(l)
	}
	for _, turn := range turns {
		at := &q.Later
		switch {
		case turn.running:
			at = &q.Running
		case turn.ready:
			at = &q.Ready
		}
		*at = append(*at, turn.Turn)
	}
	return q, nil
}

// turn is a job as it is told.
type turn struct {
	pinset.Turn
	key            key
	running, ready bool
	rate           uint64
}

func (t *turn) describe(l pinset.Local) {
	t.CID, t.Status, t.Since = l.CID.String(), l.Status.String(), l.Since
	t.Blocks, t.Bytes, t.Size = l.Progress.Blocks, l.Progress.Bytes, l.Size
	t.Attempts, t.Error = l.Attempts, l.Error
	if !t.running && !t.ready && t.Retry.IsZero() {
		t.Retry = l.Retry
	}
	t.Rate, t.Left = t.rate, pinset.LeftAt(l.Size, l.Progress.Bytes, t.rate)
}

// line takes down what runs and what waits.
func (t *Tracker) line(most int) (q pinset.Queue, turns []*turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	q = pinset.Queue{Running: []pinset.Turn{}, Ready: []pinset.Turn{}, Later: []pinset.Turn{}}
	q.Waiting, q.PutOff, q.Bytes = t.queue.Ready(), t.queue.Later(), t.queue.Ahead()
	for l := range queue.Lanes {
		if n := t.queue.ReadyIn(l); n > 0 {
			q.Lanes = append(q.Lanes, pinset.Lane{Name: l.String(), Count: n})
		}
	}
	runs := make([]*run, 0, len(t.runs))
	for _, r := range t.runs {
		runs = append(runs, r)
	}
	slices.SortFunc(runs, func(a, b *run) int { return cmp.Or(a.began.Compare(b.began), cmp.Compare(a.key(), b.key())) })
	now := time.Now()
	for _, r := range runs {
		at := turnOf(r.slot.Job)
		at.running, at.rate = true, r.pace.rate(now)
		turns = append(turns, at)
	}
	n := 0
	for j := range t.queue.Line() {
		if n++; n > most {
			break
		}
		at := turnOf(j)
		at.ready = true
		turns = append(turns, at)
	}
	for _, j := range t.queue.Next(most) {
		at := turnOf(j)
		at.Retry = j.Due()
		turns = append(turns, at)
	}
	return q, turns
}

func turnOf(j *queue.Job) *turn {
	return &turn{key: key(j.Key), Turn: pinset.Turn{Owner: j.Party, Priority: j.Class.String(), Lane: j.Lane.String()}}
}

// pace is how fast the bytes of one fetch come, lately.
type pace struct {
	at    time.Time // of the last figure, zero: there is none
	bytes uint64    // at that time
	speed float64   // bytes a second
}

const (
	paceStep = time.Second      // between two figures
	paceGone = 10 * time.Second // without progress, then the rate is 0
)

// note takes a figure; three quarters of the rate are of those before. What was here
// when the fetch began is not in it: it is there with the first figure.
func (p *pace) note(now time.Time, bytes uint64) {
	took := now.Sub(p.at)
	switch {
	case p.at.IsZero():
		p.at, p.bytes = now, bytes
		return
	case took < paceStep:
		return
	}
	lately := float64(bytes-min(bytes, p.bytes)) / took.Seconds()
	if p.speed == 0 {
		p.speed = lately
	}
	p.speed += (lately - p.speed) / 4
	p.at, p.bytes = now, bytes
}

func (p *pace) rate(now time.Time) uint64 {
	if now.Sub(p.at) > paceGone {
		return 0
	}
	return uint64(p.speed)
}
