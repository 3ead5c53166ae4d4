package cluster

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/cluster/internal/abreast"
	"github.com/pinfold/pinfold/cluster/internal/roster"
	"github.com/pinfold/pinfold/pinset"
)

// deficitOf is what a peer answers, by CID.
func deficitOf(t *testing.T, p *rigPeer) map[cid.Cid]pinset.Summary {
	t.Helper()
	out := map[cid.Cid]pinset.Summary{}
	for s, err := range p.Deficit(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := out[s.CID]; twice {
			t.Errorf("%s twice", s.CID)
		}
		out[s.CID] = s
	}
	return out
}

// A pin whose only holder is dead is named, with who and since when, and without
// asking anybody.
func TestDeficitNamesWhatOnlyTheDeadHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4)
		one := r.peers[0].pin(pinset.Pin{CID: cidN(1), Replication: pinset.Replication{Min: 1, Max: 1}})
		h := r.holderOf(one)
		asker := r.peers[(h+1)%4]
		defer r.run(t, asker.index)()
		for _, p := range r.peers {
			p.says()
		}
		time.Sleep(30 * time.Second)
		if d := deficitOf(t, asker); len(d) != 0 || !asker.short.Whole() {
			t.Fatalf("all is well, got %v", d)
		}
		r.split(h)
		asker.net.hears(h, &PeerState{LastHeard: time.Now()})
		asked := asker.net.asked
		time.Sleep(asker.cfg.Lately + time.Minute)
		d := deficitOf(t, asker)
		s, ok := d[cidN(1)]
		if !ok || s.Short != 1 || s.Copies != 0 || s.Since.IsZero() || time.Since(s.Since) > 2*time.Minute {
			t.Fatalf("%+v", d)
		}
		if at := at(s, r, h); at.Status != pinset.StatusClusterError || at.Error != "not heard; it said that it has it" || at.Age < time.Minute {
			t.Errorf("%+v", at)
		}
		if asker.net.asked != asked {
			t.Errorf("%d questions were asked", asker.net.asked-asked)
		}
		asker.net.hears(h, nil)
		r.mu.Lock()
		clear(r.cut)
		r.mu.Unlock()
		if d := deficitOf(t, asker); len(d) != 0 {
			t.Errorf("it is back: %v", d)
		}
	})
}

// oracle walks everything.
func oracle(t *testing.T, p *rigPeer) map[cid.Cid]int {
	t.Helper()
	out := map[cid.Cid]int{}
	silent := p.agreement().Silent
	for pins, err := range abreast.ByCID(p.base.State.Pins(t.Context(), "")) {
		must(t, 0, err)
		need, copies := 0, 0
		for _, pin := range pins {
			at := p.View().Allocate(roster.Item(pin, 0))
			need = max(need, at.Binding+at.Short)
		}
		for _, m := range p.base.State.Authority().Members() {
			covers, some := true, false
			for _, pin := range pins {
				if p.View().Holds(m.Peer, roster.Item(pin, 0)) {
					some = true
					covers = covers && p.Covered(t.Context(), pin, m.Peer)
				}
			}
			if some && covers && !slices.Contains(silent, m.Peer) {
				copies++
			}
		}
		if copies < need {
			out[pins[0].CID] = need - copies
		}
	}
	return out
}

// Whatever happens in whatever order, the answer is that of a walk over
// everything; and once it is quiet no walk is needed for it.
func TestDeficitEqualsTheOracle(t *testing.T) {
	for seed := range int64(25) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewSource(seed))
				r := newRig(t, 5)
				defer r.run(t, 0)()
				missing := map[int][]cid.Cid{}
				quick := 0
				for step := range 60 {
					switch i := rnd.Intn(5); rnd.Intn(8) {
					case 0, 1:
						r.peers[0].pin(pinset.Pin{CID: cidN(rnd.Intn(40)), Name: fmt.Sprint(step)})
					case 2:
						_, _, _ = r.peers[0].Unpin(t.Context(), pinset.Removal{CID: cidN(rnd.Intn(40)), Force: true})
					case 3:
						missing[i] = append(missing[i], cidN(rnd.Intn(40)))
						r.peers[i].says(missing[i]...)
					case 4, 5:
						missing[i] = nil
						r.peers[i].says()
					case 6:
						if i > 0 {
							r.peers[0].net.hears(i, &PeerState{LastHeard: time.Now().Add(-time.Hour)})
						}
					case 7:
						r.peers[0].net.hears(i, nil)
					}
					synctest.Wait()
					time.Sleep(time.Duration(rnd.Intn(4000)) * time.Millisecond)
					synctest.Wait()
					got := map[cid.Cid]int{}
					for k, s := range deficitOf(t, r.peers[0]) {
						got[k] = s.Short
					}
					if diff := cmp.Diff(oracle(t, r.peers[0]), got); diff != "" {
						t.Fatalf("step %d: %s", step, diff)
					}
					if r.peers[0].short.Whole() {
						quick++
					}
				}
				if quick < 20 {
					t.Errorf("only %d of 60 answers did without a walk", quick)
				}
			})
		})
	}
}

// An answer costs what it holds, not what the pinset holds.
func BenchmarkDeficit(b *testing.B) {
	for _, n := range []int{1000, 100000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := newRig(b, 3)
			ops := make([]Op, 0, n)
			for i := range n {
				p := pinset.Pin{CID: cidN(i), Created: time.Now()}
				p.Normalise()
				ops = append(ops, Op{Key: p.Key(), Value: must2(p.Encode())})
			}
			if _, err := r.log.commit(r.ids.ID(0), ops...); err != nil {
				b.Fatal(err)
			}
			for _, p := range r.peers {
				p.says(cidN(1), cidN(2))
			}
			began := time.Now()
			if err := r.peers[0].short.Find(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(time.Since(began).Nanoseconds())/float64(n), "ns/pin-of-a-walk")
			for b.Loop() {
				rows := 0
				for _, err := range r.peers[0].Deficit(b.Context()) {
					if rows++; err != nil {
						b.Fatal(err)
					}
				}
				if rows != 2 {
					b.Fatalf("%d rows", rows)
				}
			}
		})
	}
}
