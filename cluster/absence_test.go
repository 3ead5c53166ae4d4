package cluster

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// looks has peers look at who is absent, after so much time, in turn.
func (r *rig) looks(after time.Duration, peers ...int) {
	r.t.Helper()
	for _, i := range peers {
		if err := r.peers[i].lookForAbsence(context.Background(), after); err != nil {
			r.t.Fatal(err)
		}
	}
}

const long = 73 * time.Hour // the policy says 72

func TestMoreThanHalfEvictWhoIsAbsent(t *testing.T) {
	r := newRig(t, 5)
	gone := r.ids.ID(4)
	r.split(4)
	r.looks(71*time.Hour, 0, 1, 2, 3)
	if have, _, _ := r.log.authority.Attested(gone, r.ids.ID(0)); have != 0 {
		t.Errorf("a short outage: attested by %d", have)
	}
	for i, member := range []bool{true, true, false} {
		r.looks(2*time.Hour, i)
		if r.log.authority.Is(gone) != member {
			t.Fatalf("with %d of 5: member %v, want %v", i+1, !member, member)
		}
		if i < 2 {
			if codes := healthCodes(r.peers[3]); !slices.Contains(codes, "member-absent") {
				t.Errorf("with %d of 5: health says %v", i+1, codes)
			}
		}
	}
	if !r.log.authority.MayReturn(gone) {
		t.Error("who was only absent may not return, though an admin was among those who said so")
	}
	before := len(r.log.commits)
	r.looks(long, 0, 1, 2, 3)
	if len(r.log.commits) != before {
		t.Error("more is said about who is gone")
	}
}

// TestTwoWhoAttestAtOnce: neither sees the other's word; the next look ends it.
func TestTwoWhoAttestAtOnce(t *testing.T) {
	r := newRig(t, 3)
	gone := r.ids.ID(2)
	r.split(2)
	value, err := identity.CauseAbsent.Encode()
	must(t, value, err)
	for i := range 2 {
		_, err := r.log.commit(r.ids.ID(i), Op{Key: identity.RemovalKey(gone, 0, r.ids.ID(i)), Value: value})
		must(t, 0, err)
	}
	if !r.log.authority.Is(gone) {
		t.Fatal("words alone end no membership")
	}
	r.looks(long, 1)
	if r.log.authority.Is(gone) {
		t.Error("more than half say so, and it is a member")
	}
}

func TestAMinorityEvictsNobody(t *testing.T) {
	r := newRig(t, 5)
	r.split(0, 1) // with the founder
	view := r.peers[0].View()
	for range 5 {
		r.looks(long, 0, 1)
	}
	if n := len(r.log.authority.Members()); n != 5 {
		t.Errorf("%d members are left", n)
	}
	if r.peers[0].View() != view {
		t.Error("a split moves something")
	}
	if err := r.peers[1].Remove(context.Background(), r.ids.ID(4)); pinset.KindOf(err) != pinset.KindForbidden || pinset.HintOf(err) == "" {
		t.Errorf("a member evicts alone: %v", err)
	}
}

func TestWhoHearsNobodySaysNothing(t *testing.T) {
	r := newRig(t, 3)
	r.split(2)
	r.looks(long, 2)
	for i := range 2 {
		if have, _, _ := r.log.authority.Attested(r.ids.ID(i), r.ids.ID(2)); have != 0 {
			t.Errorf("who was cut off says that member %d is absent", i)
		}
	}
}

// TestWhoComesBackVoidsWhatWasSaid: the same share in another incarnation.
func TestWhoComesBackVoidsWhatWasSaid(t *testing.T) {
	r := newRig(t, 5)
	back := r.ids.ID(4)
	shares := func() (out []bool) {
		for i := range 40 {
			out = append(out, slices.Contains(r.peers[0].Allocate(pinset.Pin{CID: cidN(i)}), back))
		}
		return out
	}
	before := shares()
	r.split(4)
	r.looks(long, 0, 1)
	r.cut = map[[2]int]bool{}
	r.looks(time.Minute, 4)
	m, _ := r.log.authority.Member(back)
	have, _, _ := r.log.authority.Attested(back, back)
	if m.Incarnation != 1 || have != 0 {
		t.Fatalf("incarnation %d, attested by %d; want 1 and nobody", m.Incarnation, have)
	}
	if !slices.Equal(before, shares()) {
		t.Error("it is given other items than before")
	}
	commits := len(r.log.commits)
	r.looks(time.Minute, 0, 1, 2, 3, 4)
	if len(r.log.commits) != commits {
		t.Error("something is said about nobody's absence")
	}
	r.split(4)
	r.looks(time.Minute, 0, 1, 2)
	if have, _, _ := r.log.authority.Attested(back, back); have != 0 {
		t.Error("an old silence counts again")
	}
}

func TestNobodyIsEvictedWhereThePolicySaysNever(t *testing.T) {
	r := newRig(t, 3)
	must(t, 0, r.peers[0].SetPolicy(context.Background(), map[string]string{"absent": "0s"}))
	r.split(2)
	r.looks(long, 0, 1, 0, 1)
	if !r.log.authority.Is(r.ids.ID(2)) {
		t.Error("evicted all the same")
	}
}

func healthCodes(p *rigPeer) (codes []string) {
	for _, e := range p.Health(context.Background()) {
		codes = append(codes, e.Code)
	}
	return codes
}
