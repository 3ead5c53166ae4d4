package cluster

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

func TestMirrorWishesAreOneWordEachInTheOwnRecord(t *testing.T) {
	r := newRig(t, 3)
	p := r.peers[0]
	alice := r.ids.ID(1).String()
	wishes := func() []string {
		rec, _ := p.state.Authority().Member(p.self)
		return rec.Mirrors
	}
	for _, step := range []struct {
		do   func(context.Context, string) error
		of   string
		want []string
	}{
		{p.AddMirror, "peer1", []string{alice}},
		{p.AddMirror, alice, []string{alice}},
		{p.AddMirror, pinset.MirrorAll, []string{pinset.MirrorAll, alice}},
		{p.RemoveMirror, "peer1", []string{pinset.MirrorAll}},
		{p.RemoveMirror, pinset.MirrorAll, nil},
	} {
		if err := step.do(t.Context(), step.of); err != nil {
			t.Fatalf("%s: %v", step.of, err)
		}
		if diff := cmp.Diff(step.want, wishes(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("after %s: %s", step.of, diff)
		}
	}
	for _, tc := range []struct {
		do   func(context.Context, string) error
		of   string
		kind pinset.Kind
		say  string
	}{
		{p.AddMirror, "peer7", pinset.KindNotFound, `"peer7"`},
		{p.AddMirror, "peer0", pinset.KindInvalid, "this peer"},
		{p.RemoveMirror, "peer1", pinset.KindNotFound, "nobody"},
	} {
		if err := tc.do(t.Context(), tc.of); pinset.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.say) || pinset.HintOf(err) == "" {
			t.Errorf("%s: %v (hint %q), want %v that says %q, with a hint", tc.of, err, pinset.HintOf(err), tc.kind, tc.say)
		}
	}
	r.setRole(2, identity.RoleObserver)
	if err := r.peers[2].AddMirror(t.Context(), "peer1"); pinset.KindOf(err) != pinset.KindForbidden {
		t.Errorf("an observer: %v, want it forbidden", err)
	}
}

// TestTheWishOfAMemberThatLeftCanBeTakenBack by the id that `mirror ls` shows.
func TestTheWishOfAMemberThatLeftCanBeTakenBack(t *testing.T) {
	r := newRig(t, 3)
	if err := r.peers[0].AddMirror(t.Context(), "peer1"); err != nil {
		t.Fatal(err)
	}
	if err := r.peers[1].Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows := r.peers[0].mirrorsNow(t)
	if len(rows) != 1 || rows[0].Idle != "no member any more" || rows[0].OfName != "" {
		t.Errorf("mirrors %+v, want one of nobody", rows)
	}
	if err := r.peers[0].RemoveMirror(t.Context(), rows[0].Of); err != nil {
		t.Error(err)
	}
}

func (p *rigPeer) mirrorsNow(t *testing.T) []pinset.Mirror {
	t.Helper()
	out, err := p.Mirrors(t.Context())
	return must(t, out, err)
}

// TestARecordWrittenMeanwhileIsNotUndone: the daemon writes the same record when
// the configuration changes.
func TestARecordWrittenMeanwhileIsNotUndone(t *testing.T) {
	r := newRig(t, 2)
	p := r.peers[0]
	times := 0
	err := p.amend(t.Context(), func(rec *identity.Record) error {
		if times++; times == 1 {
			other := *rec
			other.Lent, other.Seq = 7e9, rec.Seq+1
			if _, err := r.log.commit(p.self, Op{Key: identity.MemberKey(p.self), Value: r.ids.Seal(0, other)}); err != nil {
				t.Fatal(err)
			}
		}
		rec.Tags = []string{"ssd"}
		return nil
	})
	rec, _ := p.state.Authority().Member(p.self)
	if err != nil || times != 2 || rec.Lent != 7e9 || !slices.Equal(rec.Tags, []string{"ssd"}) {
		t.Errorf("after %d tries: %+v, %v", times, rec, err)
	}
}

// TestMirrorsAreCounted: of this peer by its tracker, of another by its word, and
// only what the mirrored one holds.
func TestMirrorsAreCounted(t *testing.T) {
	r := newRig(t, 5)
	p, q := r.peers[0], r.peers[2]
	alice, bob := r.ids.ID(1), r.ids.ID(3)
	for of, who := range map[string]*rigPeer{"peer1": p, "peer3": p, pinset.MirrorAll: q} {
		if err := who.AddMirror(t.Context(), of); err != nil {
			t.Fatal(err)
		}
	}
	const pins = 40
	var want pinset.Mirror
	for i := range pins {
		pin := p.pin(pinset.Pin{CID: cidN(i), Replication: pinset.Replication{Min: 1, Max: 1}, Size: 100})
		if slices.Contains(p.Allocate(pin), alice) {
			want.Pins++
			want.Bytes += 100
			if want.Pins%2 == 0 {
				p.tracker.set(pinset.Local{CID: cidN(i), Status: pinset.StatusPinned})
				continue
			}
			want.Behind++
			want.Missing += 100
		}
	}
	if want.Behind == 0 || want.Pins == pins {
		t.Fatalf("the test places %d of %d pins at alice", want.Pins, pins)
	}
	q.says(cidN(0), cidN(1))
	got := slices.DeleteFunc(p.mirrorsNow(t), func(m pinset.Mirror) bool { return m.Of == bob.String() })
	want.Peer, want.Name, want.Self, want.Of, want.OfName = p.self, "peer0", true, alice.String(), "peer1"
	all := pinset.Mirror{Peer: q.self, Name: "peer2", Of: pinset.MirrorAll, Pins: pins, Bytes: 100 * pins, Behind: 2, Missing: 200}
	times := cmpopts.IgnoreFields(pinset.Mirror{}, "Changed", "Heard")
	if diff := cmp.Diff([]pinset.Mirror{want, all}, got, times); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, m := range got {
		if m.Changed.IsZero() || m.Heard.IsZero() {
			t.Errorf("%s: changed %v, heard %v", m.Name, m.Changed, m.Heard)
		}
	}
}
