package statement

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/canon"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/identity/identitytest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func full(c *identitytest.Cluster) Statement {
	return Statement{
		Author: c.ID(1), Seq: 7, At: identitytest.Start(), View: [32]byte{1, 2, 3},
		Vector: map[peer.ID]uint64{c.ID(0): 12, c.ID(1): 3, c.ID(2): 1 << 40},
		Items:  1200, Bytes: 6e11, Missing: 2, Except: Except(slices.Values([]uint64{9, 1 << 63})),
		Since: identitytest.Start().Add(-time.Hour), Count: 4000, Digest: bytes.Repeat([]byte{4}, 32),
	}
}

var equal = cmp.AllowUnexported(Exceptions{})

func TestStatementSurvivesAndIsGolden(t *testing.T) {
	c := identitytest.New(t, 3)
	for name, s := range map[string]Statement{
		"full":    full(c),
		"chained": {Author: c.ID(1), Seq: 2, At: identitytest.Start(), Vector: map[peer.ID]uint64{}, Refused: 3, Prev: bytes.Repeat([]byte{5}, 32)},
		"empty":   {Author: c.ID(1), Seq: 1, At: identitytest.Start(), Vector: map[peer.ID]uint64{}},
	} {
		raw, err := s.Seal(c.Keys[1], c.Founding.ID())
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := Open(c.Founding.ID(), raw)
		if err != nil {
			t.Fatal(name, err)
		}
		if diff := cmp.Diff(&s, got, equal); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(hex.EncodeToString(raw)+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || string(want) != hex.EncodeToString(raw)+"\n" {
			t.Errorf("%s: got %x, want %s (%v)", name, raw, want, err)
		}
	}
}

func TestStatementRefusesWhatCannotBe(t *testing.T) {
	c := identitytest.New(t, 3)
	good := record{Seq: 1, View: make([]byte, 32)}
	for name, change := range map[string]func(*record){
		"nothing wrong":         func(*record) {},
		"no seq":                func(r *record) { r.Seq = 0 },
		"short view":            func(r *record) { r.View = r.View[1:] },
		"short digest":          func(r *record) { r.Digest = []byte{1} },
		"a time after 9999":     func(r *record) { r.At = maxUnix + 1 },
		"an author twice":       func(r *record) { r.Vector = []heard{{[]byte("a"), 1}, {[]byte("a"), 2}} },
		"authors unsorted":      func(r *record) { r.Vector = []heard{{[]byte("b"), 1}, {[]byte("a"), 2}} },
		"65 bits":               func(r *record) { r.Bits, r.Except = 65, make([]byte, 8) },
		"a first one after one": func(r *record) { r.Prev = make([]byte, 32) },
		"a short hash":          func(r *record) { r.Seq, r.Prev = 2, []byte{1} },
		"bits of nothing":       func(r *record) { r.Bits = 8 },
		"exceptions cut":        func(r *record) { r.Bits, r.Except = 64, make([]byte, 9) },
		"too many exceptions":   func(r *record) { r.Bits, r.Except = 64, make([]byte, 8*(MaxExceptions+1)) },
		"exceptions too long":   func(r *record) { r.Bits, r.Except = 8, []byte{1, 0, 0, 0, 0, 0, 0, 1} },
		"exceptions unsorted":   func(r *record) { r.Bits, r.Except = 8, []byte{2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0} },
	} {
		r := good
		change(&r)
		payload, err := canon.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := identity.Seal(c.Keys[1], kind, c.Founding.ID(), payload)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(c.Founding.ID(), raw); (err == nil) != (name == "nothing wrong") {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := full(c)
	raw, _ := s.Seal(c.Keys[1], c.Founding.ID())
	if _, err := Open("another", raw); !errors.Is(err, identity.ErrForged) {
		t.Errorf("another cluster's: %v", err)
	}
}

// A field of a newer version does not make a statement unreadable.
func TestStatementOfANewerVersionIsRead(t *testing.T) {
	c := identitytest.New(t, 3)
	payload, _ := canon.Marshal(map[string]any{
		"seq": uint64(1), "at": uint64(0), "view": make([]byte, 32), "vector": []any{}, "items": uint64(5), "bytes": uint64(6), "challenge": []byte{1},
	})
	raw, err := identity.Seal(c.Keys[1], kind, c.Founding.ID(), payload)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := Open(c.Founding.ID(), raw); err != nil || s.Items != 5 {
		t.Errorf("%+v, %v", s, err)
	}
}

// Exceptions may claim less, never more: every hash that was put in is excepted,
// and up to the limit nothing else is.
func TestExceptionsNeverMiss(t *testing.T) {
	for _, n := range []int{0, 1, 2, 100, MaxExceptions - 1, MaxExceptions, MaxExceptions + 1, 3 * MaxExceptions, 50000, 200000} {
		rnd := rand.New(rand.NewSource(int64(n)))
		in := map[uint64]bool{}
		var all []uint64
		for range n {
			h := rnd.Uint64()
			in[h] = true
			all = append(all, h)
		}
		x := Except(slices.Values(append(all, all[:n/3]...)))
		for h := range in {
			if !x.Has(h) {
				t.Fatalf("%d: %x is not excepted", n, h)
			}
		}
		if len(x.prefixes) > MaxExceptions {
			t.Fatalf("%d: %d prefixes", n, len(x.prefixes))
		}
		wrong := 0
		for range 20000 {
			if h := rnd.Uint64(); x.Has(h) && !in[h] {
				wrong++
			}
		}
		if n <= MaxExceptions && wrong > 0 {
			t.Errorf("%d: %d others are excepted", n, wrong)
		}
		again, err := parseExceptions(uint64(x.bits), x.bytes())
		if err != nil || !again.Equal(x) {
			t.Errorf("%d: %v", n, err)
		}
	}
}

func store() ds.Datastore { return dssync.MutexWrap(ds.NewMapDatastore()) }

func open(t *testing.T, c *identitytest.Cluster, i int, s ds.Datastore, members ...int) *Book {
	t.Helper()
	b, err := OpenBook(context.Background(), s, c.Keys[i], c.Founding.ID(), func(id peer.ID) bool {
		return slices.ContainsFunc(members, func(j int) bool { return c.ID(j) == id })
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBookKeepsTheLatestOfEachMember(t *testing.T) {
	ctx, c := context.Background(), identitytest.New(t, 4)
	st := store()
	b := open(t, c, 0, st, 0, 1, 2)
	say := func(author int, seq uint64) []byte {
		s := Statement{Seq: seq, Vector: map[peer.ID]uint64{}}
		raw, err := s.Seal(c.Keys[author], c.Founding.ID())
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for _, tc := range []struct {
		name  string
		raw   []byte
		fresh bool
		want  uint64 // seq of member 1 afterwards
	}{
		{"the first", say(1, 3), true, 3},
		{"the same again", say(1, 3), false, 3},
		{"an older one", say(1, 2), false, 3},
		{"a newer one", say(1, 9), true, 9},
		{"a stranger's is passed over", say(3, 1), false, 9},
		{"another member's", say(2, 1), true, 9},
	} {
		fresh, err := b.Accept(ctx, tc.raw)
		if err != nil || fresh != tc.fresh || b.Seqs()[c.ID(1)] != tc.want {
			t.Errorf("%s: fresh %v, seqs %v, %v", tc.name, fresh, b.Seqs(), err)
		}
	}
	forged := say(1, 99)
	forged[len(forged)-1] ^= 1
	if _, err := b.Accept(ctx, forged); !errors.Is(err, identity.ErrForged) {
		t.Errorf("forged: %v", err)
	}
	again := open(t, c, 0, st, 0, 1, 2)
	if diff := cmp.Diff(b.Seqs(), again.Seqs()); diff != "" {
		t.Errorf("opened again: %s", diff)
	}
	if !bytes.Equal(again.Record(c.ID(1)), say(1, 9)) || again.Latest(c.ID(2)) == nil {
		t.Error("opened again: other statements")
	}
	removed := open(t, c, 0, st, 0, 1)
	if removed.Record(c.ID(2)) != nil || removed.Latest(c.ID(2)) != nil || len(removed.Seqs()) != 1 {
		t.Error("a removed member's word still counts")
	}
}

func TestOwnSeqRisesOverRestartsAndLosses(t *testing.T) {
	ctx, c := context.Background(), identitytest.New(t, 2)
	st := store()
	b := open(t, c, 0, st, 0, 1)
	var last []byte
	for want := uint64(1); want < 4; want++ {
		raw, err := b.Say(ctx, Statement{Vector: map[peer.ID]uint64{}})
		if err != nil || b.Seqs()[c.ID(0)] != want {
			t.Fatalf("seq %d, want %d: %v", b.Seqs()[c.ID(0)], want, err)
		}
		last = raw
		b = open(t, c, 0, st, 0, 1) // restart
	}
	lost := open(t, c, 0, store(), 0, 1)
	if fresh, err := lost.Accept(ctx, last); fresh || err != nil {
		t.Errorf("own statement from others: fresh %v, %v", fresh, err)
	}
	if !lost.Behind() {
		t.Error("it does not know that it is behind")
	}
	if _, err := lost.Say(ctx, Statement{Vector: map[peer.ID]uint64{}}); err != nil || lost.Seqs()[c.ID(0)] != 4 || lost.Behind() {
		t.Errorf("after the loss: seq %v, %v", lost.Seqs(), err)
	}
}

// A statement that did not reach the disk is not said, and the next one that does
// has the next seq.
func TestSayFailsWithTheStore(t *testing.T) {
	ctx, c := context.Background(), identitytest.New(t, 1)
	st := &failing{Datastore: store()}
	b := open(t, c, 0, st, 0)
	for _, fail := range []string{"put", "sync"} {
		st.fail = fail
		if raw, err := b.Say(ctx, Statement{Vector: map[peer.ID]uint64{}}); err == nil || raw != nil {
			t.Errorf("%s: said %x", fail, raw)
		}
		if b.Latest(c.ID(0)) != nil {
			t.Errorf("%s: it counts", fail)
		}
	}
	st.fail = ""
	if _, err := b.Say(ctx, Statement{Vector: map[peer.ID]uint64{}}); err != nil || b.Seqs()[c.ID(0)] != 1 {
		t.Errorf("afterwards: %v %v", b.Seqs(), err)
	}
}

type failing struct {
	ds.Datastore
	fail string
}

func (f *failing) Put(ctx context.Context, k ds.Key, v []byte) error {
	if f.fail == "put" {
		return fmt.Errorf("disk full")
	}
	return f.Datastore.Put(ctx, k, v)
}

func (f *failing) Sync(ctx context.Context, k ds.Key) error {
	if f.fail == "sync" {
		return fmt.Errorf("disk full")
	}
	return f.Datastore.Sync(ctx, k)
}

func FuzzOpen(f *testing.F) {
	c := identitytest.New(f, 3)
	s := full(c)
	raw, err := s.Seal(c.Keys[1], c.Founding.ID())
	if err != nil {
		f.Fatal(err)
	}
	_, payload, err := identity.Unseal(kind, c.Founding.ID(), raw)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload)
	f.Fuzz(func(t *testing.T, payload []byte) {
		raw, err := identity.Seal(c.Keys[1], kind, c.Founding.ID(), payload)
		if err != nil {
			t.Skip()
		}
		s, err := Open(c.Founding.ID(), raw)
		if err != nil {
			return
		}
		again, err := s.Seal(c.Keys[1], c.Founding.ID())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Open(c.Founding.ID(), again); err != nil || !cmp.Equal(s, got, equal) {
			t.Fatalf("%x: %v", payload, err)
		}
	})
}
