package cluster

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/cluster/internal/receipt"
	"github.com/pinfold/pinfold/cluster/internal/statement"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// withReceipt runs f in a cluster of four whose founder, 0, holds nothing; 1 and 2
// said for two hours that they hold cidN(1), and 3 issues the receipt.
func withReceipt(t *testing.T, f func(t *testing.T, r *rig, doc pinset.SignedReceipt)) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4)
		holders := []peer.ID{r.ids.ID(1), r.ids.ID(2)}
		r.peers[0].pin(pinset.Pin{CID: cidN(1), Name: "kept", Size: 100, Replication: pinset.Replication{Min: 2, Max: 2}, Include: holders})
		if _, err := r.peers[3].Receipt(t.Context(), cidN(1)); pinset.KindOf(err) != pinset.KindUnavailable {
			t.Errorf("nobody has spoken yet: %v", err)
		}
		for i := range 4 {
			r.peers[i].says(cidN(1))
		}
		time.Sleep(time.Hour)
		for n := range uint64(3) {
			for i := range 4 {
				r.peers[i].reports()
				r.peers[i].tracker.report.Items += n // it goes on speaking
				must(t, 0, r.peers[i].say(t.Context()))
			}
			time.Sleep(time.Hour)
		}
		doc, err := r.peers[3].Receipt(t.Context(), cidN(1))
		if err != nil {
			t.Fatal(err)
		}
		f(t, r, doc)
	})
}

func check(t *testing.T, doc pinset.SignedReceipt) pinset.ReceiptCheck {
	t.Helper()
	raw, err := json.Marshal(doc) // as it travels
	if err != nil {
		t.Fatal(err)
	}
	var read pinset.SignedReceipt
	if err := json.Unmarshal(raw, &read); err != nil {
		return pinset.ReceiptCheck{Faults: []string{err.Error()}}
	}
	got, err := VerifyReceipt(read, nil)
	if err != nil {
		return pinset.ReceiptCheck{Faults: []string{err.Error()}}
	}
	return got
}

func TestReceiptSaysWhoHoldsWhat(t *testing.T) {
	withReceipt(t, func(t *testing.T, r *rig, doc pinset.SignedReceipt) {
		got := check(t, doc)
		if !got.Valid || len(got.Faults) > 0 {
			t.Fatalf("%+v", got)
		}
		c := got.Claims
		if c.CID != cidN(1).String() || c.Cluster != string(r.ids.Founding.ID()) || c.Issuer != r.ids.ID(3) || c.Members != 4 || c.Needed != 2 ||
			!c.At.Equal(time.Now().Truncate(time.Second)) || len(c.Pins) != 1 || c.Pins[0].Name != "kept" || c.Pins[0].Author != r.ids.ID(0) {
			t.Errorf("%+v", c)
		}
		if len(c.Holders) != 2 {
			t.Fatalf("holders %+v", c.Holders)
		}
		for _, h := range c.Holders {
			if now := time.Now(); now.Sub(h.Since) != 3*time.Hour || now.Sub(h.Said) != time.Hour || h.Statement != 4 {
				t.Errorf("%+v at %s", h, now)
			}
		}
		if _, err := r.peers[3].Receipt(t.Context(), cidN(9)); pinset.KindOf(err) != pinset.KindNotFound {
			t.Errorf("of what is not pinned: %v", err)
		}
	})
}

// Every part that is said in the open, and every byte of what is signed, is refused
// when it is another.
func TestReceiptThatWasTamperedWith(t *testing.T) {
	withReceipt(t, func(t *testing.T, r *rig, doc pinset.SignedReceipt) {
		raw, _ := json.Marshal(doc)
		var tree map[string]any
		if err := json.Unmarshal(raw, &tree); err != nil {
			t.Fatal(err)
		}
		n := 0
		eachLeaf(tree, "", func(path string, set func(any), was any) {
			if n++; path == ".signed" {
				return
			}
			switch v := was.(type) {
			case string:
				set(other(v))
			case float64:
				set(v + 1)
			case bool:
				set(!v)
			}
			changed, _ := json.Marshal(tree)
			var read pinset.SignedReceipt
			err := json.Unmarshal(changed, &read)
			if err == nil {
				if got := check(t, read); got.Valid {
					t.Errorf("%s changed from %v, and it is valid", path, was)
				}
			}
			set(was)
		})
		if n < 20 {
			t.Errorf("%d fields only", n)
		}
		for i := 0; i < len(doc.Signed); i += 5 {
			bad := doc
			bad.Signed = slices.Clone(doc.Signed)
			bad.Signed[i] ^= 4
			if check(t, bad).Valid {
				t.Errorf("byte %d changed, and it is valid", i)
			}
		}
	})
}

// other is a text of the same kind: another letter, day or number in it.
func other(s string) string {
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return at.Add(-24 * time.Hour).Format(time.RFC3339)
	}
	if s == "recursive" {
		return "direct"
	}
	return s + "x"
}

func eachLeaf(v any, path string, visit func(path string, set func(any), was any)) {
	each := func(path string, child any, set func(any)) {
		switch child.(type) {
		case map[string]any, []any:
			eachLeaf(child, path, visit)
		default:
			visit(path, set, child)
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for k, child := range v {
			each(path+"."+k, child, func(x any) { v[k] = x })
		}
	case []any:
		for i, child := range v {
			each(path+"[]", child, func(x any) { v[i] = x })
		}
	}
}

// A member that signs a receipt of its own making is found out in every part that is
// not its own word, and so is a stranger.
func TestReceiptByAMemberThatLies(t *testing.T) {
	withReceipt(t, func(t *testing.T, r *rig, doc pinset.SignedReceipt) {
		id := r.ids.Founding.ID()
		word := func(i int, change func(*statement.Statement)) []byte {
			s := *r.peers[i].book.Latest(r.ids.ID(i))
			change(&s)
			raw, err := s.Seal(r.ids.Keys[i], id)
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
		k, err := identity.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		stranger := k.ID()
		for _, tc := range []struct {
			name   string
			change func(*receipt.Receipt)
			says   string
		}{
			{"nothing", func(*receipt.Receipt) {}, ""},
			{"another CID", func(r *receipt.Receipt) { r.CID = cidN(2) }, "it has a pin of"},
			{"no pin", func(r *receipt.Receipt) { r.Pins = nil }, "it has no pin"},
			{"a pin of others", func(x *receipt.Receipt) { x.Pins[0].Pin.Include = []peer.ID{r.ids.ID(1)} }, "not assigned there"},
			{"a pin made later", func(x *receipt.Receipt) { x.Pins[0].By.Seq += 1000 }, "before the pin"},
			{"a policy made later", func(x *receipt.Receipt) { x.PolicyBy = receipt.Change{Author: r.ids.ID(0), Seq: 1000} }, "before the policy"},
			{"a size found later", func(x *receipt.Receipt) {
				x.Size, x.SizeBy = 1<<31, receipt.Change{Author: r.ids.ID(0), Seq: 1000}
			}, "before the pin"},
			{"another membership", func(x *receipt.Receipt) { x.View[3] ^= 1 }, "another membership than it names"},
			{"a record left out", func(x *receipt.Receipt) { x.Evidence = x.Evidence[1:] }, "another membership"},
			{"a record that its member did not sign", func(x *receipt.Receipt) {
				x.Evidence[0].Value = slices.Clone(x.Evidence[0].Value)
				x.Evidence[0].Value[len(x.Evidence[0].Value)-1] ^= 1
			}, "the record of member"},
			{"a record twice", func(x *receipt.Receipt) { x.Evidence = append(x.Evidence[:1:1], x.Evidence...) }, "not those of one membership"},
			{"not vouched for", func(x *receipt.Receipt) { x.Founder = nil }, "nothing ties its members"},
			{"vouched for by another", func(x *receipt.Receipt) { x.Founder = x.Words[0].Latest }, "founder's statement is one of"},
			{"vouched for long ago", func(x *receipt.Receipt) {
				x.Founder = word(0, func(s *statement.Statement) { s.View[0] ^= 1 })
			}, "names another membership"},
			{"no holder", func(x *receipt.Receipt) { x.Words = nil }, "nobody says"},
			{"a holder that is no member", func(x *receipt.Receipt) { x.Words[0].Holder = stranger }, "is no member"},
			{"a holder that is no peer", func(x *receipt.Receipt) { x.Words[0].Holder = "nobody" }, "peer ID"},
			{"a holder twice", func(x *receipt.Receipt) { x.Words = append(x.Words[:1:1], x.Words...) }, "not in order"},
			{"a holder by another's word", func(x *receipt.Receipt) { x.Words[0].Latest = x.Words[1].Latest }, "latest statement is one of"},
			{"a first word after the last", func(x *receipt.Receipt) {
				x.Words[0].First, x.Words[0].Latest = x.Words[0].Latest, x.Words[0].First
			}, "not before its latest"},
			{"who has nothing assigned", func(x *receipt.Receipt) {
				x.Words = []receipt.Word{{Holder: r.ids.ID(3), Latest: r.peers[3].book.Record(r.ids.ID(3))}}
			}, "not assigned there"},
			{"who said that it misses it", func(x *receipt.Receipt) {
				holder := x.Words[0].Holder
				for i := range 4 {
					if r.ids.ID(i) == holder {
						x.Words[0].Latest = word(i, func(s *statement.Statement) {
							s.Except = statement.Except(slices.Values([]uint64{statement.Hash(cidN(1).Hash())}))
						})
					}
				}
			}, "says that this is missing"},
		} {
			lie, _, _, err := receipt.Open(id, doc.Signed)
			if err != nil {
				t.Fatal(err)
			}
			tc.change(&lie)
			signed, err := lie.Seal(r.ids.Keys[3], id)
			if err != nil {
				t.Fatal(tc.name, err)
			}
			made, _ := receipt.Document(id, signed, nil) // its claims are what it shows
			got := check(t, made)
			if tc.says == "" && !got.Valid || tc.says != "" && (got.Valid || !strings.Contains(strings.Join(got.Faults, "; "), tc.says)) {
				t.Errorf("%s: valid %v, %q, want %q", tc.name, got.Valid, got.Faults, tc.says)
			}
		}
		honest, _, _, _ := receipt.Open(id, doc.Signed)
		signed, _ := honest.Seal(k, id)
		made, _ := receipt.Document(id, signed, nil)
		if got := check(t, made); got.Valid || !strings.Contains(got.Faults[0], "is no member") {
			t.Errorf("signed by a stranger: %+v", got.Faults)
		}
	})
}

// A founder that is heard is waited for: without its word outsiders can verify nothing.
func TestReceiptWaitsForTheFounder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		r.peers[1].pin(pinset.Pin{CID: cidN(1), Replication: pinset.Replication{Min: 1, Max: 1}, Include: []peer.ID{r.ids.ID(1)}})
		r.peers[1].says()
		if _, err := r.peers[2].Receipt(t.Context(), cidN(1)); pinset.KindOf(err) != pinset.KindUnavailable {
			t.Errorf("before the founder has spoken: %v", err)
		}
		r.peers[0].says()
		if doc, err := r.peers[2].Receipt(t.Context(), cidN(1)); err != nil || !check(t, doc).Valid {
			t.Errorf("after it has: %v", err)
		}
	})
}

// Where the founder has left, the cluster's secret ties the members to it.
func TestReceiptWithTheSecret(t *testing.T) {
	withReceipt(t, func(t *testing.T, r *rig, doc pinset.SignedReceipt) {
		id := r.ids.Founding.ID()
		left, _, _, err := receipt.Open(id, doc.Signed)
		if err != nil {
			t.Fatal(err)
		}
		left.Founder = nil
		signed, err := left.Seal(r.ids.Keys[3], id)
		if err != nil {
			t.Fatal(err)
		}
		made, _ := receipt.Document(id, signed, nil)
		with := func(s identity.Secret) pinset.ReceiptCheck {
			got, err := VerifyReceipt(made, func(identity.ClusterID) *identity.Secret { return &s })
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		if got := with(r.ids.Secret); !got.Valid {
			t.Errorf("with the secret: %q", got.Faults)
		}
		another, err := identity.NewSecret()
		if err != nil {
			t.Fatal(err)
		}
		if got := with(another); got.Valid {
			t.Error("valid with another secret")
		}
	})
}
