package merge

import (
	"context"
	"fmt"
	"math/rand"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/boxo/datastore/dshelp"
	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	dssync "github.com/ipfs/go-datastore/sync"
	crdt "github.com/ipfs/go-ds-crdt"
	"github.com/ipfs/go-ds-crdt/pb"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multibase"

	"github.com/pinfold/pinfold/crdtstate/internal/block"
	"github.com/pinfold/pinfold/crdtstate/internal/kv"
	"github.com/pinfold/pinfold/identity/identitytest"
)

// list is a log in memory.
type list struct {
	blocks []*block.Block
	at     map[cid.Cid]int64
}

func (l *list) IsFolded(cid.Cid) (bool, error) { return false, nil }

func (l *list) Position(c cid.Cid) (int64, error) {
	if pos, ok := l.at[c]; ok {
		return pos, nil
	}
	return -1, nil
}

func (l *list) CID(pos uint64) (cid.Cid, error) { return l.blocks[pos].CID, nil }

func (l *list) Node(c cid.Cid) (ipld.Node, error) {
	pos, ok := l.at[c]
	if !ok {
		return nil, ipld.ErrNotFound{Cid: c}
	}
	return l.blocks[pos].Node()
}

// history makes deltas of some writers on random sets of tips, with additions,
// updates, exact removals and removals of elements that the writer never saw.
func history(t *testing.T, rng *rand.Rand, n int) *list {
	key := identitytest.Key(t, 0)
	l := &list{at: map[cid.Cid]int64{}}
	for i := range n {
		d := &pb.Delta{Priority: 1}
		var parents []cid.Cid
		for range 1 + rng.Intn(3) {
			if i == 0 {
				break
			}
			p := l.blocks[max(0, i-1-rng.Intn(4))]
			if !strings.Contains(fmt.Sprint(parents), p.CID.String()) {
				parents = append(parents, p.CID)
				d.Priority = max(d.Priority, p.Delta.Priority+1)
			}
		}
		used := map[string]bool{}
		for range rng.Intn(5) {
			k := testKey(rng.Intn(8))
			if used[k] {
				continue
			}
			used[k] = true
			for range rng.Intn(3) {
				if i > 0 {
					b := l.blocks[rng.Intn(i)]
					d.Tombstones = append(d.Tombstones, &pb.Element{Key: k, Id: dshelp.MultihashToDsKey(b.CID.Hash()).String()})
				}
			}
			if rng.Intn(3) > 0 {
				d.Elements = append(d.Elements, &pb.Element{Key: k, Value: fmt.Appendf(nil, "v%d", rng.Intn(50))})
			}
		}
		b, err := block.Seal("test", key.Private(), block.Envelope{Author: key.ID(), Seq: uint64(i + 1)}, d, parents)
		if err != nil {
			t.Fatal(err)
		}
		l.at[b.CID] = int64(i)
		l.blocks = append(l.blocks, b)
	}
	return l
}

func testKey(n int) string {
	s, err := someCID(rand.New(rand.NewSource(int64(n)))).StringOfBase(multibase.Base32)
	if err != nil {
		panic(err)
	}
	if n%4 == 0 {
		return "/m/" + s
	}
	return "/p/" + s + "/-"
}

// TestCellsAreWhatTheLibraryStores (I6, I14): nothing fails or is marked dirty; the
// library over cells and the library over a plain store agree on every value and
// head; and over the plain store it writes only what the cells know. An upgrade
// that changes any of it fails here.
func TestCellsAreWhatTheLibraryStores(t *testing.T) {
	if Workers != 1 {
		t.Errorf("%d workers: with more than one the library loses concurrent re-pins", Workers)
	}
	for seed := range 12 {
		l := history(t, rand.New(rand.NewSource(int64(seed))), 120)
		db := kv.NewMemory()
		m, err := New(db, l, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		store := dssync.MutexWrap(ds.NewMapDatastore())
		plain, feed := library(t, store, l)
		for _, b := range l.blocks {
			if err := m.Merge(context.Background(), []cid.Cid{b.CID}); err != nil {
				t.Fatal(err)
			}
			if err := feed.push(context.Background(), []cid.Cid{b.CID}); err != nil {
				t.Fatal(err)
			}
			var batch kv.Batch
			m.Write(&batch)
			if err := db.Apply(&batch, false); err != nil {
				t.Fatal(err)
			}
			m.Settle()
		}
		want := map[string]string{}
		for _, e := range all(t, plain) {
			want[e.Key] = string(e.Value)
		}
		got := map[string]string{}
		for n := range 8 {
			c, err := Read(db, testKey(n))
			if err != nil {
				t.Fatal(err)
			}
			if c.Value != nil {
				got[testKey(n)] = string(c.Value)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("seed %d: values (-plain +cells):\n%s", seed, diff)
		}
		heads := map[cid.Cid]bool{}
		for _, c := range plain.InternalStats(context.Background()).Heads {
			heads[c] = true
		}
		for c := range m.Heads() {
			if !heads[c] || len(heads) != len(m.Heads()) {
				t.Errorf("seed %d: head %s of the cells is not one of the plain store's %v", seed, c, heads)
			}
		}
		checkLayout(t, store)
		for _, close := range []func() error{m.Close, plain.Close} {
			if err := close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func library(t *testing.T, store ds.Datastore, l *list) (*crdt.Datastore, *feeder) {
	m := &Merger{log: l}
	o := crdt.DefaultOptions()
	o.NumWorkers, o.RepairInterval, o.RebroadcastInterval = 1, 0, time.Hour
	o.Logger = recorder{m}
	f := newFeeder()
	lib, err := crdt.New(store, ds.NewKey(namespace), dagService{m}, f, o)
	if err != nil {
		t.Fatal(err)
	}
	return lib, f
}

func all(t *testing.T, store ds.Datastore) []query.Entry {
	r, err := store.Query(context.Background(), query.Query{})
	if err != nil {
		t.Fatal(err)
	}
	es, err := r.Rest()
	if err != nil {
		t.Fatal(err)
	}
	return es
}

func checkLayout(t *testing.T, store ds.Datastore) {
	id := `/CIQ[A-Z2-7]{52}`
	known := regexp.MustCompile(`^/c(/crdt_version|/h` + id + `|/b` + id + `|/s/[st]/[pm]/[-/a-z0-9]+` + id + `|/s/k/[pm]/[-/a-z0-9]+/[vp])$`)
	values, elements, removed := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, e := range all(t, store) {
		if !known.MatchString(e.Key) {
			t.Fatalf("the library writes %s", e.Key)
		}
		switch {
		case strings.HasPrefix(e.Key, "/c/s/s"):
			elements[e.Key[6:]] = true
		case strings.HasPrefix(e.Key, "/c/s/t"):
			removed[e.Key[6:]] = true
		case strings.HasPrefix(e.Key, "/c/s/k") && strings.HasSuffix(e.Key, "/v"):
			values[e.Key[6:len(e.Key)-2]] = true
		}
	}
	live := map[string]bool{}
	for k := range elements {
		if !removed[k] {
			live[k[:strings.LastIndexByte(k, '/')]] = true
		}
	}
	if diff := cmp.Diff(live, values); diff != "" {
		t.Errorf("I2 over the plain store: live elements and values differ (-live +value):\n%s", diff)
	}
}
