package daemon_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pinfold/pinfold/ipfsclient/kubotest"
	"github.com/pinfold/pinfold/pinset"
)

// unequal is a rig of peers that lend 1, 1, 2 and 4 TB, with pins of known size.
func unequal(t *testing.T, pins int) *rig {
	t.Helper()
	r := newRig(t, 1, map[string]string{"tracker.grace": "1s"})
	for _, give := range []string{"1TB", "2TB", "4TB"} {
		r.join(map[string]string{"give": give, "tracker.grace": "1s"})
	}
	pinAll(t, r.peers[0], 16, 0, pins)
	r.all(pins)
	kubotest.Eventually(t, rigPatience, "all sizes are known", func() error {
		o, err := r.peers[0].Outlook(t.Context())
		if err == nil && o.Unsized > 0 {
			err = fmt.Errorf("of %d pins they are not", o.Unsized)
		}
		return err
	})
	return r
}

// TestAPlanComesTrue: what is foretold of a member that leaves is what the others
// then hold.
func TestAPlanComesTrue(t *testing.T) {
	r := unequal(t, 60)
	o, err := r.peers[0].Outlook(t.Context(), "leave:p4")
	if err != nil || o.Pins != 60 || o.Moved.Copies == 0 || o.Moved.Bytes == 0 || o.Short.After != 0 {
		t.Fatalf("%+v, %v", o, err)
	}
	if err := r.peers[3].Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-r.peers[3].done
	r.peers[3].stop = nil
	r.peers = r.peers[:3]
	held := map[string]uint64{}
	kubotest.Eventually(t, rigPatience, "the others hold it", func() error {
		clear(held)
		for i := range 60 {
			s, err := r.peers[0].Status(t.Context(), imagined(i), false)
			if err != nil {
				return err
			}
			for _, h := range s.Holdings {
				if h.Assigned && h.Status != pinset.StatusPinned {
					return fmt.Errorf("pin %d is %s at %s", i, h.Status, h.Name)
				}
				if h.Assigned {
					held[h.Name]++
				}
			}
		}
		return nil
	})
	for _, m := range o.Members {
		if m.After.Copies != held[m.Name] {
			t.Errorf("%s: %d copies were foretold, it holds %d", m.Name, m.After.Copies, held[m.Name])
		}
	}
}

func TestExplainAndBalanceOfAWholeCluster(t *testing.T) {
	r := unequal(t, 40)
	e, err := r.peers[1].Explain(t.Context(), imagined(7))
	if err != nil || len(e.Pins) != 1 {
		t.Fatalf("%+v, %v", e, err)
	}
	_, holders, err := r.peers[0].PinOf(t.Context(), imagined(7), "")
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range e.Pins[0].Members {
		if is := slices.Contains(holders, m.Peer); is != (i < len(holders)) || is && (m.Role != "binding" && m.Role != "best effort") {
			t.Errorf("row %d is %+v, the holders are %v", i, m, holders)
		}
	}
	b, err := r.peers[1].Balance(t.Context())
	if err != nil || len(b.Members) != 4 || b.Pins != 40 || b.Spread.Mean <= 0 || b.Spread.Most < b.Spread.Mean {
		t.Errorf("%+v, %v", b, err)
	}
	kubotest.Eventually(t, rigPatience, "the members use what is assigned to them", func() error {
		b, err := r.peers[1].Balance(t.Context())
		for _, m := range b.Members {
			if err == nil && m.Used != m.Assigned.Bytes {
				err = fmt.Errorf("%s uses %d bytes and is assigned %d", m.Name, m.Used, m.Assigned.Bytes)
			}
		}
		return err
	})
	_, err = r.peers[0].Outlook(t.Context(), "leave:p9")
	if pinset.KindOf(err) != pinset.KindNotFound {
		t.Errorf("a stranger leaves: %v", err)
	}
}
