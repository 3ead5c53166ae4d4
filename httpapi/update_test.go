package httpapi

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/pinset"
)

// A pin that follows another takes its options, but for what is said anew, and the
// other one goes when enough members hold it, not before.
func TestPinUpdate(t *testing.T) {
	s := serve(t, Config{})
	c := client.New(s.socket, "")
	defer c.Close()
	old := pinset.Pin{CID: testCID("old"), Owner: "bob", Name: "site", Replication: pinset.Replication{Min: 2, Max: 3}, Tags: []string{"eu"},
		Priority: pinset.PriorityBulk, Metadata: map[string]string{"k": "v"}, Size: 7}
	if _, _, err := c.Pin(t.Context(), old, client.Wait{}); err != nil {
		t.Fatal(err)
	}
	wish := pinset.Pin{CID: testCID("new"), Owner: "bob", Name: "site 2"}
	_, _, err := c.Update(t.Context(), client.Update{From: old.CID}, wish, client.Wait{Timeout: 50 * time.Millisecond})
	if pinset.KindOf(err) != pinset.KindTimeout {
		t.Errorf("nobody holds the new one: %v, want a timeout", err)
	}
	if _, _, err := c.PinOf(t.Context(), old.CID, "bob"); err != nil {
		t.Errorf("the old pin is gone before the new one is held: %v", err)
	}
	s.fake.mu.Lock()
	s.fake.copies = 2
	s.fake.mu.Unlock()
	got, _, err := c.Update(t.Context(), client.Update{From: old.CID}, wish, client.Wait{})
	if err != nil {
		t.Fatal(err)
	}
	want := old.Moved(wish.CID)
	want.Name = "site 2"
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(pinset.Pin{}), cmpopts.IgnoreFields(pinset.Pin{}, "Created"), cmp.Comparer(cid.Cid.Equals)); diff != "" {
		t.Errorf("the new pin (-want +got)\n%s", diff)
	}
	if _, _, err := c.PinOf(t.Context(), old.CID, "bob"); pinset.KindOf(err) != pinset.KindNotFound {
		t.Errorf("the old pin: %v, want it gone", err)
	}
	third := pinset.Pin{CID: testCID("third"), Owner: "bob", Priority: pinset.PriorityHigh}
	if got, _, err = c.Update(t.Context(), client.Update{From: wish.CID, Keep: true}, third, client.Wait{}); err != nil || got.Name != "site 2" || got.Priority != pinset.PriorityHigh {
		t.Errorf("beside the other: %+v, %v", got, err)
	}
	if _, _, err := c.PinOf(t.Context(), wish.CID, "bob"); err != nil {
		t.Errorf("what was to be kept: %v", err)
	}
	if _, _, err := c.Update(t.Context(), client.Update{From: testCID("nothing")}, third, client.Wait{}); pinset.KindOf(err) != pinset.KindNotFound {
		t.Errorf("of what is not pinned: %v", err)
	}
}

func TestAdoptNeedsAnAdmin(t *testing.T) {
	s := serve(t, Config{})
	var adopted []cid.Cid
	admin, pinner := client.New(s.socket, ""), client.New(s.tcp, "pinner")
	defer admin.Close()
	defer pinner.Close()
	p := pinset.Pin{CID: testCID("x")}
	if _, _, err := admin.Adopt(t.Context(), p, client.Wait{}); pinset.KindOf(err) != pinset.KindConflict {
		t.Errorf("a cluster without: %v, want a conflict", err)
	}
	s.fake.adopt = func(_ context.Context, c cid.Cid) error { adopted = append(adopted, c); return nil }
	if _, _, err := pinner.Adopt(t.Context(), p, client.Wait{}); pinset.KindOf(err) != pinset.KindForbidden || len(adopted) > 0 {
		t.Errorf("with scope pin: %v, adopted %v", err, adopted)
	}
	if _, _, err := admin.PinOf(t.Context(), p.CID, ""); pinset.KindOf(err) != pinset.KindNotFound {
		t.Error("what was forbidden is pinned")
	}
	if _, _, err := admin.Adopt(t.Context(), p, client.Wait{}); err != nil || len(adopted) != 1 {
		t.Errorf("as an admin: %v, adopted %v", err, adopted)
	}
}

func TestQueueThroughTheClient(t *testing.T) {
	s := serve(t, Config{})
	admin, alice := client.New(s.socket, ""), client.New(s.tcp, "alice")
	defer admin.Close()
	defer alice.Close()
	if _, err := admin.Queue(t.Context(), 3); pinset.KindOf(err) != pinset.KindConflict {
		t.Errorf("a cluster without: %v, want a conflict", err)
	}
	turn := func(owner string) pinset.Turn {
		return pinset.Turn{CID: testCID(owner).String(), Owner: owner, Priority: "high", Lane: "new", Status: "pinning", Since: time.Unix(9, 0).UTC(), Blocks: 3,
			Bytes: 10, Size: 50, Rate: 4, Left: 10 * time.Second, Attempts: 1, Retry: time.Unix(99, 0).UTC(), Error: "why"}
	}
	most := 0
	full := pinset.Queue{Running: []pinset.Turn{turn("alice"), turn("bob")}, Ready: []pinset.Turn{turn("bob")}, Later: []pinset.Turn{turn("alice")},
		Lanes: []pinset.Lane{{Name: "new", Count: 4}}, Waiting: 4, PutOff: 5, Bytes: 6}
	s.fake.queue = func(_ context.Context, n int) (pinset.Queue, error) { most = n; return full, nil }
	got, err := admin.Queue(t.Context(), 3)
	if diff := cmp.Diff(full, got); err != nil || diff != "" || most != 3 {
		t.Errorf("%v, limit %d\n%s", err, most, diff)
	}
	own := full
	own.Running, own.Ready = []pinset.Turn{turn("alice")}, []pinset.Turn{}
	got, err = alice.Queue(t.Context(), 3)
	if diff := cmp.Diff(own, got); err != nil || diff != "" {
		t.Errorf("alice's: %v\n%s", err, diff)
	}
	if _, err := admin.Queue(t.Context(), queueMost+1); pinset.KindOf(err) != pinset.KindInvalid {
		t.Errorf("limit %s: %v", fmt.Sprint(queueMost+1), err)
	}
}
