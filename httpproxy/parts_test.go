package httpproxy

import (
	"encoding/hex"
	"io"
	"log/slog"
	"net/url"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestWaitingIsMet(t *testing.T) {
	at := func(n int) []peer.ID { return make([]peer.ID, n) }
	for _, tc := range []struct {
		w    waiting
		s    pinset.Summary
		want bool
	}{
		{accepted, pinset.Summary{}, true},
		{one, pinset.Summary{}, false},
		{one, pinset.Summary{Copies: 1}, true},
		{least, pinset.Summary{Copies: 1, Want: pinset.Replication{Min: 2, Max: 3}, Allocation: at(3)}, false},
		{least, pinset.Summary{Copies: 2, Want: pinset.Replication{Min: 2, Max: 3}, Allocation: at(3)}, true},
		{least, pinset.Summary{Copies: 1, Want: pinset.Replication{Min: 2, Max: 3}, Allocation: at(1)}, true},
		{least, pinset.Summary{Copies: 0, Want: pinset.Replication{Min: 2, Max: 3}}, false},
		{least, pinset.Summary{Copies: 2, Want: pinset.Replication{Min: -1, Max: -1}, Allocation: at(3)}, false},
		{all, pinset.Summary{Copies: 2, Want: pinset.Replication{Min: 2, Max: 3}, Allocation: at(3)}, false},
		{all, pinset.Summary{Copies: 3, Want: pinset.Replication{Min: 2, Max: 3}, Allocation: at(3)}, true},
	} {
		if got := tc.w.met(tc.s); got != tc.want {
			t.Errorf("%s with %+v: %v", tc.w, tc.s, got)
		}
	}
}

const carV1 = "3aa265726f6f747381d82a58250001551220dd01c8ec2025a1eb3d4e930611a22be92c254ee0136591904c16fc1a5e6671546776657273696f6e012c01551220dd01c8ec2025a1eb3d4e930611a22be92c254ee0136591904c16fc1a5e6671546361722066696c65"

func carV2(v1 []byte) []byte {
	pragma, _ := hex.DecodeString("0aa16776657273696f6e02")
	head := make([]byte, 40)
	head[16] = 51 // the data follows at once
	return append(append(pragma, head...), v1...)
}

func TestRootsOfCarFiles(t *testing.T) {
	v1, err := hex.DecodeString(carV1)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"version 1": v1, "version 2": carV2(v1)} {
		roots, err := readCarHeader(b)
		if err != nil || len(roots) != 1 || roots[0].String() != "bafkreig5aheoyibfuhvt2tutayi2ek7jfqsu5yatmwizataw7qnf4ztrkq" {
			t.Errorf("%s: %v, %v", name, roots, err)
		}
		if _, err := readCarHeader(b[:20]); err != io.ErrUnexpectedEOF {
			t.Errorf("%s, its beginning: %v", name, err)
		}
	}
	if _, err := readCarHeader([]byte("not a car")); err == io.ErrUnexpectedEOF || err == nil {
		t.Logf("it may yet become one: %v", err)
	}
}

func FuzzCarHeader(f *testing.F) {
	v1, _ := hex.DecodeString(carV1)
	f.Add(v1)
	f.Add(carV2(v1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if roots, err := readCarHeader(b); err != nil && len(roots) > 0 {
			t.Fatalf("%v with %v", roots, err)
		}
	})
}

// FuzzOptions holds that whatever passes can be read, and that nothing else does.
func FuzzOptions(f *testing.F) {
	f.Add("recursive=true&name=x")
	f.Add("recursive=perhaps")
	f.Add("mode=-1&mtime=99999999999999")
	f.Add("r=1&recursive=0&cid-version=0x1")
	known := append(addOptions(), everywhere()...)
	f.Fuzz(func(t *testing.T, raw string) {
		query, _ := url.ParseQuery(raw)
		opts, err := readOptions(query, known)
		if err != nil {
			return
		}
		c := &call{opts: opts}
		for _, o := range known {
			for name := range query {
				if len(query[name]) > 1 && name == o.names {
					t.Fatalf("%q passed with two values of %s", raw, name)
				}
			}
		}
		c.flag("recursive", true)
		c.number("cid-version", 0)
	})
}
