package cluster

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/cluster/internal/fill"
	"github.com/pinfold/pinfold/identity"
)

func TestNextPhi(t *testing.T) {
	const full, gib = allocation.FullPhi, 1 << 30
	for _, tc := range []struct {
		name    string
		phi     uint32
		report  Report
		settled bool
		want    func(uint32) bool
	}{
		{"nothing to do", full, Report{Ready: true, Bytes: 50 * gib}, true, func(p uint32) bool { return p == full }},
		{"too much", full, Report{Ready: true, Bytes: 80 * gib, Need: 40 * gib}, true, func(p uint32) bool { return p < full*8/10 && p > full*7/10 }},
		{"too much, a moment after a change", full, Report{Ready: true, Bytes: 120 * gib}, false, func(p uint32) bool { return p == full }},
		{"too much, but not looked at all", full, Report{Bytes: 120 * gib}, true, func(p uint32) bool { return p == full }},
		{"joined, all has come", allocation.StartPhi, Report{Ready: true, Bytes: gib}, false, func(p uint32) bool { return p == 2*allocation.StartPhi }},
		{"joined, some is missing for long", allocation.StartPhi, Report{Ready: true, Bytes: gib, Missing: 1}, true, func(p uint32) bool { return p == 2*allocation.StartPhi }},
		{"joined, some is missing", allocation.StartPhi, Report{Ready: true, Bytes: gib, Missing: 1}, false, func(p uint32) bool { return p == allocation.StartPhi }},
		{"the last step", full / 2, Report{Ready: true, Bytes: 40 * gib}, false, func(p uint32) bool { return p == full }},
		{"a step that would be too much", full / 2, Report{Ready: true, Bytes: 60 * gib}, false, func(p uint32) bool { return p < full && p > full/2 }},
	} {
		m := identity.Record{Phi: tc.phi, Lent: 100 * gib}
		if got := fill.NextPhi(m, heldOf(tc.report), 0, tc.settled); !tc.want(got) {
			t.Errorf("%s: %d", tc.name, got)
		}
	}
}

// The crowd is who is active and rather full, by its last statement; this peer by
// what is assigned to it.
func TestCrowdIsOfTheLastWords(t *testing.T) {
	r := newRigWith(t, 4, identity.DefaultPolicy(), func(i int, rec *identity.Record) {
		rec.Lent = []uint64{1000, 320, 320, 3_000_000}[i]
	})
	for i, p := range r.peers[1:] {
		if i != 1 { // one has said nothing yet
			p.says() // that it holds 300 bytes: the last one is nearly empty
		}
	}
	if got := r.peers[0].crowd(Report{Bytes: 900, Need: 60}); got != 1000*(960+300)/1320 {
		t.Errorf("the crowd is %d thousandths full", got)
	}
	r.rewrite(1, func(rec *identity.Record) { rec.State = identity.Draining })
	if got := r.peers[0].crowd(Report{Bytes: 900, Need: 60}); got != 960 {
		t.Errorf("without the one that drains, the crowd is %d thousandths full", got)
	}
}

func TestAShareGrowsToTheWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		p := r.peers[1]
		must(t, 0, p.amend(t.Context(), func(own *identity.Record) error { own.Phi = allocation.StartPhi; return nil }))
		p.tracker.report = Report{Ready: true}
		before := r.commitsNow()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.keepShare(ctx) }()
		time.Sleep(6*growEvery + time.Second)
		if m, _ := p.base.State.Authority().Member(p.self); m.Phi != identity.FullPhi {
			t.Errorf("phi %d after six looks", m.Phi)
		}
		time.Sleep(time.Hour)
		if n := r.commitsNow() - before; n != 6 {
			t.Errorf("%d records written, want 6", n)
		}
		cancel()
		<-done
	})
}
