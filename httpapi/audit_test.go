package httpapi

import (
	"context"
	"iter"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

var cids = cmp.Comparer(func(a, b cid.Cid) bool { return a == b })

// fakeAudit answers with something in every field that matters.
type fakeAudit struct{ short []pinset.Summary }

func (f *fakeAudit) Deficit(context.Context) iter.Seq2[pinset.Summary, error] {
	return func(yield func(pinset.Summary, error) bool) {
		for _, s := range f.short {
			if !yield(s, nil) {
				return
			}
		}
	}
}

func shortOf(owner string) pinset.Summary {
	return pinset.Summary{CID: testCID(owner), Short: 1, Since: time.Unix(1e9, 0).UTC(), Pins: []pinset.Pin{{CID: testCID(owner), Owner: owner}}}
}

func TestDeficitThroughTheClient(t *testing.T) {
	s := serve(t, Config{})
	c := NewClient(s.socket, "")
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
