package ask

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/canon"
	"github.com/pinfold/pinfold/identity/identitytest"
	"github.com/pinfold/pinfold/pinset"
)

func k(n byte) cid.Cid { return cid.NewCidV1(cid.Raw, []byte{0, 1, n}) }

var equal = cmp.Comparer(func(a, b cid.Cid) bool { return a == b })

func fullFrame(t testing.TB) Frame {
	at := identitytest.Start()
	return Frame{
		Member: &Member{
			Version: "1.2.3", Used: 5, Queued: 6, Pins: 7, IPFSError: "away",
			IPFS: pinset.NodeID{Peer: identitytest.Key(t, 1).ID(), Addresses: []string{"/ip4/127.0.0.1/tcp/4001"}, Agent: "kubo/0.42.0/"},
		},
		Locals: []pinset.Local{
			{CID: k(1), Status: pinset.StatusPinned, Since: at, Size: 9},
			{CID: k(2), Mode: pinset.Direct, Status: pinset.StatusPinError, Since: at, Progress: pinset.Progress{Blocks: 1, Bytes: 2},
				Attempts: 3, Retry: at.Add(time.Minute), Error: "no", Interim: true, Borrowed: true},
		},
	}
}

func TestFramesSurviveAndAreGolden(t *testing.T) {
	f := fullFrame(t)
	b, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseFrame(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f, got, equal); diff != "" {
		t.Error(diff)
	}
	small, err := Frame{Locals: fullFrame(t).Locals[1:]}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	request, err := Request{What: Item, CID: k(1)}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ got, want string }{
		"request": {hex.EncodeToString(request), "a261634501550001016171646974656d"},
		"frame":   {hex.EncodeToString(small), "a1616c81ab61620161634501550001026164f56165626e6f6169f5616e03616ff561721b0000019b7caa76e861736970696e5f6572726f7261741b0000019b7ca98c88617902"},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: got %s, want %s", name, tc.got, tc.want)
		}
	}
}

func TestEveryStatusSurvives(t *testing.T) {
	for s := pinset.StatusUndefined; s <= pinset.StatusClusterError; s++ {
		b, err := Frame{Locals: []pinset.Local{{CID: k(1), Status: s}}}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if f, err := ParseFrame(b); err != nil || f.Locals[0].Status != s {
			t.Errorf("%s: %v %v", s, f, err)
		}
	}
}

func TestRequests(t *testing.T) {
	for _, tc := range []struct {
		name string
		r    Request
		ok   bool
	}{
		{"about", Request{What: About}, true},
		{"all", Request{What: All}, true},
		{"item", Request{What: Item, CID: k(1)}, true},
		{"item of nothing", Request{What: Item}, false},
		{"recover all", Request{What: Recover}, true},
		{"recover one", Request{What: Recover, CID: k(1)}, true},
		{"drain", Request{What: Drain}, true},
		{"replace", Request{What: Replace, Peer: identitytest.Key(t, 1).ID()}, true},
		{"replace nobody", Request{What: Replace}, false},
		{"something else", Request{What: "sudo"}, false},
		{"nothing", Request{}, false},
	} {
		b, err := tc.r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseRequest(b)
		if (err == nil) != tc.ok || tc.ok && !cmp.Equal(got, tc.r, equal) {
			t.Errorf("%s: %+v, %v", tc.name, got, err)
		}
	}
}

// Texts of others must not reach a terminal as commands.
func TestTextsComeOutClean(t *testing.T) {
	raw, err := canon.Marshal(map[string]any{"m": map[string]any{"v": "1\x1b[2J\n\u009b", "err": strings.Repeat("é", 5000)},
		"l": []any{map[string]any{"c": k(1).Bytes(), "s": "of a newer version", "e": "a\x07b", "n": int64(-5), "t": int64(-1), "r": int64(1) << 62}}})
	if err != nil {
		t.Fatal(err)
	}
	f, err := ParseFrame(raw)
	if err != nil {
		t.Fatal(err)
	}
	if f.Member.Version != "1 [2J  " || len(f.Member.IPFSError) > maxText || strings.Contains(f.Member.IPFSError, "\ufffd") {
		t.Errorf("%q, %d bytes", f.Member.Version, len(f.Member.IPFSError))
	}
	l := f.Locals[0]
	if l.Status != pinset.StatusUndefined || l.Error != "a b" || l.Attempts != 0 || !l.Since.IsZero() || !l.Retry.IsZero() {
		t.Errorf("%+v", l)
	}
}

func TestAFullBatchFitsIntoAFrame(t *testing.T) {
	var f Frame
	for range BatchLocals {
		f.Locals = append(f.Locals, pinset.Local{CID: k(1), Status: pinset.StatusUnexpected, Error: strings.Repeat("é", maxText)})
	}
	if b, err := f.Encode(); err != nil || len(b) > 1<<20 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func FuzzParseFrame(f *testing.F) {
	b, err := fullFrame(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseFrame(b)
		if err != nil {
			return
		}
		b, err = got.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseFrame(b); err != nil || !cmp.Equal(got, again, equal) {
			t.Fatalf("%v: %s", err, cmp.Diff(got, again, equal))
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	b, err := Request{What: Item, CID: k(1)}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := ParseRequest(b); err == nil && r.What == Item && !r.CID.Defined() {
			t.Fatal("an item without a cid")
		}
	})
}
