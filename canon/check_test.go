package canon

import (
	"bytes"
	"fmt"
	"math/rand"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/ipfs/go-cid"
)

// roundTrip is the definition of Check: what decodes, is of the allowed kinds and
// encodes to the same bytes.
func roundTrip(b []byte) error {
	var v any
	if err := dec.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("%w: %v", ErrNotCanonical, err)
	}
	if err := checkValue(v); err != nil {
		return err
	}
	again, err := enc.Marshal(v)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrNotCanonical, err)
	}
	if !bytes.Equal(again, b) {
		return ErrNotCanonical
	}
	return nil
}

func checkValue(v any) error {
	switch v := v.(type) {
	case nil, bool, uint64, int64, string, []byte:
		return nil
	case []any:
		for _, e := range v {
			if err := checkValue(e); err != nil {
				return err
			}
		}
		return nil
	case map[string]any:
		for _, e := range v {
			if err := checkValue(e); err != nil {
				return err
			}
		}
		return nil
	case cbor.Tag:
		raw, ok := v.Content.([]byte)
		if v.Number != 42 || !ok || len(raw) < 2 || raw[0] != 0 {
			return fmt.Errorf("%w: tag %d", ErrNotCanonical, v.Number)
		}
		if _, err := cid.Cast(raw[1:]); err != nil {
			return fmt.Errorf("%w: link: %v", ErrNotCanonical, err)
		}
		return nil
	default:
		return fmt.Errorf("%w: a %T", ErrNotCanonical, v)
	}
}

// spelling makes an encoding at random, mostly right.
func spelling(rng *rand.Rand, depth int) []byte {
	kind := rng.Intn(12)
	if depth > 17 || depth > 3 && rng.Intn(2) == 0 && depth < 14 {
		kind %= 6
	}
	number := func(major byte) []byte {
		n := rng.Uint64() >> rng.Intn(64)
		b, _ := cbor.Marshal(n)
		b[0] |= major << 5
		return b
	}
	counted := func(major byte, n int) []byte {
		b, _ := cbor.Marshal(uint64(n))
		if rng.Intn(60) == 0 {
			b = []byte{25, byte(n >> 8), byte(n)}
		}
		b[0] |= major << 5
		return b
	}
	text := func() []byte {
		s := fmt.Sprint(rng.Intn(30))[rng.Intn(2):]
		if rng.Intn(40) == 0 {
			s += "\xff"
		}
		return append(counted(majorText, len(s)), s...)
	}
	switch kind {
	case 0, 1:
		return number(byte(kind))
	case 2:
		return append(counted(majorBytes, 3), 1, 2, 3)
	case 3, 4:
		return text()
	case 5:
		return [][]byte{{0xf4}, {0xf5}, {0xf6}, {0xf7}, {0xf8, 0xff}, {0xf9, 0, 0}, {0xe0}, {0xff}, {0x9f, 0xff}, {0xfb, 0, 0, 0, 0, 0, 0, 0, 0}}[min(rng.Intn(60), 9)%10]
	case 6, 7:
		n := rng.Intn(4)
		b := counted(majorArray, n)
		for range n {
			b = append(b, spelling(rng, depth+1)...)
		}
		return b
	case 8:
		c := cid.NewCidV1(cid.Raw, append([]byte{0, 1}, byte(rng.Intn(9)))).Bytes()
		raw := append([]byte{byte(rng.Intn(20) / 19)}, c[:len(c)-rng.Intn(20)/19]...)
		tag := []byte{0xd8, []byte{42, 42, 42, 42, 42, 42, 24, 43}[rng.Intn(8)]}
		return append(append(tag, counted(majorBytes, len(raw))...), raw...)
	}
	n := rng.Intn(4)
	b := counted(majorMap, n)
	for i := range n {
		key := []byte{byte(0x61 + rng.Intn(40)/39), byte('a' + i)}
		if rng.Intn(40) == 0 {
			key = text()
		}
		b = append(append(b, key...), spelling(rng, depth+1)...)
	}
	return b
}

// agree fails unless Check and its definition say the same.
func agree(t *testing.T, b []byte) (canonical bool) {
	t.Helper()
	got, want := Check(b), roundTrip(b)
	if (got == nil) != (want == nil) {
		t.Fatalf("Check(%x) = %v, want %v", b, got, want)
	}
	return got == nil
}

func TestCheckIsARoundTrip(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	good := 0
	for range 200_000 {
		b := spelling(rng, 0)
		if agree(t, b) {
			good++
		}
		if i := rng.Intn(len(b)); rng.Intn(2) == 0 {
			b[i] ^= 1 << rng.Intn(8)
			agree(t, b)
			agree(t, b[:i])
		}
	}
	if good < 20_000 {
		t.Errorf("only %d of the encodings were canonical: the test looks at too little", good)
	}
}

func TestCheckAtItsLimits(t *testing.T) {
	nested := func(n int, open, core byte) []byte {
		b := bytes.Repeat([]byte{open}, n)
		if open == 0xa1 {
			b = bytes.Repeat([]byte{open, 0x61, 'a'}, n)
		}
		return append(b, core)
	}
	array := func(n int) []byte {
		return append([]byte{0x9a, 0, byte(n >> 16), byte(n >> 8), byte(n)}, make([]byte, n)...)
	}
	for _, b := range [][]byte{
		nested(16, 0x81, 0), nested(17, 0x81, 0), nested(16, 0xa1, 0), nested(17, 0xa1, 0),
		nested(16, 0x81, 0x80), nested(15, 0x81, 0x80), array(65536), array(65537),
		{0x3b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {0x3b, 0x80, 0, 0, 0, 0, 0, 0, 0},
		{0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {0xc2, 0x41, 1}, {0xd9, 0xd9, 0xf7, 1}, {0xd8, 42, 0xd8, 42, 0x42, 0, 1},
	} {
		agree(t, b)
	}
}

func BenchmarkCheck(b *testing.B) {
	v, err := Marshal(map[string]any{"name": "pin number 12345", "min": 2, "max": 3, "at": 1_700_000_000})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := Check(v); err != nil {
			b.Fatal(err)
		}
	}
}
