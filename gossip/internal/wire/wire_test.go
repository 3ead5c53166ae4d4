package wire

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ipfs/go-cid"
	"github.com/klauspost/compress/zstd"
	"github.com/multiformats/go-multihash"
)

func cidFor(s string) []byte {
	sum, _ := multihash.Sum([]byte(s), multihash.SHA2_256, -1)
	return cid.NewCidV1(cid.DagProtobuf, sum).Bytes()
}

func TestFrames(t *testing.T) {
	long := bytes.Repeat([]byte{7}, 300<<10)
	for _, tc := range []struct {
		name  string
		in    []byte
		limit int
		want  []byte
		err   error
	}{
		{"empty", []byte{0}, 10, []byte{}, nil},
		{"short", []byte{2, 8, 9}, 10, []byte{8, 9}, nil},
		{"at the limit", []byte{2, 8, 9}, 2, []byte{8, 9}, nil},
		{"above the limit", []byte{3, 8, 9, 9}, 2, nil, ErrTooLarge},
		{"long", append(binary.AppendUvarint(nil, uint64(len(long))), long...), 1 << 20, long, nil},
		{"nothing", nil, 10, nil, io.EOF},
		{"length cut off", []byte{0x80}, 10, nil, ErrCutOff},
		{"body cut off", []byte{5, 1, 2}, 10, nil, ErrCutOff},
		{"long body cut off", []byte{0x80, 0x80, 0x10, 1, 2}, 1 << 20, nil, ErrCutOff},
		{"length beyond 64 bits", bytes.Repeat([]byte{0xff}, 11), 10, nil, ErrForm},
		{"length spelled long", []byte{0x82, 0}, 10, nil, ErrForm},
		{"huge length", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, 1 << 20, nil, ErrTooLarge},
	} {
		got, err := ReadFrame(bufio.NewReader(bytes.NewReader(tc.in)), tc.limit)
		if !errors.Is(err, tc.err) || !bytes.Equal(got, tc.want) {
			t.Errorf("%s: got %d bytes, %v; want %d bytes, %v", tc.name, len(got), err, len(tc.want), tc.err)
		}
	}
}

func TestMessageBounds(t *testing.T) {
	digest := make([]byte, 32)
	many := make([][]byte, MaxHeads+1)
	for i := range many {
		many[i] = cidFor(string(rune(i)))
	}
	good := Greeting{Heads: many[:MaxHeads], Digest: digest}
	for _, tc := range []struct {
		name string
		m    Message
		ok   bool
	}{
		{"full greeting", Message{Greeting: &good}, true},
		{"announcement", Message{Heads: many[:1], Blocks: [][]byte{{1}}}, true},
		{"too many heads", Message{Heads: many}, false},
		{"too many heads in a greeting", Message{Greeting: &Greeting{Heads: many, Digest: digest}}, false},
		{"no digest", Message{Greeting: &Greeting{}}, false},
		{"head that is no CID", Message{Heads: [][]byte{{1, 2, 3}}}, false},
		{"delta without a head", Message{Blocks: [][]byte{{1}}}, false},
		{"large delta", Message{Heads: many[:1], Blocks: [][]byte{make([]byte, MaxInline+1)}}, false},
		{"empty delta", Message{Heads: many[:1], Blocks: [][]byte{{}}}, false},
		{"large address record", Message{Greeting: &Greeting{Digest: digest, Addrs: make([]byte, MaxEnvelope+1)}}, false},
	} {
		p, err := NewPacker()
		if err != nil {
			t.Fatal(err)
		}
		b, err := p.Pack(&tc.m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Unpack(b)
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v, want ok %v", tc.name, err, tc.ok)
		}
		if tc.ok && !cmp.Equal(got, &tc.m, cmpopts.EquateEmpty()) {
			t.Errorf("%s: %s", tc.name, cmp.Diff(&tc.m, got))
		}
	}
}

func TestAPackedBombIsRefused(t *testing.T) {
	p, err := NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	bomb := enc.EncodeAll(make([]byte, 100<<20), []byte{packZstd})
	if len(bomb) > MaxMessage {
		t.Fatalf("the bomb is %d bytes", len(bomb))
	}
	if _, err := p.Unpack(bomb); !errors.Is(err, ErrForm) {
		t.Errorf("got %v", err)
	}
}

func send(t testing.TB, verdict byte, blocks ...[]byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var c Codecs
	w, release, err := c.Writer(&buf)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for _, b := range blocks {
		if err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.End(verdict); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func read(b []byte) (blocks [][]byte, r *BlockReader, err error) {
	var c Codecs
	r, release, err := c.Reader(bytes.NewReader(b))
	if err != nil {
		return nil, nil, err
	}
	defer release()
	for {
		raw, err := r.Next()
		if err == io.EOF {
			return blocks, r, nil
		}
		if err != nil {
			return blocks, r, err
		}
		blocks = append(blocks, raw)
	}
}

func TestAStreamOfDeltasAndEveryCutOfIt(t *testing.T) {
	blocks := [][]byte{[]byte("one"), bytes.Repeat([]byte("two"), 50_000), bytes.Repeat([]byte{3}, MaxBlock)}
	whole := send(t, VerdictPartial, blocks...)
	got, r, err := read(whole)
	if err != nil || r.Verdict() != VerdictPartial || !cmp.Equal(got, blocks) {
		t.Fatalf("%d deltas, verdict %d, %v", len(got), r.Verdict(), err)
	}
	for cut := range len(whole) - 1 {
		got, _, err := read(whole[:cut])
		if err == nil && cut < len(whole)-8 { // zstd's own end mark carries nothing
			t.Fatalf("cut at %d of %d: no error", cut, len(whole))
		}
		for i := range got {
			if !bytes.Equal(got[i], blocks[i]) {
				t.Fatalf("cut at %d: delta %d changed", cut, i)
			}
		}
	}
}

func TestAHugeDeltaIsRefusedUnread(t *testing.T) {
	var buf bytes.Buffer
	enc, _ := zstd.NewWriter(&buf, zstd.WithWindowSize(window))
	_, _ = enc.Write(binary.AppendUvarint(nil, MaxBlock+1))
	_, _ = enc.Write(make([]byte, 10<<20))
	_ = enc.Close()
	if _, _, err := read(buf.Bytes()); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestGarbageForAStreamIsOfNoForm(t *testing.T) {
	wide := new(bytes.Buffer)
	enc, _ := zstd.NewWriter(wide, zstd.WithWindowSize(8<<20))
	_, _ = enc.Write(make([]byte, 10<<20))
	_ = enc.Close()
	broken := send(t, VerdictDone, bytes.Repeat([]byte("abc"), 1000))
	broken[len(broken)/2] ^= 0x55
	for name, b := range map[string][]byte{"text": []byte("no zstd at all"), "wide window": wide.Bytes(), "flipped bit": broken} {
		if _, _, err := read(b); !errors.Is(err, ErrForm) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// pins is a delta of n pins as they look in the state: a key with the CID in
// base32, and a value with it in binary.
func pins(n int) []byte {
	r := rand.NewChaCha8([32]byte{4})
	var out []byte
	for range n {
		var b [32]byte
		_, _ = r.Read(b[:])
		sum := sha256.Sum256(b[:])
		raw := append([]byte{1, 0x55, 0x12, 0x20}, sum[:]...)
		out = append(out, "\x0a\xb0\x01\x0a\x42/p/b"+base32.StdEncoding.WithPadding(-1).EncodeToString(raw)+"/-"...)
		out = append(out, "\xa5acX$"...)
		out = append(out, raw...)
		out = append(out, "cminbmax2dmodeirecursiveename"...)
	}
	return out
}

func TestAGroupOf500PinsStaysUnderItsBudget(t *testing.T) {
	raw := pins(500)
	if per := len(send(t, VerdictDone, raw)) / 500; per > 120 {
		t.Errorf("%d bytes a pin (%d unpacked), want at most 120: the rest of the 150 is for heads", per, len(raw)/500)
	} else {
		t.Logf("%d bytes a pin, %d unpacked", per, len(raw)/500)
	}
}

func FuzzUnpack(f *testing.F) {
	p, err := NewPacker()
	if err != nil {
		f.Fatal(err)
	}
	for _, m := range []Message{
		{Greeting: &Greeting{Heads: [][]byte{cidFor("a")}, Digest: make([]byte, 32), Seq: 3}},
		{Heads: [][]byte{cidFor("a")}, Blocks: [][]byte{bytes.Repeat([]byte("x"), 1000)}},
		{Statement: []byte("s")},
	} {
		b, _ := p.Pack(&m)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := p.Unpack(b)
		if err != nil {
			return
		}
		again, err := p.Pack(m)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := p.Unpack(again); err != nil || !cmp.Equal(m, back, cmpopts.EquateEmpty()) {
			t.Fatalf("%v: %s", err, cmp.Diff(m, back))
		}
	})
}

func FuzzSync(f *testing.F) {
	req, _ := encode(Request{Greeting: Greeting{Digest: make([]byte, 32)}, Want: [][]byte{cidFor("w")}, Seqs: []Seq{{Peer: []byte("p"), Seq: 1}}})
	ans, _ := encode(Answer{Greeting: Greeting{Digest: make([]byte, 32)}, Statements: [][]byte{{1}}})
	f.Add(req)
	f.Add(ans)
	f.Add(append(ans, send(f, VerdictDone, []byte("delta"))...))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := func() *bufio.Reader { return bufio.NewReader(bytes.NewReader(b)) }
		_, _ = ReadMessage[Request](r(), MaxRequest)
		_, _ = ReadMessage[Knock](r(), MaxRequest)
		_, _ = ReadMessage[Welcome](r(), MaxAnswer)
		if _, err := ReadMessage[Answer](r(), MaxAnswer); err != nil {
			return
		}
		_, _, _ = read(b)
	})
}

func FuzzBlocks(f *testing.F) {
	f.Add(send(f, VerdictDone, []byte("one"), []byte("two")))
	f.Fuzz(func(t *testing.T, b []byte) {
		blocks, _, err := read(b)
		if err != nil {
			return
		}
		for _, raw := range blocks {
			if len(raw) == 0 || len(raw) > MaxBlock {
				t.Fatalf("a delta of %d bytes", len(raw))
			}
		}
	})
}

func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	err := WriteMessage(&buf, v)
	return buf.Bytes(), err
}
