package receipt

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/cluster/internal/roster"
	"github.com/pinfold/pinfold/cluster/internal/statement"
	"github.com/pinfold/pinfold/identity/identitytest"
	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/pinset"
)

var update = flag.Bool("update", false, "rewrite the golden file")

// sample is a receipt that member 1 of two issues; both hold what it is about.
func sample(t testing.TB) (*identitytest.Cluster, Receipt) {
	t.Helper()
	c := identitytest.New(t, 2)
	a := c.Authority(2)
	view := allocation.NewView(roster.Of(a))
	at := identitytest.Start()
	say := func(i int, seq uint64, after time.Duration) []byte {
		s := statement.Statement{Seq: seq, At: at.Add(after), View: view.Digest(), Vector: map[peer.ID]uint64{c.ID(0): 3, c.ID(1): 1}, Items: 1, Bytes: 1e6, Since: at}
		raw, err := s.Seal(c.Keys[i], c.Founding.ID())
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	p := pinset.Pin{CID: ipfsclienttest.CID(1), Name: "my archive", Size: 1e6, Created: at}
	p.Normalise()
	r := Receipt{
		At: at.Add(50 * time.Hour), CID: p.CID, Founding: c.Founding.Marshal(), View: view.Digest(), Evidence: a.Evidence(),
		Pins: []Pin{{p, Change{c.ID(0), 2}}}, Founder: say(0, 8, 49*time.Hour),
	}
	words := []Word{{Holder: c.ID(0), Latest: r.Founder}, {Holder: c.ID(1), First: say(1, 1, time.Hour), Latest: say(1, 5, 48*time.Hour)}}
	if c.ID(1) < c.ID(0) {
		words[0], words[1] = words[1], words[0]
	}
	r.Words = words
	return c, r
}

func TestReceiptIsGolden(t *testing.T) {
	c, r := sample(t)
	signed, err := r.Seal(c.Keys[1], c.Founding.ID())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := Document(c.Founding.ID(), signed, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	raw = append(raw, '\n')
	const path = "testdata/receipt.json"
	if *update {
		if err := os.WriteFile(path, raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(raw, want) {
		t.Errorf("other bytes than in %s:\n%s", path, raw)
	}
	again, issuer, _, err := Open(c.Founding.ID(), signed)
	if err != nil || issuer != c.ID(1) {
		t.Fatalf("issuer %s, %v", issuer, err)
	}
	back, err := again.Seal(c.Keys[1], c.Founding.ID())
	if err != nil || !bytes.Equal(back, signed) {
		t.Errorf("read and written again it has other bytes: %v", err)
	}
	if len(again.Pins) != 1 || !cmp.Equal(again.Words, r.Words) || again.Pins[0].By != r.Pins[0].By {
		t.Errorf("%+v", again)
	}
	got, err := Verify(doc, nil)
	if err != nil || !got.Valid || len(got.Claims.Holders) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzVerify(f *testing.F) {
	c, r := sample(f)
	signed, err := r.Seal(c.Keys[1], c.Founding.ID())
	if err != nil {
		f.Fatal(err)
	}
	doc, err := Document(c.Founding.ID(), signed, nil)
	if err != nil {
		f.Fatal(err)
	}
	raw, _ := json.Marshal(doc)
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var got pinset.SignedReceipt
		if json.Unmarshal(raw, &got) != nil {
			return
		}
		if found, err := Verify(got, nil); err == nil && found.Valid && !bytes.Equal(got.Signed, signed) {
			t.Errorf("valid: %s", raw)
		}
	})
}
