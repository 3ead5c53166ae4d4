package lthash

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand"
	"testing"

	"lukechampine.com/blake3"
)

// lanewise is the definition: 1,024 additions modulo 2^16.
func lanewise(s *Sum, e Seed, sign int) {
	var l [Size]byte
	expand(e, &l)
	for i := 0; i < Size; i += 2 {
		a := binary.LittleEndian.Uint16(s[i:])
		b := binary.LittleEndian.Uint16(l[i:])
		if sign < 0 {
			b = -b
		}
		binary.LittleEndian.PutUint16(s[i:], a+b)
	}
}

func TestSumIsLanewiseAdditionModulo65536(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	var fast, slow Sum
	for i := range 500 {
		e := Of(fmt.Sprint("/p/", rng.Intn(50)), fmt.Append(nil, rng.Intn(3)))
		if i%3 == 0 {
			fast.Remove(e)
			lanewise(&slow, e, -1)
		} else {
			fast.Add(e)
			lanewise(&slow, e, 1)
		}
		if fast != slow {
			t.Fatalf("step %d: word-wise and lane-wise sums differ", i)
		}
	}
}

func TestSumForgetsOrderAndHistory(t *testing.T) {
	var a, b Sum
	for i := range 100 {
		a.Add(Of(fmt.Sprint(i), []byte("v")))
	}
	for i := 99; i >= 0; i-- {
		b.Add(Of(fmt.Sprint(i), []byte("v")))
		b.Add(Of(fmt.Sprint(i), []byte("w")))
		b.Remove(Of(fmt.Sprint(i), []byte("w")))
	}
	var c Sum
	c.Add(Of("x", nil), Of("y", nil), Of("z", nil))
	if c.Remove(Of("y", nil), Of("x", nil), Of("z", nil)); c != (Sum{}) {
		t.Error("what was added and removed at once is still there")
	}
	if a != b {
		t.Error("equal sets, different sums")
	}
	if b.Remove(Of("3", []byte("v"))); a == b {
		t.Error("different sets, equal sums")
	}
	if Of("ab", []byte("c")) == Of("a", []byte("bc")) {
		t.Error("the border between key and value is not hashed")
	}
}

func TestSumGolden(t *testing.T) {
	var s Sum
	s.Add(Of("/p/a/-", []byte{0xa0}))
	s.Add(Of("/p/b/-", []byte{0xa0}))
	d := s.Digest()
	const want = "ff0366f1adb35e16677c6e63daf66b337b6dc49ef574e54ee25cc8882e4b2350"
	if got := hex.EncodeToString(d[:]); got != want {
		t.Errorf("digest %s, want %s: every peer must compute the same", got, want)
	}
}

func TestExpansionIsBLAKE3(t *testing.T) {
	e := Of("a", []byte("b"))
	h := blake3.New(32, nil)
	h.Write(e[:])
	var want [Size]byte
	if _, err := h.XOF().Read(want[:]); err != nil {
		t.Fatal(err)
	}
	var got [Size]byte
	if expand(e, &got); got != want {
		t.Error("the expansion is not BLAKE3's output")
	}
}

func BenchmarkAdd(b *testing.B) {
	var s Sum
	v := make([]byte, 100)
	for b.Loop() {
		s.Add(Of("/p/bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku/-", v))
	}
}
