package canon

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type record struct {
	Name string `cbor:"name,omitempty"`
	Size uint64 `cbor:"size,omitempty"`
}

func TestCheckRefusesEverySecondSpelling(t *testing.T) {
	for _, tc := range []struct {
		name, hex string
		ok        bool
	}{
		{"map in order", "a2616101616202", true},
		{"map out of order", "a2616201616102", false},
		{"shorter key first", "a26162016161610a", false},
		{"length before bytes", "a2617a0162616102", true},
		{"repeated key", "a2616101616102", false},
		{"long integer", "a161611801", false},
		{"float", "a16161fb3ff0000000000000", false},
		{"half float", "a16161f93c00", false},
		{"indefinite map", "bf616101ff", false},
		{"trailing byte", "a16161010a", false},
		{"integer key", "a10101", false},
		{"foreign tag", "a16161c001", false},
		{"undefined", "a16161f7", false},
		{"invalid utf-8", "a1616161ff", false},
		{"cut off", "a26161", false},
		{"empty", "", false},
		{"nested array", "a16161820102", true},
		{"link to nothing", "a16161d82a4100", false},
	} {
		b, err := hex.DecodeString(tc.hex)
		if err != nil {
			t.Fatal(tc.name, err)
		}
		err = Check(b)
		if (err == nil) != tc.ok {
			t.Errorf("%s: Check(%s) = %v, want ok %v", tc.name, tc.hex, err, tc.ok)
		}
		if err != nil && !errors.Is(err, ErrNotCanonical) {
			t.Errorf("%s: %v does not wrap ErrNotCanonical", tc.name, err)
		}
	}
}

func TestUnknownFieldsSurviveAnUpdateByAnOlderPeer(t *testing.T) {
	newer := map[string]any{"name": "a", "size": uint64(3), "zone": "attic", "n": []any{uint64(1)}}
	b, err := Marshal(newer)
	if err != nil {
		t.Fatal(err)
	}
	var r record
	extra, err := UnmarshalKeeping(b, &r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(record{Name: "a", Size: 3}, r); diff != "" {
		t.Fatal(diff)
	}
	r.Size = 4
	out, err := MarshalKeeping(r, extra)
	if err != nil {
		t.Fatal(err)
	}
	newer["size"] = uint64(4)
	want, _ := Marshal(newer)
	if !bytes.Equal(out, want) {
		t.Errorf("got %x, want %x", out, want)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte{0xa1, 0x61, 0x61, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		if !agree(t, b) {
			return
		}
		var v any
		if err := Unmarshal(b, &v); err != nil {
			t.Fatalf("Check passed %x, Unmarshal: %v", b, err)
		}
		again, err := Marshal(v)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x encodes again as %x, %v", b, again, err)
		}
	})
}
