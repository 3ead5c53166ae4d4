package ipfsclienttest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

func TestImaginedPinTakesItsTimeAndItsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &World{Imagine: func(cid.Cid) (pinset.Progress, bool) { return pinset.Progress{Blocks: 10, Bytes: 1000}, true }}
		n := w.NodeWith(Config{Disk: 2500, Speed: 100})
		start := time.Now()
		var seen []pinset.Progress
		pin := func(i uint64) error {
			return n.Pin(t.Context(), CID(i), pinset.PinOptions{Progress: func(p pinset.Progress) { seen = append(seen, p) }})
		}
		if err := pin(1); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 9500*time.Millisecond {
			t.Errorf("1000 bytes at 100 per second took %v, want 9.5s (no wait after the last)", took)
		}
		if len(seen) != 20 || seen[0].Bytes != 50 || seen[19] != (pinset.Progress{Blocks: 10, Bytes: 1000}) {
			t.Errorf("progress %v", seen)
		}
		if err := pin(2); err != nil {
			t.Fatal(err)
		}
		if err := pin(3); pinset.KindOf(err) != pinset.KindUnavailable {
			t.Errorf("third pin on a full disk: %v", err)
		}
		if s, _ := n.RepoStat(t.Context()); s.Used != 2500 || s.Free != 0 {
			t.Errorf("full disk: %+v", s)
		}
		for range n.GC(t.Context()) {
		}
		if s, _ := n.RepoStat(t.Context()); s.Used != 2000 || s.Free != 500 {
			t.Errorf("after gc: %+v", s)
		}
		if err := n.Unpin(t.Context(), CID(1), pinset.Recursive); err != nil {
			t.Fatal(err)
		}
		if err := pin(1); err != nil {
			t.Errorf("pinning again what is still there: %v", err)
		}
		if s, _ := n.RepoStat(t.Context()); s.Used != 2000 {
			t.Errorf("after pinning again: %+v", s)
		}
	})
}

func TestFaults(t *testing.T) {
	boom := errors.New("boom")
	pinned := func(n *Fake) bool { _, err := n.pinOf(CID(1)); return err == nil }
	for _, tc := range []struct {
		name   string
		faults Faults
		want   func(error) bool
		pinned bool
	}{
		{"none", Faults{}, func(err error) bool { return err == nil }, true},
		{"fail before", Faults{Before: Fail(boom)}, func(err error) bool { return errors.Is(err, boom) }, false},
		{"reply lost", Faults{After: Fail(boom)}, func(err error) bool { return errors.Is(err, boom) }, true},
		{"lie", Faults{Before: Pretend}, func(err error) bool { return err == nil }, false},
		{"hang", Faults{Before: Hang}, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }, false},
		{"hang after", Faults{After: Hang}, func(err error) bool { return pinset.KindOf(err) == pinset.KindTimeout }, true},
		{"refuse", Faults{Before: Refuse}, func(err error) bool { return pinset.KindOf(err) == pinset.KindUnavailable }, false},
		{"slow", Faults{Before: Slow(time.Second)}, func(err error) bool { return err == nil }, true},
		{"too slow", Faults{Before: Slow(time.Hour)}, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }, false},
		{"another method", Faults{Before: On(Fail(boom), OpUnpin)}, func(err error) bool { return err == nil }, true},
		{"another cid", Faults{Before: OnCID(Fail(boom), CID(2))}, func(err error) bool { return err == nil }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := (&World{Imagine: Everything}).Node()
				n.Break(tc.faults)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if err := n.Pin(ctx, CID(1), pinset.PinOptions{}); !tc.want(err) {
					t.Errorf("pin: %v", err)
				}
				if got := pinned(n); got != tc.pinned {
					t.Errorf("pinned %v, want %v", got, tc.pinned)
				}
			})
		})
	}
}

func TestTimesStrikesThatOften(t *testing.T) {
	n := (&World{Imagine: Everything}).Node()
	n.Break(Faults{Before: On(Times(2, Refuse), OpPin)})
	var failed int
	for range 5 {
		if n.Pin(t.Context(), CID(1), pinset.PinOptions{}) != nil {
			failed++
		}
	}
	if failed != 2 || n.Calls(OpPin) != 5 {
		t.Errorf("%d of %d calls failed, want 2 of 5", failed, n.Calls(OpPin))
	}
}

func TestStoppedNodeServesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &World{Open: true}
		a, b := w.Node(), w.Node()
		root := addBytes(t, a, "hello")
		a.Stop()
		if _, err := a.Identity(t.Context()); pinset.KindOf(err) != pinset.KindUnavailable {
			t.Errorf("identity of a stopped node: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := b.Pin(ctx, root, pinset.PinOptions{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("pin from a stopped node: %v", err)
		}
		done := make(chan error)
		go func() { done <- b.Pin(t.Context(), root, pinset.PinOptions{}) }()
		synctest.Wait()
		a.Start()
		if err := <-done; err != nil {
			t.Errorf("pin after it came back: %v", err)
		}
	})
}

func TestLostAndForgotten(t *testing.T) {
	n := (&World{}).Node()
	root := addBytes(t, n, "hello")
	n.Lose(root)
	if _, err := n.PinOf(t.Context(), root); err != nil {
		t.Errorf("pin of lost data: %v", err)
	}
	if _, err := n.DAGSize(t.Context(), root, pinset.Recursive); pinset.KindOf(err) != pinset.KindNotFound {
		t.Errorf("size of lost data: %v", err)
	}
	n.Forget(root)
	if _, err := n.PinOf(t.Context(), root); pinset.KindOf(err) != pinset.KindNotFound {
		t.Errorf("forgotten pin: %v", err)
	}
}

// Garbage is collected when no pin is under way, as at Kubo, and waiting for that
// does not stop a bubble's time.
func TestGCWaitsForPins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := (&World{Imagine: Everything}).NodeWith(Config{Speed: 100})
		done := make(chan error)
		go func() { done <- n.Pin(t.Context(), CID(1), pinset.PinOptions{}) }()
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, err := range n.GC(short) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("gc beside a pin: %v", err)
			}
		}
		for c, err := range n.GC(t.Context()) {
			t.Errorf("gc after the pin: %v, %v", c, err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestClaimed(t *testing.T) {
	n := (&World{}).Node()
	p := pinset.NodePin{CID: CID(7), Name: "the owner's", Mode: pinset.Direct}
	n.Claim(p)
	if got, err := n.PinOf(t.Context(), p.CID); err != nil || got != p {
		t.Errorf("claimed pin: %+v, %v; want %+v", got, err, p)
	}
	if _, err := n.DAGSize(t.Context(), p.CID, pinset.Direct); pinset.KindOf(err) != pinset.KindNotFound {
		t.Errorf("size of claimed data: %v", err)
	}
	for _, err := range n.GC(t.Context()) {
		t.Error(err)
	}
}

func addBytes(t *testing.T, n *Fake, text string) cid.Cid {
	t.Helper()
	dir := files.NewMapDirectory(map[string]files.Node{"f": files.NewBytesFile([]byte(text))})
	for a, err := range n.Add(t.Context(), dir, pinset.AddOptions{}, "test") {
		if err != nil {
			t.Fatal(err)
		}
		return a.CID
	}
	t.Fatal("nothing added")
	return cid.Undef
}

// A pin must stay small: the control plane's benchmarks have hundreds of thousands.
func TestPinIsSmall(t *testing.T) {
	const pins = 100_000
	n := (&World{Imagine: Everything}).Node()
	cids := make([]cid.Cid, pins)
	names := make([]string, pins)
	for i := range cids {
		cids[i], names[i] = CID(uint64(i)), fmt.Sprintf("pinfold:0123456789abcdef item %d", i)
	}
	before := heap()
	for i, c := range cids {
		if err := n.Pin(t.Context(), c, pinset.PinOptions{Name: names[i]}); err != nil {
			t.Fatal(err)
		}
	}
	per := (heap() - before) / pins
	runtime.KeepAlive(cids)
	runtime.KeepAlive(names)
	runtime.KeepAlive(n)
	if per > 200 {
		t.Errorf("%d bytes per pin beside its CID and name, want at most 200", per)
	}
	t.Logf("%d bytes per pin beside its CID and name", per)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
