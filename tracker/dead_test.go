package tracker

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/pinset"
)

const (
	deadOnes = 10_000
	goodOnes = 100
	goodFrom = 1_000_000 // number of the first of them
)

// good says whether somebody provides a CID.
func (r *rig) good(c cid.Cid) bool {
	r.sets.mu.Lock()
	defer r.sets.mu.Unlock()
	p, ok := r.sets.pins[pinset.Key(c, "")]
	return ok && p.Name == "good"
}

// goodTime is how long good pins take that come when so many dead ones are in front
// of them; each is fetched at 1 MB/s.
func (r *rig) goodTime(dead int, before time.Duration, sizes []uint64) time.Duration {
	r.world.Imagine = func(c cid.Cid) (pinset.Progress, bool) {
		for i, size := range sizes {
			if c == testCID(goodFrom+uint64(i)) {
				return pinset.Progress{Blocks: 1 + size/262144, Bytes: size}, true
			}
		}
		return pinset.Progress{}, false
	}
	r.node = r.world.NodeWith(ipfsclienttest.Config{Speed: 1_000_000})
	r.start()
	defer r.stop()
	settle(time.Second) // from here on what comes is new, not found at the start
	r.pinMany(dead)
	settle(before)
	var good []pinset.Pin
	for i := range sizes {
		good = append(good, pinAt(testCID(goodFrom+uint64(i)), "good"))
	}
	begin := time.Now()
	r.sets.pin(good...)
	for r.Stats().Assigned < uint64(len(sizes)) {
		if settle(10 * time.Millisecond); time.Since(begin) > 24*time.Hour {
			r.t.Fatalf("after a day %+v", r.Stats())
		}
	}
	return time.Since(begin)
}

// 10,000 CIDs that nobody provides, whenever they came, delay 100 that somebody does
// by less than a tenth.
func TestDeadCIDsDelayGoodOnesByLessThanATenth(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for i := range int64(6) {
		before := time.Duration(i * rng.Int64N(int64(2*time.Minute))) // at first at once
		sizes := make([]uint64, goodOnes)
		most := 2_000_000 + rng.Int64N(20_000_000)
		for i := range sizes { // much alike, or the time hangs on which large one comes last
			sizes[i] = uint64(most - rng.Int64N(most/10))
		}
		var alone, behind time.Duration
		bubble(t, func(t *testing.T) { alone = newRig(t).goodTime(0, before, sizes) })
		bubble(t, func(t *testing.T) { behind = newRig(t).goodTime(deadOnes, before, sizes) })
		t.Logf("up to %d kB each, %s after the dead ones: %s alone, %s behind them", most/1000, before.Round(time.Second), alone, behind)
		if behind > alone*11/10 {
			t.Errorf("up to %d kB each, %s after the dead ones: %s alone, %s behind them", most/1000, before.Round(time.Second), alone, behind)
		}
	}
}

// BenchmarkBehindDead is the same in real time, with small files: how many times as
// long 100 good pins take behind 10,000 dead ones as alone.
func BenchmarkBehindDead(b *testing.B) {
	var alone, behind time.Duration
	good := func(dead int) time.Duration {
		r := newRig(b)
		r.world.Imagine = func(c cid.Cid) (pinset.Progress, bool) {
			return pinset.Progress{Blocks: 8, Bytes: 8_000_000}, r.good(c)
		}
		r.node = r.world.NodeWith(ipfsclienttest.Config{Speed: 8_000_000})
		r.store = badgerStore(b)
		r.start()
		defer r.stop()
		r.pinMany(dead)
		until(b, "some dead ones have been tried", func() bool { return r.Stats().Items[pinset.StatusWaiting] >= uint64(dead/50) })
		for i := range goodOnes {
			r.sets.pin(pinAt(testCID(goodFrom+uint64(i)), "good"))
		}
		begin := time.Now()
		until(b, "the good ones are pinned", func() bool { return r.Stats().Assigned == goodOnes })
		return time.Since(begin)
	}
	for b.Loop() {
		alone += good(0)
		behind += good(deadOnes)
	}
	b.ReportMetric(float64(behind)/float64(alone), "times")
	b.ReportMetric(alone.Seconds()/float64(b.N), "alone-s")
}
