package silence

import (
	"context"
	"errors"
	"testing"
	"time"

	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/identity/identitytest"
)

func open(t *testing.T, store ds.Datastore) *Book {
	t.Helper()
	b, err := Open(context.Background(), store)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSilenceAddsUpAndSurvives(t *testing.T) {
	ctx, store := context.Background(), dssync.MutexWrap(ds.NewMapDatastore())
	c := identitytest.New(t, 3)
	bob, carol, gone := c.ID(0), c.ID(1), c.ID(2)
	b := open(t, store)
	pass := func(d time.Duration, heard map[peer.ID]bool) {
		t.Helper()
		if err := b.Pass(ctx, d, heard); err != nil {
			t.Fatal(err)
		}
	}
	want := func(when string, id peer.ID, d time.Duration) {
		t.Helper()
		if got := b.For(id); got != d {
			t.Errorf("%s: silent for %s, want %s", when, got, d)
		}
	}
	for range 12 {
		pass(time.Minute, map[peer.ID]bool{bob: false, carol: true, gone: false})
	}
	want("never heard", bob, 12*time.Minute)
	want("heard", carol, 0)
	b = open(t, store)
	want("after a crash", bob, 10*time.Minute)
	pass(0, map[peer.ID]bool{bob: false, carol: false})
	want("while this peer was alone", bob, 10*time.Minute)
	want("no member any more", gone, 0)
	pass(time.Minute, map[peer.ID]bool{bob: true, carol: false})
	want("heard again", bob, 0)
	b = open(t, store)
	want("heard again, and then a crash", bob, 0)
	want("the other", carol, time.Minute)
}

func TestWhatIsNoCountBeginsAnew(t *testing.T) {
	store := ds.NewMapDatastore()
	if err := store.Put(context.Background(), key(), []byte("garbage")); err != nil {
		t.Fatal(err)
	}
	if b := open(t, store); len(b.silent) != 0 {
		t.Errorf("read %v", b.silent)
	}
}

type full struct{ ds.Datastore }

func (full) Put(context.Context, ds.Key, []byte) error { return errors.New("disk full") }

func TestAFullDiskIsSaid(t *testing.T) {
	b := open(t, full{ds.NewMapDatastore()})
	if err := b.Pass(context.Background(), saveEvery, map[peer.ID]bool{identitytest.Key(t, 0).ID(): false}); err == nil {
		t.Error("no error")
	}
}
