package block

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-ds-crdt/pb"

	"github.com/pinfold/pinfold/identity/identitytest"
)

func sample(t testing.TB) *Block {
	key := identitytest.Key(t, 0)
	b, err := Seal("cluster", key.Private(), Envelope{Author: key.ID(), Seq: 3, Epoch: 1},
		&pb.Delta{Priority: 9, Elements: []*pb.Element{{Key: "/p/a/-", Value: []byte("v")}}},
		[]cid.Cid{CIDOf([]byte("parent"))})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	b := sample(t)
	for name, open := range map[string]func() (*Block, error){
		"open": func() (*Block, error) { return Open("cluster", b.Raw) },
		"read": func() (*Block, error) { return Read(b.Raw) },
	} {
		got, err := open()
		if err != nil {
			t.Fatal(name, err)
		}
		if got.CID != b.CID || got.Envelope != b.Envelope || got.Delta.Priority != 9 || len(got.Parents) != 1 ||
			!bytes.Equal(got.Delta.Elements[0].Value, []byte("v")) {
			t.Errorf("%s: %+v, want %+v", name, got, b)
		}
	}
	if _, err := Open("another", b.Raw); !errors.Is(err, ErrForm) {
		t.Errorf("another cluster: %v", err)
	}
}

// TestGolden fixes the encoding: every peer must make the same bytes.
func TestGolden(t *testing.T) {
	const want = "122a0a2401701220e47125968b3b71049fbc4802d1e40a71ea1359decfabacf70b34588037d4ff0c120018000a8a010a0b0a062f702f612f2d1a01761809a20678012600240801122010938c05a263d4c609445e64dbb93bba090db49c3658aa05851efd1783ce340c000000000000000300000000000000019d34a9399b46a1e4b928a6912a46f06ecb563333d7d77c6edb4091d7f5996dc1e4c4b08f8e6defd6255d04cf50650874001d3e012ba41e2bb0a36bf4331c9c07"
	if got := hex.EncodeToString(sample(t).Raw); got != want {
		t.Errorf("block\n%s, want\n%s", got, want)
	}
}

// TestEveryBitCounts: no flipped bit passes.
func TestEveryBitCounts(t *testing.T) {
	b := sample(t)
	for i := range len(b.Raw) * 8 {
		raw := bytes.Clone(b.Raw)
		raw[i/8] ^= 1 << (i % 8)
		if _, err := Open("cluster", raw); !errors.Is(err, ErrForm) {
			t.Errorf("bit %d flipped: %v", i, err)
		}
	}
	for n := range len(b.Raw) {
		if _, err := Open("cluster", b.Raw[:n]); !errors.Is(err, ErrForm) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(sample(f).Raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if b, err := Open("cluster", raw); err == nil && b.CID != CIDOf(raw) {
			t.Error("opened under another CID")
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	raw := sample(b).Raw
	for b.Loop() {
		if _, err := Open("cluster", raw); err != nil {
			b.Fatal(err)
		}
	}
}
