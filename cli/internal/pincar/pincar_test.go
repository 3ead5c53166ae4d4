package pincar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-cid"
	car "github.com/ipld/go-car/v2"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

func export(n int, fail error) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if !yield([]byte(`{"pinfold_export":1,"cluster":"bafyc","name":"home","exported_by":"x","exported_at":"2026-01-01T00:00:00Z","signature":"AQI="}`), nil) {
			return
		}
		var e dialect.Encoder
		for i := range n {
			p := pinset.Pin{CID: numbered(i), Name: fmt.Sprintf("nr \"%d\" <č>\n", i), Size: 1 << 60, Metadata: map[string]string{"cid": "x", "/": "y"}}
			if !yield(e.Pin(nil, dialect.PinReply{Pin: p}), nil) {
				return
			}
		}
		if fail != nil {
			yield(nil, fail)
			return
		}
		yield(fmt.Appendf(nil, `{"pinfold_export_pins":%d,"digest":"ab","signature":"AQI="}`, n), nil)
	}
}

func numbered(i int) cid.Cid {
	h, err := multihash.Sum(fmt.Append(nil, i), multihash.SHA2_256, -1)
	if err != nil {
		panic(err) // sha2-256 is always there
	}
	return cid.NewCidV1(cid.Raw, h)
}

func TestAnExportSurvivesTheCAR(t *testing.T) {
	for _, n := range []int{0, 1, 2500} {
		path := filepath.Join(t.TempDir(), "x.car")
		root, err := Write(t.Context(), path, export(n, nil))
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := car.NewBlockReader(f)
		if err != nil || r.Version != 1 || len(r.Roots) != 1 || !r.Roots[0].Equals(root) {
			t.Fatalf("%d pins: a CAR of version %d with roots %v, want %s: %v", n, r.Version, r.Roots, root, err)
		}
		if !Is(f) {
			t.Error("not taken for a CAR")
		}
		var out bytes.Buffer
		if err := Read(f, &out); err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
		i := 0
		for want, err := range export(n, nil) {
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 || i == n+1 {
				if len(lines[i]) != len(want) {
					t.Errorf("line %d: %s, want %s", i+1, lines[i], want)
				}
			} else if got, err := dialect.DecodeForeignPin(lines[i]); err != nil || got.Name != fmt.Sprintf("nr \"%d\" <č>\n", i-1) || !got.CID.Equals(numbered(i-1)) || got.Size != 1<<60 || got.Metadata["/"] != "y" {
				t.Fatalf("line %d: %s: %v", i+1, lines[i], err)
			}
			i++
		}
		if i != len(lines) {
			t.Errorf("%d lines, want %d", len(lines), i)
		}
	}
}

func TestWhatIsNoExportIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.car")
	if _, err := Write(context.Background(), path, export(5, errors.New("the daemon went away"))); err == nil {
		t.Error("no error of an export that broke off")
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("half of an export is left: %v", err)
	}
	if _, err := Write(context.Background(), path, export(2500, nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(context.Background(), path, export(1, nil)); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a file that is there: %v", err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	read := func(b []byte) error {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		return Read(f, new(bytes.Buffer))
	}
	spoilt := bytes.Clone(whole)
	spoilt[len(spoilt)/2] ^= 1
	for name, b := range map[string][]byte{"cut off": whole[:len(whole)-100], "cut in the middle": whole[:len(whole)/2], "a byte was changed": spoilt, "empty": nil} {
		if err := read(b); pinset.KindOf(err) != pinset.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
