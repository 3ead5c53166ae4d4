package blocklog

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-ds-crdt/pb"

	"github.com/pinfold/pinfold/crdtstate/internal/block"
	"github.com/pinfold/pinfold/crdtstate/internal/kv"
	"github.com/pinfold/pinfold/identity/identitytest"
)

// filled is a log of n blocks with random parents, settled in rounds.
func filled(t *testing.T, rng *rand.Rand, n int) (*Log, []*block.Block) {
	db := kv.NewMemory()
	r, err := NewReader(db)
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLog(r, 0)
	if err != nil {
		t.Fatal(err)
	}
	key := identitytest.Key(t, 0)
	var all []*block.Block
	for i := range n {
		var parents []cid.Cid
		m := Meta{Height: 1}
		for range min(i, 1+rng.Intn(2)) {
			p := max(0, i-1-rng.Intn(6))
			if !slices.Contains(m.Parents, uint64(p)) {
				parents = append(parents, all[p].CID)
				m.Parents = append(m.Parents, uint64(p))
				m.Height = max(m.Height, all[p].Delta.Priority+1)
			}
		}
		b, err := block.Seal("t", key.Private(), block.Envelope{Author: key.ID(), Seq: uint64(i + 1)}, &pb.Delta{Priority: m.Height}, parents)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
		l.Append(b, m)
		if rng.Intn(3) == 0 || i == n-1 {
			var batch kv.Batch
			l.Write(&batch)
			if err := db.Apply(&batch, false); err != nil {
				t.Fatal(err)
			}
			l.Settle()
		}
	}
	return l, all
}

func closure(all []*block.Block, tops []cid.Cid) map[cid.Cid]bool {
	by := map[cid.Cid]*block.Block{}
	for _, b := range all {
		by[b.CID] = b
	}
	out := map[cid.Cid]bool{}
	for len(tops) > 0 {
		c := tops[0]
		tops = tops[1:]
		if b := by[c]; b != nil && !out[c] {
			out[c] = true
			tops = append(tops, b.Parents...)
		}
	}
	return out
}

func TestMissingIsTheDifferenceOfClosures(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	for range 60 {
		l, all := filled(t, rng, 1+rng.Intn(700))
		pick := func(n int) (out []cid.Cid) {
			for range n {
				out = append(out, all[rng.Intn(len(all))].CID)
			}
			return out
		}
		want, have := pick(1+rng.Intn(4)), append(pick(rng.Intn(4)), block.CIDOf([]byte("unknown")))
		m, err := l.Missing(want, have)
		if err != nil {
			t.Fatal(err)
		}
		expect := closure(all, want)
		for c := range closure(all, have) {
			delete(expect, c)
		}
		got := map[cid.Cid]bool{}
		last := -1
		for pos := range m.All() {
			if int(pos) <= last {
				t.Fatal("positions do not rise")
			}
			last = int(pos)
			got[all[pos].CID] = true
		}
		if fmt.Sprint(len(got)) != fmt.Sprint(len(expect)) || m.Len() != len(expect) {
			t.Fatalf("%d of %d blocks, Len %d, want %d", len(got), len(all), m.Len(), len(expect))
		}
		for c := range expect {
			if !got[c] {
				t.Fatalf("block %s is left out", c)
			}
		}
	}
}

func TestLogSurvivesReopening(t *testing.T) {
	l, all := filled(t, rand.New(rand.NewSource(2)), 50)
	again, err := NewLog(l.Reader, 50)
	if err != nil {
		t.Fatal(err)
	}
	if again.Torn() {
		t.Error("a whole log is said to be torn")
	}
	if short, err := NewLog(l.Reader, 49); err != nil || !short.Torn() {
		t.Errorf("a block beyond the checkpoint is not seen: %v", err)
	} else if pos, err := short.Position(all[49].CID); pos != -1 || err != nil {
		t.Errorf("it is at %d, %v", pos, err)
	}
	for i, b := range all {
		pos, err := again.Position(b.CID)
		if err != nil || pos != int64(i) {
			t.Fatalf("block %d is at %d, %v", i, pos, err)
		}
		m, err := again.Meta(uint64(i))
		if err != nil || m.CID != b.CID || m.Height != b.Delta.Priority || m.Seq != b.Seq || len(m.Parents) != len(b.Parents) {
			t.Fatalf("meta %+v, %v", m, err)
		}
		raw, err := again.Raw(uint64(i))
		if err != nil || string(raw) != string(b.Raw) {
			t.Fatalf("block %d: %v", i, err)
		}
	}
	if id := identitytest.Key(t, 0).ID(); again.Seq(id) != 50 {
		t.Errorf("seq %d", again.Seq(id))
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("0123456789012345678901234567890123456789012345678901234567890123456789"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = decodeMeta(1000, b)
		_, _ = decodeAuthor(b)
		_, _ = decodeFork(make([]byte, 32), b)
	})
}
