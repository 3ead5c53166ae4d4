package crdtstate_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/crdtstate/crdtstatetest"
	"github.com/pinfold/pinfold/crdtstate/internal/kv"
	"github.com/pinfold/pinfold/pinset"
)

// TestPowerCut (I7): what was acknowledged or announced when the power went is
// there when it comes back, however much of the unsynced data was lost.
func TestPowerCut(t *testing.T) {
	c := crdtstatetest.New(t, 1)
	cfg := c.Config(0)
	fs := vfs.NewCrashableMem()
	s, err := crdtstate.OpenOver(cfg, func() (kv.DB, error) { return kv.OpenPebble("state", fs) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c.Enter(s, 0)
	var mu sync.Mutex
	acked := map[int]string{}
	var heads []cid.Cid
	var wg, reader sync.WaitGroup
	turns := make(chan struct{}) // writes allowed: the log must not outgrow the checks
	reader.Go(func() {
		for a := range s.Announcements() {
			mu.Lock()
			heads = append(heads, a.Head)
			mu.Unlock()
		}
	})
	for w := range 3 {
		wg.Go(func() {
			i := 0
			for range turns {
				i++
				p := crdtstatetest.Pin(w*1_000_000 + i)
				if _, err := s.Commit(context.Background(), crdtstatetest.PinOp(p)); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked[w*1_000_000+i] = p.Name
				mu.Unlock()
			}
		})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for cut := range 25 {
		for range 20 + rng.IntN(20) {
			turns <- struct{}{} // the last three may still be on their way
		}
		mu.Lock()
		want := make([]int, 0, len(acked))
		for n := range acked {
			want = append(want, n)
		}
		announced := append([]cid.Cid(nil), heads...)
		mu.Unlock()
		dead := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		powerUp(t, cfg, dead, cut, want, announced)
	}
	close(turns)
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	reader.Wait()
	t.Logf("%d acknowledged in all", len(acked))
}

func powerUp(t *testing.T, cfg crdtstate.Config, fs vfs.FS, cut int, want []int, heads []cid.Cid) {
	t.Helper()
	s, err := crdtstate.OpenOver(cfg, func() (kv.DB, error) { return kv.OpenPebble("state", fs) }, nil)
	if err != nil {
		t.Fatalf("cut %d: %v", cut, err)
	}
	defer s.Close()
	check(t, s)
	for _, n := range want {
		if _, err := s.Pin(context.Background(), crdtstatetest.CID(n), ""); err != nil {
			t.Fatalf("cut %d: acknowledged pin %d of %d: %v", cut, n, len(want), err)
		}
	}
	for _, h := range heads {
		if ok, err := s.Known(context.Background(), h); err != nil || !ok {
			t.Fatalf("cut %d: announced head %s: known %v, %v", cut, h, ok, err)
		}
	}
}

// tornDB applies only the first entries of a batch, then fails for good: badger's
// big batches can be cut so by a crash.
type tornDB struct {
	kv.DB
	left int // applies until the cut
	keep int // entries of the one that is cut
}

var errTorn = errors.New("torn")

func (d *tornDB) Apply(b *kv.Batch, durable bool) error {
	if b.Len() == 0 {
		return d.DB.Apply(b, durable)
	}
	if d.left--; d.left > 0 {
		return d.DB.Apply(b, durable)
	}
	if d.left == 0 {
		if err := d.DB.Apply(b.Head(d.keep), durable); err != nil {
			return err
		}
	}
	return errTorn
}

// TestTornBatch: whatever part of a round's batch reached the store, the state
// opens as the replay of its log, with the round in it or not, and goes on.
func TestTornBatch(t *testing.T) {
	c := crdtstatetest.New(t, 1)
	for keep := range 40 {
		t.Run(fmt.Sprint(keep), func(t *testing.T) {
			db := kv.NewMemory()
			torn := &tornDB{DB: db, left: 6, keep: keep}
			first := true
			s, err := crdtstate.OpenOver(c.Config(0), func() (kv.DB, error) {
				if first {
					first = false
					return torn, nil
				}
				return db, nil
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			c.Enter(s, 0)
			for i := range 4 {
				c.Commit(s, crdtstatetest.PinOp(crdtstatetest.Pin(i)), crdtstatetest.PinOp(crdtstatetest.Pin(i+1)))
			}
			ops := []crdtstate.Op{
				crdtstatetest.UnpinOp(crdtstatetest.Pin(0)), crdtstatetest.PinOp(crdtstatetest.Pin(3)),
				crdtstatetest.UnpinOp(crdtstatetest.Pin(2)), crdtstatetest.PinOp(crdtstatetest.Pin(9)),
				{Key: identityKey(c), Value: c.Seal(0, nextRecord(c))},
			}
			if _, err := s.Commit(context.Background(), ops...); pinset.KindOf(err) != pinset.KindUnavailable {
				t.Fatalf("the torn commit: %v", err)
			}
			if len(s.Health()) != 1 {
				t.Errorf("health %+v", s.Health())
			}
			// Whoever comes next opens the store again: one who writes, or the flusher.
			if keep%2 == 0 {
				flush(t, s)
			}
			c.Commit(s, crdtstatetest.PinOp(crdtstatetest.Pin(20)))
			check(t, s)
			if len(s.Health()) != 0 {
				t.Errorf("health after recovery %+v", s.Health())
			}
			again, err := crdtstate.OpenOver(c.Config(0), func() (kv.DB, error) { return db, nil }, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			check(t, again)
			agree(t, s, again)
		})
	}
}
