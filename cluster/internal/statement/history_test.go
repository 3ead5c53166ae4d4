package statement

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/identity/identitytest"
)

func sealed(t *testing.T, c *identitytest.Cluster, author int, s Statement) []byte {
	t.Helper()
	raw, err := s.Seal(c.Keys[author], c.Founding.ID())
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// What one peer says is a chain, over restarts and over the loss of its store.
func TestWhatIsSaidIsAChain(t *testing.T) {
	ctx, c := context.Background(), identitytest.New(t, 2)
	st := store()
	b := open(t, c, 0, st, 0, 1)
	var before []byte
	say := func() {
		t.Helper()
		raw, err := b.Say(ctx, Statement{Vector: map[peer.ID]uint64{}, Prev: []byte("not the caller's to say")})
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(c.Founding.ID(), raw)
		if err != nil {
			t.Fatal(err)
		}
		if hash := HashOf(before); before == nil && s.Prev != nil || before != nil && !bytes.Equal(s.Prev, hash[:]) {
			t.Errorf("seq %d names %x before it", s.Seq, s.Prev)
		}
		before = raw
	}
	say()
	say()
	b = open(t, c, 0, st, 0, 1)
	say()
	b = open(t, c, 0, store(), 0, 1)
	if _, err := b.Accept(ctx, before); err != nil {
		t.Fatal(err)
	}
	say()
	if rows := b.History().Rows(c.ID(0)); len(rows) != 1 || rows[0].Seq != 4 || rows[0].Hash != HashOf(before) {
		t.Errorf("%+v", rows)
	}
}

// Two statements with one seq are kept as proof; a replay is not.
func TestHistoryKeepsForksAndNotReplays(t *testing.T) {
	ctx, c := context.Background(), identitytest.New(t, 2)
	st := store()
	b := open(t, c, 0, st, 0, 1)
	at := identitytest.Start()
	honest := sealed(t, c, 1, Statement{Seq: 1, At: at, Vector: map[peer.ID]uint64{}})
	newer := sealed(t, c, 1, Statement{Seq: 2, At: at, Vector: map[peer.ID]uint64{}})
	for _, raw := range [][]byte{honest, newer, honest, newer, honest} {
		if _, err := b.Accept(ctx, raw); err != nil {
			t.Fatal(err)
		}
	}
	if forks := b.History().Forks(c.ID(1)); len(forks) != 0 || len(b.History().Rows(c.ID(1))) != 2 {
		t.Errorf("replays: forks %v, rows %v", forks, b.History().Rows(c.ID(1)))
	}
	lie := sealed(t, c, 1, Statement{Seq: 1, At: at, Items: 5, Vector: map[peer.ID]uint64{}})
	for range 2 {
		if fresh, err := b.Accept(ctx, lie); fresh || err != nil {
			t.Errorf("fresh %v, %v", fresh, err)
		}
	}
	for _, h := range []*History{b.History(), open(t, c, 0, st, 0, 1).History()} {
		if got := h.Forks(c.ID(1)); !slices.Equal(got, []uint64{1}) {
			t.Errorf("forks %v", got)
		}
		raw, err := h.Raw(ctx, c.ID(1), 1)
		if err != nil || !bytes.Equal(raw, honest) || h.Rows(c.ID(1))[0].Hash != HashOf(honest) {
			t.Errorf("the first is kept as %x, %v", raw, err)
		}
		if got := h.Authors(); !slices.Equal(got, []peer.ID{c.ID(1)}) {
			t.Errorf("authors %v", got)
		}
	}
	if raw, err := b.History().Raw(ctx, c.ID(1), 99); raw != nil || err != nil {
		t.Errorf("one that is not there: %x, %v", raw, err)
	}
	stranger := sealed(t, c, 1, Statement{Seq: 1, At: at, Items: 6, Vector: map[peer.ID]uint64{}})
	if alone := open(t, c, 0, store(), 0); must(alone.Accept(ctx, stranger)) || len(alone.History().Rows(c.ID(1))) != 0 {
		t.Error("a stranger's statement is kept")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// However long a member speaks, the history stays within its bounds, reaches back
// to its first word, and knows the latest ones and most of what changed.
func TestHistoryIsBoundedAndReachesFar(t *testing.T) {
	var rows []Kept
	start := identitytest.Start()
	changes := 0
	for n := range 5000 {
		r := Kept{Seq: uint64(n + 1), At: start.Add(time.Duration(n) * 10 * time.Minute), Size: 500}
		if n%500 == 250 {
			changes++
		}
		r.Shape = uint64(changes)
		rows = append(rows, r)
		for i := Surplus(rows); i >= 0; i = Surplus(rows) {
			rows = slices.Delete(rows, i, i+1)
		}
	}
	if len(rows) != MostKept || rows[0].Seq != 1 {
		t.Errorf("%d rows from seq %d", len(rows), rows[0].Seq)
	}
	for i, r := range rows[len(rows)-recent:] {
		if want := uint64(5000 - recent + 1 + i); r.Seq != want {
			t.Errorf("recent row %d is seq %d, want %d", i, r.Seq, want)
		}
	}
	shapes := map[uint64]bool{}
	for _, r := range rows {
		shapes[r.Shape] = true
	}
	if len(shapes) != changes+1 {
		t.Errorf("%d of %d shapes are left", len(shapes), changes+1)
	}
	big := []Kept{{Seq: 1, Size: MostBytes}, {Seq: 2, Size: MostBytes}, {Seq: 3, Size: 1}}
	if i := Surplus(big); i != 1 {
		t.Errorf("too many bytes: row %d goes", i)
	}
	if i := Surplus(big[1:]); i != -1 {
		t.Errorf("of the first and the latest, %d goes", i)
	}
	if diff := cmp.Diff(-1, Surplus(nil)); diff != "" {
		t.Error(diff)
	}
}
