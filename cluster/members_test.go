package cluster

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/cluster/internal/roster"
	"github.com/pinfold/pinfold/cluster/internal/statement"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// TestRecordsBecomeAllocationInput has a row for each field that decides who holds
// what, and for what must not.
func TestRecordsBecomeAllocationInput(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*identity.Record)
		role   identity.Role
		want   func(*allocation.Member)
	}{
		{"plain", func(*identity.Record) {}, 0, func(*allocation.Member) {}},
		{"bytes become MiB, cut", func(r *identity.Record) { r.Lent = 5<<20 + 1<<20 - 1 }, 0, func(m *allocation.Member) { m.Cap = 5 }},
		{"a trickle a day is not no limit", func(r *identity.Record) { r.InPerDay = 1000 }, 0, func(m *allocation.Member) { m.InCap = 1 }},
		{"a limit a day", func(r *identity.Record) { r.InPerDay = 7 << 20 }, 0, func(m *allocation.Member) { m.InCap = 7 }},
		{"phi", func(r *identity.Record) { r.Phi = 77 }, 0, func(m *allocation.Member) { m.Phi = 77 }},
		{"domains and tags", func(r *identity.Record) { r.Domains, r.Tags = []string{"fr", "h1"}, []string{"ssd"} }, 0,
			func(m *allocation.Member) { m.Domains, m.Tags = []string{"fr", "h1"}, []string{"ssd"} }},
		{"a mirror of everything", func(r *identity.Record) { r.Mirrors = []string{pinset.MirrorAll} }, 0, func(m *allocation.Member) { m.Mirror = true }},
		{"a mirror of a member", func(r *identity.Record) { r.Mirrors = []string{r.Peer.String()} }, 0, func(m *allocation.Member) { m.Mirrors = []peer.ID{m.ID} }},
		{"a wish from a newer version", func(r *identity.Record) { r.Mirrors = []string{"alice"} }, 0, func(*allocation.Member) {}},
		{"draining", func(r *identity.Record) { r.State = identity.Draining }, 0, func(m *allocation.Member) { m.State = allocation.Draining }},
		{"a later incarnation", func(r *identity.Record) { r.Incarnation = 3 }, 0, func(m *allocation.Member) { m.Incarnation = 3 }},
		{"a keeper holds", func(*identity.Record) {}, identity.RoleKeeper, func(*allocation.Member) {}},
		{"an observer holds nothing", func(r *identity.Record) { r.Mirrors = []string{pinset.MirrorAll} }, identity.RoleObserver, func(m *allocation.Member) { m.Cap = 0 }},
	} {
		r := newRigWith(t, 2, identity.DefaultPolicy(), func(i int, rec *identity.Record) {
			if i == 1 {
				tc.change(rec)
			}
		})
		if tc.role != 0 {
			r.setRole(1, tc.role)
		}
		want := allocation.Member{ID: r.ids.ID(1), Cap: 1e12 >> 20, Phi: identity.FullPhi}
		tc.want(&want)
		members, policy := roster.Of(r.log.authority)
		var got allocation.Member
		for _, m := range members {
			if m.ID == want.ID {
				got = m
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
		if policy != (allocation.Policy{Algo: 1, FillDays: 30, StrictShare: 50, Replication: pinset.Replication{Min: 2, Max: 3}}) {
			t.Errorf("%s: policy %+v", tc.name, policy)
		}
	}
}

func (r *rig) setRole(i int, role identity.Role) {
	r.t.Helper()
	value, err := role.Encode()
	must(r.t, value, err)
	_, err = r.log.commit(r.ids.ID(0), Op{Key: identity.RoleKey(r.ids.ID(i)), Value: value})
	must(r.t, 0, err)
}

// rewrite writes a changed record of the i-th member.
func (r *rig) rewrite(i int, change func(*identity.Record)) {
	r.t.Helper()
	rec, _ := r.log.authority.Member(r.ids.ID(i))
	rec.Seq = r.log.authority.NextSeq(rec.Peer)
	change(&rec)
	_, err := r.log.commit(rec.Peer, Op{Key: identity.MemberKey(rec.Peer), Value: r.ids.Seal(i, rec)})
	must(r.t, 0, err)
}

func (r *rig) setPolicy(change func(*identity.Policy)) {
	r.t.Helper()
	p := r.log.authority.Policy()
	change(&p)
	value, err := p.Encode()
	must(r.t, value, err)
	_, err = r.log.commit(r.ids.ID(0), Op{Key: identity.PolicyKey, Value: value})
	must(r.t, 0, err)
}

func TestViewFollowsTheMembership(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*rig)
		other  bool
	}{
		{"nothing", func(*rig) {}, false},
		{"a new name", func(r *rig) { r.rewrite(1, func(rec *identity.Record) { rec.Name = "bob" }) }, false},
		{"more lent", func(r *rig) { r.rewrite(1, func(rec *identity.Record) { rec.Lent *= 2 }) }, true},
		{"a member leaves", func(r *rig) { must(r.t, 0, r.peers[1].Leave(t.Context())) }, true},
		{"a role that holds nothing", func(r *rig) { r.setRole(1, identity.RoleObserver) }, true},
		{"a role that holds as before", func(r *rig) { r.setRole(1, identity.RoleKeeper) }, false},
		{"another default replication", func(r *rig) { r.setPolicy(func(p *identity.Policy) { p.Min, p.Max = 1, 1 }) }, true},
		{"another grace time", func(r *rig) { r.setPolicy(func(p *identity.Policy) { p.Grace = time.Hour }) }, false},
	} {
		r := newRig(t, 3)
		p := r.peers[0]
		before, changed := p.View(), p.Changed()
		tc.change(r)
		if other := p.View() != before; other != tc.other {
			t.Errorf("%s: another view: %v", tc.name, other)
		}
		select {
		case <-changed:
			if !tc.other {
				t.Errorf("%s: told of a change", tc.name)
			}
		default:
			if tc.other {
				t.Errorf("%s: not told", tc.name)
			}
		}
	}
}

// holderOf returns an index of a peer that shall hold p, other than not.
func (r *rig) holderOf(p pinset.Pin, not ...int) int {
	r.t.Helper()
	for _, id := range r.peers[0].Allocate(p) {
		for i := range r.peers {
			skip := false
			for _, n := range not {
				skip = skip || n == i
			}
			if r.ids.ID(i) == id && !skip {
				return i
			}
		}
	}
	r.t.Fatal("nobody holds it")
	return -1
}

// TestCovered has a row for each way in which a word does not cover a pin, and for
// those in which it at least said so once.
func TestCovered(t *testing.T) {
	for _, tc := range []struct {
		name   string
		before func(r *rig, p pinset.Pin, holder int)
		after  func(r *rig, p pinset.Pin, holder int)
		want   bool
		said   bool
	}{
		{"it says so", nil, nil, true, true},
		{"it says nothing", func(r *rig, _ pinset.Pin, h int) { r.peers[h].tracker.report = Report{} }, nil, false, false},
		{"it excepts it", func(r *rig, p pinset.Pin, h int) { r.peers[h].reports(p.CID) }, nil, false, false},
		{"it excepts another", func(r *rig, _ pinset.Pin, h int) { r.peers[h].reports(cidN(500)) }, nil, true, true},
		{"it spoke before the pin", func(r *rig, _ pinset.Pin, h int) {
			r.peers[h].tracker.report.Vector = map[peer.ID]uint64{r.ids.ID(0): 1}
		}, nil, false, false},
		{"the pin changed since", nil, func(r *rig, p pinset.Pin, _ int) { p.Name = "new"; r.peers[0].pin(p) }, false, false},
		{"another pin changed since", nil, func(r *rig, p pinset.Pin, _ int) { r.peers[0].pin(pinset.Pin{CID: cidN(501)}) }, true, true},
		{"the membership changed since", nil, func(r *rig, _ pinset.Pin, h int) {
			r.rewrite(h, func(rec *identity.Record) { rec.Lent /= 2 })
		}, false, true},
		{"the policy changed since", nil, func(r *rig, _ pinset.Pin, h int) {
			r.setPolicy(func(p *identity.Policy) { p.Grace = time.Hour })
		}, false, true},
		{"a name changed since", nil, func(r *rig, _ pinset.Pin, h int) {
			r.rewrite(h, func(rec *identity.Record) { rec.Name = "new" })
		}, true, true},
		{"a small size was published since", nil, func(r *rig, p pinset.Pin, h int) {
			must2(r.log.commit(r.ids.ID(0), r.peers[0].state.SizeOp(p.CID, 1000)))
		}, true, true},
		{"a size that moves items was published since", nil, func(r *rig, p pinset.Pin, h int) {
			must2(r.log.commit(r.ids.ID(0), r.peers[0].state.SizeOp(p.CID, roster.ClassSize)))
		}, false, true},
		{"it was removed since", nil, func(r *rig, _ pinset.Pin, h int) {
			must(r.t, 0, r.peers[h].Leave(t.Context()))
		}, false, false},
	} {
		r := newRig(t, 4)
		p := r.peers[0].pin(pinset.Pin{CID: cidN(1)})
		h := r.holderOf(p, 0)
		r.peers[h].reports()
		if tc.before != nil {
			tc.before(r, p, h)
		}
		must(t, 0, r.peers[h].say(t.Context()))
		if tc.after != nil {
			tc.after(r, p, h)
		}
		if got := r.peers[0].Covered(t.Context(), p, r.ids.ID(h)); got != tc.want {
			t.Errorf("%s: covered %v", tc.name, got)
		}
		if got := r.peers[0].Said(t.Context(), p, r.ids.ID(h)); got != tc.said {
			t.Errorf("%s: said %v", tc.name, got)
		}
	}
}

// Whoever is not assigned covers nothing, whatever it says.
func TestOnlyTheAssignedCover(t *testing.T) {
	r := newRig(t, 6)
	for n := range 40 {
		r.peers[0].pin(pinset.Pin{CID: cidN(n), Replication: pinset.Replication{Min: 1, Max: 2}})
	}
	for _, p := range r.peers {
		p.says()
	}
	for n := range 40 {
		p := must2(r.peers[0].PinOf(t.Context(), cidN(n), ""))
		holders := r.peers[1].Allocate(p)
		for i := range r.peers {
			want := holders[0] == r.ids.ID(i) || holders[1] == r.ids.ID(i)
			if got := r.peers[2].Covered(t.Context(), p, r.ids.ID(i)); got != want {
				t.Fatalf("pin %d, peer %d: covered %v, want %v", n, i, got, want)
			}
		}
	}
}

func TestStatementsAreSaidWhenTheyAreNew(t *testing.T) {
	r := newRig(t, 2)
	p := r.peers[0]
	steps := []struct {
		name string
		do   func()
		said bool
	}{
		{"not ready", func() { p.tracker.report = Report{} }, false},
		{"ready", func() { p.reports() }, true},
		{"the same again", func() { p.reports() }, false},
		{"something is missing", func() { p.reports(cidN(1)) }, true},
		{"something else is", func() { p.reports(cidN(2)) }, true},
		{"a new delta was looked at", func() { r.peers[1].pin(pinset.Pin{CID: cidN(3)}); p.reports(cidN(2)) }, true},
		{"nothing is missing again", func() { p.reports() }, true},
		{"a restart with the same", func() { r.peers[0] = r.open(0, p.store); p = r.peers[0]; p.reports() }, false},
		{"a restart without its store", func() {
			old := p.Record(p.self)
			r.peers[0] = r.open(0, newRig(t, 1).peers[0].store)
			p = r.peers[0]
			must2(p.Accept(t.Context(), old))
			p.reports()
		}, true},
		{"others have a newer word of a restored disk", func() {
			ahead := statement.Statement{Seq: 99, Vector: map[peer.ID]uint64{}}
			raw, err := ahead.Seal(r.ids.Keys[0], r.ids.Founding.ID())
			must(t, raw, err)
			must2(p.Accept(t.Context(), raw))
		}, true},
		{"after leaving", func() {
			must(t, 0, p.SetRole(t.Context(), r.ids.ID(1), "admin"))
			must(t, 0, p.Leave(t.Context()))
			p.reports()
		}, false},
	}
	for _, s := range steps {
		s.do()
		before := p.net.shares()
		must(t, 0, p.say(t.Context()))
		if said := p.net.shares() > before; said != s.said {
			t.Errorf("%s: said %v", s.name, said)
		}
	}
}

// What a power cut may undo is not put a name to.
func TestStatementsWaitForTheDisk(t *testing.T) {
	r := newRig(t, 2)
	p := r.peers[0]
	p.reports()
	r.log.unsynced = errors.New("disk failed")
	if err := p.say(t.Context()); err == nil || p.net.shares() != 0 || p.book.Latest(p.self) != nil {
		t.Errorf("said: %v", err)
	}
	r.log.unsynced = nil
	if err := p.say(t.Context()); err != nil || p.net.shares() != 1 {
		t.Errorf("not said: %v", err)
	}
}

func TestStatementTellsSinceWhenNothingIsMissing(t *testing.T) {
	r := newRig(t, 2)
	p := r.peers[0]
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	p.cfg.Now = func() time.Time { return now }
	word := func(missing ...cid.Cid) *statement.Statement {
		r.peers[1].pin(pinset.Pin{CID: cidN(1), Name: fmt.Sprint(now)})
		p.says(missing...)
		now = now.Add(time.Hour)
		return p.book.Latest(p.self)
	}
	first := word()
	if !first.Since.Equal(now.Add(-time.Hour)) || first.Missing != 0 {
		t.Errorf("at first: %+v", first)
	}
	if s := word(); !s.Since.Equal(first.Since) {
		t.Errorf("an hour later: since %s", s.Since)
	}
	if s := word(cidN(1)); !s.Since.IsZero() || s.Missing != 1 {
		t.Errorf("with one missing: %+v", s)
	}
	if s := word(); !s.Since.Equal(now.Add(-time.Hour)) {
		t.Errorf("whole again: since %s", s.Since)
	}
}

// The digest is in a statement only if it is of exactly what the vector names.
func TestStatementHasADigestThatFits(t *testing.T) {
	r := newRig(t, 2)
	p := r.peers[0]
	p.says()
	sum := p.state.Summary()
	if s := p.book.Latest(p.self); string(s.Digest) != string(sum.Digest[:]) {
		t.Errorf("digest %x, want %x", s.Digest, sum.Digest)
	}
	p.reports()
	r.peers[1].pin(pinset.Pin{CID: cidN(1)})
	p.tracker.report.Items++
	must(t, 0, p.say(t.Context()))
	if s := p.book.Latest(p.self); s.Digest != nil {
		t.Errorf("digest %x of another state", s.Digest)
	}
}
