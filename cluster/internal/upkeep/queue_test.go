package upkeep

import (
	"context"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
)

func start() time.Time { return time.Unix(1e9, 0) }

// naive is a queue that keeps everything.
type naive map[string]time.Time

func (n naive) due(now time.Time) []string {
	var out []string
	for k, at := range n {
		if !at.After(now) {
			out = append(out, k)
		}
	}
	for _, k := range out {
		delete(n, k)
	}
	slices.Sort(out)
	return out
}

// Without a limit in the way the queue gives what a naive one gives, in order of
// time.
func TestQueueEqualsItsNaiveTwin(t *testing.T) {
	for seed := range int64(200) {
		rnd := rand.New(rand.NewSource(seed))
		q, twin, now := NewQueue[int](1000), naive{}, start()
		for step := range 60 {
			if rnd.Intn(3) > 0 {
				k, at := fmt.Sprint(rnd.Intn(12)), now.Add(time.Duration(rnd.Intn(20)-3)*time.Second)
				q.Add(Due[int]{Key: k, Value: step, At: at})
				twin[k] = at
				continue
			}
			now = now.Add(time.Duration(rnd.Intn(5)) * time.Second)
			got := q.Due(now, 1000)
			if !slices.IsSortedFunc(got, func(a, b Due[int]) int { return a.At.Compare(b.At) }) {
				t.Fatalf("seed %d, step %d: not in order of time: %v", seed, step, got)
			}
			var keys []string
			for _, d := range got {
				keys = append(keys, d.Key)
			}
			slices.Sort(keys)
			if want := twin.due(now); !slices.Equal(keys, want) {
				t.Fatalf("seed %d, step %d: got %v, want %v", seed, step, keys, want)
			}
		}
	}
}

// With a limit, looking again whenever Forgot says so finds everything in time.
func TestQueueForgetsNothingForGood(t *testing.T) {
	for seed := range int64(100) {
		rnd := rand.New(rand.NewSource(seed))
		q, now := NewQueue[int](5), start()
		all := naive{}
		for i := range 40 {
			all[fmt.Sprint(i)] = start().Add(time.Duration(rnd.Intn(30)) * time.Second)
		}
		look := func() {
			for k, at := range all {
				q.Add(Due[int]{Key: k, At: at})
			}
		}
		look()
		for range 31 {
			for {
				got := q.Due(now, 3)
				for _, d := range got {
					if at, ok := all[d.Key]; !ok || at.After(now) {
						t.Fatalf("seed %d: %s came out early or twice", seed, d.Key)
					}
					delete(all, d.Key)
				}
				if len(got) == 0 {
					if !q.Forgot() {
						break
					}
					look()
				}
			}
			if late := all.due(now); len(late) > 0 {
				t.Fatalf("seed %d: %v are late", seed, late)
			}
			if len(q.heap.rows) > 5 {
				t.Fatalf("seed %d: %d kept", seed, len(q.heap.rows))
			}
			now = now.Add(time.Second)
		}
	}
}

// What comes in late must not hide what was dropped before it.
func TestQueueLooksAgainBeforeWhatIsLater(t *testing.T) {
	q := NewQueue[int](2)
	for i, k := range []string{"a", "b", "dropped"} {
		q.Add(Due[int]{Key: k, At: start().Add(time.Duration(i) * time.Second)})
	}
	if got := q.Due(start().Add(time.Minute), 9); len(got) != 2 {
		t.Fatalf("%d due", len(got))
	}
	q.Add(Due[int]{Key: "late", At: start().Add(time.Hour)})
	if !q.Forgot() {
		t.Error("it does not know that it dropped something due before what it holds")
	}
}

func TestWaitWakesInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, began := NewQueue[int](10), time.Now()
		q.Add(Due[int]{Key: "late", At: began.Add(time.Hour)})
		go func() {
			time.Sleep(time.Minute)
			q.Add(Due[int]{Key: "soon", At: began.Add(2 * time.Minute)})
		}()
		for _, want := range []time.Duration{2 * time.Minute, time.Hour} {
			if err := q.Wait(t.Context(), time.Now); err != nil || time.Since(began) != want {
				t.Errorf("woke after %s, want %s: %v", time.Since(began), want, err)
			}
			q.Due(time.Now(), 1)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := q.Wait(ctx, time.Now); err == nil {
			t.Error("woke without a reason")
		}
		other := make(chan struct{}, 1)
		other <- struct{}{}
		if err := q.WaitOr(t.Context(), time.Now, other); err != nil {
			t.Error(err)
		}
	})
}

func TestChangedSaysAllWhenThereAreTooMany(t *testing.T) {
	c := NewChanged(2)
	cids := make([]cid.Cid, 4)
	for i := range cids {
		cids[i] = cid.NewCidV1(cid.Raw, []byte{0, 1, byte(i)})
	}
	if _, all := c.Take(); !all {
		t.Error("a new set does not say all")
	}
	for _, tc := range []struct {
		name string
		add  func()
		n    int
		all  bool
	}{
		{"nothing", func() { c.Add(nil, false) }, 0, false},
		{"one, twice", func() { c.Add(cids[:1], false); c.Add(cids[:1], false) }, 1, false},
		{"as many as fit", func() { c.Add(cids[:2], false) }, 2, false},
		{"more", func() { c.Add(cids[:1], false); c.Add(cids[1:], false) }, 0, true},
		{"all", func() { c.Add(cids[:1], true); c.Add(cids[:1], false) }, 0, true},
	} {
		tc.add()
		if got, all := c.Take(); len(got) != tc.n || all != tc.all {
			t.Errorf("%s: %d CIDs, all %v", tc.name, len(got), all)
		}
	}
}

// Turns are spread: of ten members each is first for about a tenth of the keys.
func TestRankSpreadsTheTurns(t *testing.T) {
	first := map[int]int{}
	for k := range 5000 {
		best, at := uint64(1)<<63, -1
		for m := range 10 {
			if r := Rank(strings.Repeat("m", m+1), fmt.Sprint(k)); at < 0 || r < best {
				best, at = r, m
			}
		}
		first[at]++
	}
	for m := range 10 {
		if first[m] < 400 || first[m] > 600 {
			t.Errorf("member %d is first %d times of 5000", m, first[m])
		}
	}
}
