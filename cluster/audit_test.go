package cluster

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/cluster/internal/statement"
	"github.com/pinfold/pinfold/pinset"
)

func accountOf(t *testing.T, a pinset.Audit, id peer.ID) pinset.AuditedPeer {
	t.Helper()
	for _, m := range a.Members {
		if m.Peer == id {
			return m
		}
	}
	t.Fatalf("%s is not in the audit", id)
	return pinset.AuditedPeer{}
}

// TestAuditNamesWhoLostWhat: from promise over loss to repair, as another member
// sees it, over a restart of that one.
func TestAuditNamesWhoLostWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		everywhere := pinset.Replication{Min: 3, Max: 3}
		r.peers[0].pin(pinset.Pin{CID: cidN(1), Name: "kept", Size: 100, Replication: everywhere})
		r.peers[0].pin(pinset.Pin{CID: cidN(2), Name: "lost", Owner: "bob", Replication: everywhere})
		liar := r.ids.ID(1)
		audit := func() (pinset.Audit, pinset.AuditedPeer) {
			t.Helper()
			a, err := r.peers[0].Audit(t.Context(), 30*24*time.Hour, 0)
			if err != nil {
				t.Fatal(err)
			}
			return a, accountOf(t, a, liar)
		}
		if _, m := audit(); m.Assigned != 2 || m.Unsaid != 2 || m.Kept != 0 || !m.Said.IsZero() {
			t.Errorf("before it spoke: %+v", m)
		}
		r.peers[1].says(cidN(2))
		if a, m := audit(); m.Missing != 1 || m.Held != 1 || m.Promised != 1 || m.Bytes != 100 || m.Lacking.IsZero() || a.Broken != 0 {
			t.Errorf("not there yet: %+v", m)
		}
		time.Sleep(time.Hour)
		r.peers[1].says()
		promised := time.Now().UTC().Truncate(time.Second)
		time.Sleep(time.Hour)
		r.peers[1].says(cidN(2))
		lost := time.Now().UTC().Truncate(time.Second)
		time.Sleep(time.Hour)
		r.peers[1].tracker.report.Items++ // it goes on speaking
		must(t, 0, r.peers[1].say(t.Context()))
		r.peers[0] = r.open(0, r.peers[0].store) // restart of who audits
		a, m := audit()
		if m.Lost != 1 || m.Held != 1 || m.Promised != 2 || a.Broken != 1 || len(a.Lost) != 1 || m.Kept != 4 || len(m.Flaws) != 0 || !m.Heard {
			t.Fatalf("%+v, %+v", a, m)
		}
		want := pinset.LostPromise{CID: cidN(2).String(), Pin: "lost", Owner: "bob", Peer: liar, Name: m.Name, Promised: promised, Lost: lost}
		if a.Lost[0] != want {
			t.Errorf("%+v, want %+v", a.Lost[0], want)
		}
		r.peers[1].says()
		if a, m := audit(); m.Lost != 0 || m.Repaired != 1 || a.Broken != 0 {
			t.Errorf("repaired: %+v", m)
		}
		r.peers[0].pin(pinset.Pin{CID: cidN(2), Owner: "bob", Name: "changed", Replication: everywhere})
		if _, m := audit(); m.Unsaid != 1 || m.Held != 1 {
			t.Errorf("changed since: %+v", m)
		}
	})
}

// A member that signs two histories is shown, whichever of them arrives here.
func TestAuditShowsForkedChains(t *testing.T) {
	r := newRig(t, 3)
	forger := func(seq, items uint64, prev []byte) []byte {
		s := statement.Statement{Seq: seq, Items: items, View: r.peers[0].View().Digest(), At: time.Now(), Vector: map[peer.ID]uint64{}}
		if prev != nil {
			h := statement.HashOf(prev)
			s.Prev = h[:]
		}
		raw, err := s.Seal(r.ids.Keys[1], r.ids.Founding.ID())
		return must(t, raw, err)
	}
	take := func(i int, raws ...[]byte) pinset.AuditedPeer {
		for _, raw := range raws {
			if _, err := r.peers[i].Accept(context.Background(), raw); err != nil {
				t.Fatal(err)
			}
		}
		a, err := r.peers[i].Audit(t.Context(), time.Hour, 0)
		must(t, a, err)
		return accountOf(t, a, r.ids.ID(1))
	}
	one := forger(1, 1, nil)
	two, other := forger(2, 5, one), forger(2, 9, one)
	if m := take(0, one, two, forger(3, 5, two)); m.Broken() || len(m.Flaws) != 0 {
		t.Errorf("honest: %+v", m)
	}
	if m := take(0, other); !m.Broken() || m.Flaws[0].Kind != "fork" || m.Flaws[0].Seq != 2 {
		t.Errorf("two statements with one number: %+v", m.Flaws)
	}
	if m := take(2, one, two, forger(3, 9, other)); !m.Broken() || m.Flaws[0].Kind != "broken" || m.Flaws[0].Seq != 3 {
		t.Errorf("a chain over the other one: %+v", m.Flaws)
	}
}
