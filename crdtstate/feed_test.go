package crdtstate_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/crdtstate/crdtstatetest"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

func next(t *testing.T, f *crdtstate.Feed) crdtstate.Changes {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := f.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFeed(t *testing.T) {
	c := crdtstatetest.New(t, 2)
	s := c.All()
	f := s[1].Subscribe()
	defer f.Close()
	p := crdtstatetest.Pin(1)
	r := c.Commit(s[0], crdtstatetest.PinOp(p), crdtstate.SizeOp(crdtstatetest.CID(2), 5))
	c.Pull(s[1], s[0])
	got := next(t, f)
	if len(got.CIDs) != 2 || got.Rescan || got.Authority || got.Vector[c.ID(0)] != r.Seq {
		t.Errorf("changes %+v", got)
	}
	c.Commit(s[1], crdtstatetest.UnpinOp(p))
	if got := next(t, f); len(got.CIDs) != 1 || !got.CIDs[0].Equals(p.CID) {
		t.Errorf("own removal: %+v", got)
	}
	rec := c.Record(1)
	rec.Seq = 2
	c.Commit(s[1], crdtstate.Op{Key: identity.MemberKey(c.ID(1)), Value: c.Seal(1, rec)})
	if got := next(t, f); !got.Authority || len(got.CIDs) != 0 {
		t.Errorf("a record: %+v", got)
	}
	// Nobody reads: a bounded amount is kept.
	for i := 0; i < 18000; i += 450 {
		var ops []crdtstate.Op
		for j := i; j < i+450; j++ {
			ops = append(ops, crdtstatetest.PinOp(crdtstatetest.Pin(100+j)))
		}
		c.Commit(s[1], ops...)
	}
	if got := next(t, f); !got.Rescan || len(got.CIDs) != 0 {
		t.Errorf("18,000 changes: %d named, rescan %v", len(got.CIDs), got.Rescan)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := f.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("nothing changed, and ctx ended: %v", err)
	}
	f.Close()
	if _, err := f.Next(context.Background()); pinset.KindOf(err) != pinset.KindUnavailable {
		t.Errorf("after Close: %v", err)
	}
}

func TestAnnouncementsKeepTheNewest(t *testing.T) {
	c := crdtstatetest.New(t, 1)
	s := c.Founded()
	var last cid.Cid
	for i := range 100 {
		last = c.Commit(s, crdtstatetest.PinOp(crdtstatetest.Pin(i))).Head
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	n := 0
	var newest cid.Cid
	for a := range s.Announcements() {
		newest = a.Head
		n++
	}
	if newest != last || n > 64 {
		t.Errorf("%d announcements end with %s, want %s", n, newest, last)
	}
	if _, err := s.Commit(context.Background(), crdtstatetest.PinOp(crdtstatetest.Pin(1))); pinset.KindOf(err) != pinset.KindUnavailable {
		t.Errorf("commit after Close: %v", err)
	}
	if _, err := s.Get(context.Background(), "/c/policy"); pinset.KindOf(err) != pinset.KindUnavailable {
		t.Errorf("read after Close: %v", err)
	}
}

func TestCommitRefuses(t *testing.T) {
	c := crdtstatetest.New(t, 2)
	founder := c.Founded()
	joiner := c.Open(1)
	many := make([]crdtstate.Op, crdtstate.MaxOps+1)
	for i := range many {
		many[i] = crdtstatetest.PinOp(crdtstatetest.Pin(i))
	}
	pin := crdtstatetest.PinOp(crdtstatetest.Pin(1))
	policy, err := identity.DefaultPolicy().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		s    *crdtstate.State
		ops  []crdtstate.Op
		want pinset.Kind
	}{
		{"nothing arrived yet", joiner, []crdtstate.Op{pin}, pinset.KindUnavailable},
		{"too many", founder, many, pinset.KindInvalid},
		{"foreign key", founder, []crdtstate.Op{{Key: "/q/x", Value: []byte("x")}}, pinset.KindInvalid},
		{"not a pin", founder, []crdtstate.Op{{Key: pin.Key, Value: []byte("x")}}, pinset.KindInvalid},
		{"empty value", founder, []crdtstate.Op{{Key: pin.Key, Value: []byte{}}}, pinset.KindInvalid},
		{"removal of a record", founder, []crdtstate.Op{{Key: identity.MemberKey(c.ID(0))}}, pinset.KindInvalid},
		{"another's record", founder, []crdtstate.Op{{Key: identity.MemberKey(c.ID(1)), Value: c.Seal(1, c.Record(1))}}, pinset.KindForbidden},
	} {
		if _, err := tc.s.Commit(context.Background(), tc.ops...); pinset.KindOf(err) != tc.want {
			t.Errorf("%s: %v (%s), want %s", tc.name, err, pinset.KindOf(err).Info().Name, tc.want.Info().Name)
		}
		check(t, tc.s)
	}
	c.Pull(joiner, founder)
	if _, err := joiner.Commit(context.Background(), pin); pinset.KindOf(err) != pinset.KindForbidden {
		t.Errorf("who is no member pins: %v", err)
	}
	c.Enter(joiner, 1)
	c.Commit(joiner, pin)
	if _, err := joiner.Commit(context.Background(), crdtstate.Op{Key: identity.PolicyKey, Value: policy}); pinset.KindOf(err) != pinset.KindForbidden {
		t.Errorf("who is no admin rules: %v", err)
	}
	check(t, joiner)
}

// TestCallersShareDeltas: what queues up goes into one delta, a bad one among them
// fails alone, and a call that changes nothing makes no delta.
func TestCallersShareDeltas(t *testing.T) {
	c := crdtstatetest.New(t, 1)
	s := c.Founded()
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			op := crdtstatetest.PinOp(crdtstatetest.Pin(i))
			want := pinset.KindInternal
			if i%10 == 0 { // another's role is refused; the rest of the group is not
				op = crdtstate.Op{Key: identity.MemberKey(strangerKey(t).ID()), Value: []byte("x")}
				want = pinset.KindForbidden
			}
			if _, err := s.Commit(context.Background(), op); (err != nil) != (i%10 == 0) || err != nil && pinset.KindOf(err) != want {
				t.Errorf("commit %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	check(t, s)
	if got := s.Summary(); got.Count != 180 || got.Blocks > 150 {
		t.Errorf("%v in %d deltas", got, got.Blocks)
	}
	before := s.Summary().Blocks
	r := c.Commit(s, crdtstatetest.UnpinOp(crdtstatetest.Pin(5000)))
	if r.Head.Defined() || s.Summary().Blocks != before {
		t.Errorf("removing nothing: %+v", r)
	}
}

func TestSizes(t *testing.T) {
	ctx := context.Background()
	c := crdtstatetest.New(t, 1)
	s := c.Founded()
	id := crdtstatetest.CID(1)
	for _, tc := range []struct{ write, want uint64 }{{100, 100}, {50, 100}, {1 << 40, 1 << 40}, {7, 1 << 40}} {
		c.Commit(s, crdtstate.SizeOp(id, tc.write))
		if got, err := s.Size(ctx, id); err != nil || got != tc.want {
			t.Errorf("after %d: size %d, %v, want %d", tc.write, got, err, tc.want)
		}
	}
	if got, err := s.Size(ctx, crdtstatetest.CID(2)); got != 0 || err != nil {
		t.Errorf("size of what nobody measured: %d, %v", got, err)
	}
	check(t, s)
}

func TestOwnersAndPages(t *testing.T) {
	ctx := context.Background()
	c := crdtstatetest.New(t, 1)
	s := c.Founded()
	for _, owner := range []string{"", "ann", "bob"} {
		for i := 0; i < 1200; i += 400 {
			var ops []crdtstate.Op
			for j := i; j < i+400; j++ {
				p := crdtstatetest.Pin(j)
				p.Owner = owner
				ops = append(ops, crdtstatetest.PinOp(p))
			}
			c.Commit(s, ops...)
		}
	}
	pins, err := s.PinsOf(ctx, crdtstatetest.CID(7))
	if err != nil || len(pins) != 3 {
		t.Fatalf("pins of one CID: %+v, %v", pins, err)
	}
	var all []string
	for p, err := range s.Pins(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p.Key())
	}
	if len(all) != 3600 {
		t.Fatalf("%d pins", len(all))
	}
	for _, at := range []int{0, 1, 1023, 1024, 3598, 3599} {
		var rest []string
		for p, err := range s.Pins(ctx, all[at]) {
			if err != nil {
				t.Fatal(err)
			}
			rest = append(rest, p.Key())
		}
		if fmt.Sprint(rest) != fmt.Sprint(all[at+1:]) {
			t.Errorf("after pin %d: %d pins, want %d", at, len(rest), len(all)-at-1)
		}
	}
	check(t, s)
}

// TestAFeedIsNotBehindItsVector: who has looked at what the feed named may say so
// of everything that the vector covers.
func TestAFeedIsNotBehindItsVector(t *testing.T) {
	c := crdtstatetest.New(t, 1)
	s := c.Founded()
	f := s.Subscribe()
	defer f.Close()
	const pins = 4000
	first := s.Vector()[c.ID(0)]
	go func() {
		for i := range pins {
			_, _ = s.Commit(t.Context(), crdtstatetest.PinOp(crdtstatetest.Pin(i)))
		}
	}()
	named := uint64(0)
	for named < pins {
		got := next(t, f)
		named += uint64(len(got.CIDs))
		if told := got.Vector[c.ID(0)] - first; told != named {
			t.Fatalf("%d pins were named, and the vector covers %d", named, told)
		}
	}
}
