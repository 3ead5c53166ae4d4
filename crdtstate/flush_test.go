package crdtstate_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/crdtstate/crdtstatetest"
	"github.com/pinfold/pinfold/crdtstate/internal/kv"
)

// TestPowerCutOfWhatWasReceived: deltas of others are not flushed one by one. A cut
// keeps a log that is closed under ancestors; after Sync, and below an own delta,
// nothing is lost.
func TestPowerCutOfWhatWasReceived(t *testing.T) {
	for name, row := range map[string]struct {
		settle func(*testing.T, *crdtstatetest.Cluster, *crdtstate.State)
		kept   bool
	}{
		"at once":            {func(*testing.T, *crdtstatetest.Cluster, *crdtstate.State) {}, false},
		"after Sync":         {func(t *testing.T, _ *crdtstatetest.Cluster, s *crdtstate.State) { flush(t, s) }, true},
		"below an own delta": {func(_ *testing.T, c *crdtstatetest.Cluster, s *crdtstate.State) { c.Enter(s, 1) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := crdtstatetest.New(t, 2)
			from := c.Founded()
			cfg, fs := c.Config(1), vfs.NewCrashableMem()
			s, err := crdtstate.OpenOver(cfg, func() (kv.DB, error) { return kv.OpenPebble("state", fs) }, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for i := range 20 {
				c.Commit(from, crdtstatetest.PinOp(crdtstatetest.Pin(i)))
				c.Pull(s, from)
			}
			row.settle(t, c, s)
			powerUpWith(t, cfg, fs.CrashClone(vfs.CrashCloneCfg{}), row.kept)
		})
	}
}

func flush(t *testing.T, s *crdtstate.State) {
	t.Helper()
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func powerUpWith(t *testing.T, cfg crdtstate.Config, fs vfs.FS, all bool) {
	t.Helper()
	s, err := crdtstate.OpenOver(cfg, func() (kv.DB, error) { return kv.OpenPebble("state", fs) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	check(t, s)
	for i := range 20 {
		if _, err := s.Pin(context.Background(), crdtstatetest.CID(i), ""); err != nil && all {
			t.Fatalf("received pin %d: %v", i, err)
		}
	}
}

// forgetfulDB fails one flush, as a disk does that lost what it was given, and
// says the next time that all is well.
type forgetfulDB struct {
	kv.DB
	failed *atomic.Bool
}

func (d forgetfulDB) Apply(b *kv.Batch, durable bool) error {
	if durable && b.Len() == 0 && d.failed.CompareAndSwap(false, true) {
		return errTorn
	}
	return d.DB.Apply(b, durable)
}

// TestAFailedFlushIsNotForgotten: after it the store is read again before this
// peer gives its word on anything.
func TestAFailedFlushIsNotForgotten(t *testing.T) {
	c := crdtstatetest.New(t, 2)
	from := c.Founded()
	db := kv.NewMemory()
	var failed atomic.Bool
	var opened atomic.Int32
	s, err := crdtstate.OpenOver(c.Config(1), func() (kv.DB, error) { opened.Add(1); return forgetfulDB{db, &failed}, nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c.Pull(s, from)
	for !failed.Load() { // or the flusher was faster
		_ = s.Sync(t.Context())
	}
	flush(t, s)
	if opened.Load() != 2 {
		t.Errorf("the store was opened %d times, want 2", opened.Load())
	}
	check(t, s)
}
