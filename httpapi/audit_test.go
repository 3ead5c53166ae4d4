package httpapi

import (
	"context"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/pinset"
)

var cids = cmp.Comparer(func(a, b cid.Cid) bool { return a == b })

// fakeAudit answers with something in every field that matters.
type fakeAudit struct {
	short []pinset.Summary
	owner string // of what a receipt is about
}

func (f *fakeAudit) Deficit(context.Context) iter.Seq2[pinset.Summary, error] {
	return func(yield func(pinset.Summary, error) bool) {
		for _, s := range f.short {
			if !yield(s, nil) {
				return
			}
		}
	}
}

func (f *fakeAudit) Audit(_ context.Context, since time.Duration, challenges int) (pinset.Audit, error) {
	at := time.Unix(1e9, 0).UTC()
	return pinset.Audit{From: at.Add(-since), At: at, Pins: 3, Broken: 1,
		Members: []pinset.AuditedPeer{{Peer: testPeer("bob"), Name: "bob", Assigned: 3, Promised: 2, Held: 1, Lost: 1, Said: at, Refused: 1,
			Flaws: []pinset.ChainFlaw{{Kind: "fork", Seq: 7, At: at, Proof: true, Detail: "two"}}}},
		Lost:  []pinset.LostPromise{{CID: "bafy", Peer: testPeer("bob"), Name: "bob", Promised: at, Lost: at}, {CID: "bafz", Owner: "alice", Peer: testPeer("bob")}},
		Tests: slices.Repeat([]pinset.Challenge{{CID: "bafy", Peer: testPeer("bob"), Blocks: 4, Met: true}}, challenges),
	}, nil
}

func (f *fakeAudit) Receipt(_ context.Context, c cid.Cid) (pinset.SignedReceipt, error) {
	if c == testCID("none") {
		return pinset.SignedReceipt{}, pinset.NotFound("not pinned")
	}
	at := time.Unix(1e9, 0).UTC()
	return pinset.SignedReceipt{Format: pinset.ReceiptFormat, Signed: []byte{1, 2, 255}, Claims: pinset.Claims{CID: c.String(), At: at, Issuer: testPeer("bob"), Members: 2,
		Pins: []pinset.Claimed{{Owner: f.owner, Mode: "direct", Author: testPeer("bob"), Seq: 1 << 60}}, Holders: []pinset.Holder{{Peer: testPeer("bob"), Since: at, Said: at, Statement: 3}}}}, nil
}

// A receipt travels whole, and not to who may not see all of it.
func TestReceiptThroughTheClient(t *testing.T) {
	s := serve(t, Config{})
	f := &fakeAudit{owner: "alice"}
	s.fake.audit = f
	c := client.New(s.socket, "")
	defer c.Close()
	want, _ := f.Receipt(t.Context(), testCID("x"))
	got, err := c.Receipt(t.Context(), testCID("x"))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if _, err := c.Receipt(t.Context(), testCID("none")); pinset.KindOf(err) != pinset.KindNotFound {
		t.Errorf("of what is not pinned: %v", err)
	}
	alice := client.New(s.tcp, "alice")
	defer alice.Close()
	if _, err := alice.Receipt(t.Context(), testCID("x")); err != nil {
		t.Errorf("of her own pin: %v", err)
	}
	f.owner = "bob"
	if _, err := alice.Receipt(t.Context(), testCID("x")); pinset.KindOf(err) != pinset.KindForbidden {
		t.Errorf("of another's pin: %v", err)
	}
}

func TestAuditThroughTheClient(t *testing.T) {
	s := serve(t, Config{})
	c := client.New(s.socket, "")
	defer c.Close()
	f := &fakeAudit{}
	s.fake.audit = f
	got, err := c.Audit(t.Context(), 48*time.Hour, 2)
	want, _ := f.Audit(t.Context(), 48*time.Hour, 2)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, bad := range [][2]int{{0, 1}, {-1, 1}, {1, -1}, {1, 1001}} {
		if _, err := c.Audit(t.Context(), time.Duration(bad[0])*time.Hour, bad[1]); pinset.KindOf(err) != pinset.KindInvalid {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func shortOf(owner string) pinset.Summary {
	return pinset.Summary{CID: testCID(owner), Short: 1, Since: time.Unix(1e9, 0).UTC(), Pins: []pinset.Pin{{CID: testCID(owner), Owner: owner}}}
}

func TestDeficitThroughTheClient(t *testing.T) {
	s := serve(t, Config{})
	c := client.New(s.socket, "")
	defer c.Close()
	for _, err := range c.Deficit(t.Context()) {
		if pinset.KindOf(err) != pinset.KindConflict {
			t.Errorf("a cluster without: %v, want a conflict", err)
		}
	}
	f := &fakeAudit{}
	s.fake.audit = f
	for range c.Deficit(t.Context()) {
		t.Error("an empty list has a row")
	}
	f.short = []pinset.Summary{shortOf(""), shortOf("alice")}
	var got []pinset.Summary
	for sum, err := range c.Deficit(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, sum)
	}
	if len(got) != 2 || got[1].Short != 1 || !got[1].Since.Equal(f.short[1].Since) || !cmp.Equal(f.short[1].CID, got[1].CID, cids) {
		t.Errorf("%+v", got)
	}
}
