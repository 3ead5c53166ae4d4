package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/cluster/internal/ask"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

func TestRestatingWritesOnlyWhatChanged(t *testing.T) {
	r := newRig(t, 2)
	p := r.peers[1]
	before := len(r.log.commits)
	if err := p.amend(context.Background(), func(*identity.Record) error { return nil }); err != nil || len(r.log.commits) != before {
		t.Errorf("no change: %v, %d deltas", err, len(r.log.commits)-before)
	}
	if err := p.amend(context.Background(), func(rec *identity.Record) error { rec.Phi = 7; return nil }); err != nil {
		t.Fatal(err)
	}
	if m, _ := r.log.authority.Member(p.self); m.Phi != 7 || m.Seq != 2 {
		t.Errorf("the record has phi %d, seq %d", m.Phi, m.Seq)
	}
	if err := p.amend(context.Background(), func(rec *identity.Record) error { rec.Phi = identity.FullPhi + 1; return nil }); pinset.KindOf(err) != pinset.KindInvalid {
		t.Errorf("an impossible record: %v", err)
	}
	r.log.fail = errors.New("disk full")
	if err := p.amend(context.Background(), func(rec *identity.Record) error { rec.Phi = 8; return nil }); err == nil {
		t.Error("no error though nothing could be written")
	}
}

func TestRestatingAtOnceLosesNothing(t *testing.T) {
	r := newRig(t, 1)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if err := r.peers[0].amend(context.Background(), func(rec *identity.Record) error { rec.InPerDay += 1 << i; return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if m, _ := r.log.authority.Member(r.ids.ID(0)); m.InPerDay != 255 {
		t.Errorf("after eight changes the record says %d, want 255", m.InPerDay)
	}
}

func TestDraining(t *testing.T) {
	for _, tc := range []struct {
		name     string
		by, whom int
		before   func(*rig)
		kind     pinset.Kind // 0: it works
	}{
		{"oneself", 1, 1, nil, 0},
		{"another, as an admin", 0, 1, nil, 0},
		{"another, as no admin", 1, 2, nil, pinset.KindForbidden},
		{"another, as an admin who was made one", 1, 2, func(r *rig) {
			if err := r.peers[0].SetRole(context.Background(), r.ids.ID(1), "admin"); err != nil {
				r.t.Fatal(err)
			}
		}, 0},
		{"who cannot be reached", 0, 1, func(r *rig) { r.split(1) }, pinset.KindUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, 3)
			if tc.before != nil {
				tc.before(r)
			}
			err := r.peers[tc.by].Drain(context.Background(), r.ids.ID(tc.whom))
			m, _ := r.log.authority.Member(r.ids.ID(tc.whom))
			if tc.kind != 0 {
				if pinset.KindOf(err) != tc.kind || m.State != identity.Active {
					t.Errorf("%v, and it is %s; want kind %v", err, m.State, tc.kind)
				}
				return
			}
			if err != nil || m.State != identity.Draining {
				t.Fatalf("%v, and it is %s", err, m.State)
			}
			for i := range 50 {
				if holders := r.peers[0].View().Allocate(allocation.Item{Hash: cidN(i).Hash()}).Holders; slices.Contains(holders, m.Peer) {
					t.Fatalf("item %d is still given to it: %v", i, holders)
				}
			}
			if err := r.peers[tc.by].Undrain(context.Background(), r.ids.ID(tc.whom)); err != nil {
				t.Fatal(err)
			}
			if m, _ := r.log.authority.Member(m.Peer); m.State != identity.Active {
				t.Errorf("after undraining it is %s", m.State)
			}
		})
	}
}

func TestOnlyAnAdminIsObeyed(t *testing.T) {
	r := newRig(t, 3)
	for from, kind := range map[int]pinset.Kind{1: pinset.KindForbidden, 0: 0} {
		err := r.peers[2].obey(context.Background(), r.ids.ID(from), ask.Request{What: ask.Drain})
		if (err != nil) != (kind != 0) || err != nil && pinset.KindOf(err) != kind {
			t.Errorf("asked by peer %d: %v, want kind %v", from, err, kind)
		}
	}
}

func TestRolesChangeWhileTheyRun(t *testing.T) {
	r := newRig(t, 3)
	ctx, bob := context.Background(), r.ids.ID(1)
	for _, role := range []string{"keeper", "observer", "writer", "admin", "default"} {
		if err := r.peers[0].SetRole(ctx, bob, role); err != nil {
			t.Fatalf("%s: %v", role, err)
		}
		want := role
		if role == "default" {
			want = "writer"
		}
		if got := r.log.authority.Role(bob).String(); got != want {
			t.Errorf("after %s it is %s", role, got)
		}
		_, _, err := r.peers[1].Pin(ctx, pinset.Pin{CID: cidN(1)})
		if may := role != "keeper" && role != "observer"; may != (err == nil) {
			t.Errorf("%s pins: %v", role, err)
		}
	}
	for name, tc := range map[string]struct {
		by   int
		whom int
		role string
		kind pinset.Kind
		say  string
	}{
		"by no admin":       {1, 2, "keeper", pinset.KindForbidden, "no admin"},
		"of a typo":         {0, 1, "keepr", pinset.KindInvalid, "keepr"},
		"of the last admin": {0, 0, "writer", pinset.KindConflict, "only admin"},
	} {
		err := r.peers[tc.by].SetRole(ctx, r.ids.ID(tc.whom), tc.role)
		if pinset.KindOf(err) != tc.kind || !strings.Contains(fmt.Sprint(err), tc.say) || pinset.HintOf(err) == "" {
			t.Errorf("a role %s: %v, want %v that says %q, with a hint", name, err, tc.kind, tc.say)
		}
	}
}

// TestReplacingMovesOnlyWhatTheOldOneHeld: the new member gets all of that.
func TestReplacingMovesOnlyWhatTheOldOneHeld(t *testing.T) {
	r := newRig(t, 6)
	old, by := r.ids.ID(2), r.ids.ID(5)
	r.rewrite(5, func(rec *identity.Record) { rec.State = identity.Draining }) // it is not there yet
	holders := func(i int) []peer.ID {
		return slices.Sorted(slices.Values(r.peers[0].View().Allocate(allocation.Item{Hash: cidN(i).Hash()}).Holders))
	}
	var before [][]peer.ID
	for i := range 200 {
		before = append(before, holders(i))
	}
	if err := r.peers[1].Replace(context.Background(), old, by); pinset.KindOf(err) != pinset.KindForbidden {
		t.Errorf("by no admin: %v", err)
	}
	if err := r.peers[0].Replace(context.Background(), old, by); err != nil {
		t.Fatal(err)
	}
	r.rewrite(5, func(rec *identity.Record) { rec.State = identity.Active })
	moved := 0
	for i, want := range before {
		want = slices.Clone(want)
		if at := slices.Index(want, old); at >= 0 {
			want[at] = by
			moved++
		}
		if slices.Sort(want); !slices.Equal(holders(i), want) {
			t.Fatalf("item %d: held by %v, want %v", i, holders(i), want)
		}
	}
	if m, _ := r.log.authority.Member(old); m.State != identity.Draining || moved == 0 {
		t.Errorf("the old one is %s, %d items moved", m.State, moved)
	}
	r.split(3)
	if err := r.peers[0].Replace(context.Background(), r.ids.ID(3), r.ids.ID(4)); pinset.KindOf(err) != pinset.KindUnavailable || !strings.Contains(pinset.HintOf(err), "evict") {
		t.Errorf("who cannot be told: %v", err)
	}
}
