package httpapi

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/pinset"
)

// fakeForesight answers with something in every field that matters.
type fakeForesight struct{ asked []string }

func (f *fakeForesight) Explain(_ context.Context, c cid.Cid) (pinset.Explanation, error) {
	row := pinset.RankedAt{Rank: 1, Peer: testPeer("bob"), Name: "bob", Role: "binding", Score: 7, Lent: 1e12, Share: 0.25, Site: "fr/home", Rule: "drawn"}
	return pinset.Explanation{CID: c.String(), Pins: []pinset.PinExplained{
		{Name: "ours", Min: 2, Max: 3, Members: []pinset.RankedAt{row}},
		{Owner: "alice", Name: "hers", Min: -1, Max: -1, Short: 1, Reason: "why", Members: []pinset.RankedAt{}},
	}}, nil
}

func (f *fakeForesight) Outlook(_ context.Context, changes []string) (pinset.Outlook, error) {
	f.asked = changes
	return pinset.Outlook{If: changes, Pins: 3, Moved: pinset.Amount{Copies: 2, Bytes: 200}, Thin: 1,
		Members: []pinset.Prospect{{Name: "joiner 1", Lent: pinset.BeforeAfter{After: 2e12}, Note: "joins"}, {Peer: testPeer("bob"), Name: "bob"}},
		Below:   []pinset.BelowMin{{CID: testCID("x").String(), Short: 1, Reason: "why"}}}, nil
}

func (f *fakeForesight) Balance(context.Context) (pinset.Balance, error) {
	return pinset.Balance{Members: []pinset.Fill{{Peer: testPeer("bob"), Lent: 10, Fill: 0.5}}, Spread: pinset.Spread{Mean: 0.5, Points: 3},
		Limits: []pinset.Limit{{Code: "tags", Title: "some", Do: "this"}}}, nil
}

func TestForesightThroughTheClient(t *testing.T) {
	s := serve(t, Config{})
	c := client.New(s.socket, "")
	defer c.Close()
	if _, err := c.Balance(t.Context()); pinset.KindOf(err) != pinset.KindConflict {
		t.Errorf("a cluster without: %v, want a conflict", err)
	}
	f := &fakeForesight{}
	s.fake.foresight = f
	e, err := c.Explain(t.Context(), testCID("x"))
	want, _ := f.Explain(t.Context(), testCID("x"))
	if diff := cmp.Diff(want, e); err != nil || diff != "" {
		t.Errorf("explain: %v\n%s", err, diff)
	}
	for _, changes := range [][]string{nil, {"join:2TB@fr/home 3", "give:zoë & bob=1TB", "replication=2..3"}} {
		o, err := c.Outlook(t.Context(), changes...)
		want, _ := f.Outlook(t.Context(), f.asked)
		if diff := cmp.Diff(want, o); err != nil || diff != "" || cmp.Diff(changes, f.asked) != "" {
			t.Errorf("plan %q, asked %q: %v\n%s", changes, f.asked, err, diff)
		}
	}
	if _, err := c.Outlook(t.Context(), "leave:a,b"); pinset.KindOf(err) != pinset.KindInvalid || pinset.HintOf(err) == "" {
		t.Errorf("a comma: %v", err)
	}
	b, err := c.Balance(t.Context())
	wantB, _ := f.Balance(t.Context())
	if diff := cmp.Diff(wantB, b); err != nil || diff != "" {
		t.Errorf("balance: %v\n%s", err, diff)
	}
}

// TestATokenOfAnOwnerSeesItsOwnPinsExplained and nobody else's.
func TestATokenOfAnOwnerSeesItsOwnPinsExplained(t *testing.T) {
	s := serve(t, Config{})
	s.fake.foresight = &fakeForesight{}
	c := client.New(s.tcp, "alice")
	defer c.Close()
	e, err := c.Explain(t.Context(), testCID("x"))
	if err != nil || len(e.Pins) != 1 || e.Pins[0].Name != "hers" {
		t.Errorf("%+v, %v", e, err)
	}
	if o, err := c.Outlook(t.Context()); err != nil || o.Pins != 3 || len(o.Below) != 0 {
		t.Errorf("%+v, %v", o, err)
	}
}
