package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

func TestExplainIsTheAllocation(t *testing.T) {
	r := newRigWith(t, 6, identity.DefaultPolicy(), func(i int, rec *identity.Record) {
		rec.Domains = []string{"home" + fmt.Sprint(i/2)}
	})
	p := r.peers[0]
	if err := r.peers[5].AddMirror(t.Context(), pinset.MirrorAll); err != nil {
		t.Fatal(err)
	}
	pin := p.pin(pinset.Pin{CID: cidN(1), Name: "one", Size: 5e9})
	other := p.pin(pinset.Pin{CID: cidN(1), Owner: "alice", Name: "hers", Include: []peer.ID{r.ids.ID(3)}, Replication: pinset.Replication{Min: 1, Max: 1}})
	e, err := p.Explain(t.Context(), cidN(1))
	if err != nil || len(e.Pins) != 2 || e.CID != cidN(1).String() {
		t.Fatalf("%+v, %v", e, err)
	}
	for i, want := range []pinset.Pin{pin, other} {
		got, share := e.Pins[i], 0.0
		var holders []peer.ID
		for _, m := range got.Members {
			if m.Role == "binding" || m.Role == "best effort" || m.Role == "named" {
				holders = append(holders, m.Peer)
			}
			if share += m.Share; m.Name == "" || m.Lent != 1e12 || m.Rule == "" || m.Site == "" {
				t.Errorf("%s: %+v", got.Name, m)
			}
		}
		if !slices.Equal(holders, p.Allocate(want)) || got.Name != want.Name || got.Owner != want.Owner || share < 0.999 || share > 1.001 {
			t.Errorf("%s: holders %v, want %v; shares sum to %f", got.Name, holders, p.Allocate(want), share)
		}
	}
	if got := e.Pins[0]; got.Min != 2 || got.Max != 3 || got.Size != 5e9 || got.Members[5].Role != "mirror" || len(got.Members) != 6 {
		t.Errorf("%+v", got)
	}
	if _, err := p.Explain(t.Context(), cidN(2)); pinset.KindOf(err) != pinset.KindNotFound || pinset.HintOf(err) == "" {
		t.Errorf("what nobody pins: %v", err)
	}
}

func TestExplainSaysWhyAPinIsShort(t *testing.T) {
	p := newRig(t, 3).peers[0]
	p.pin(pinset.Pin{CID: cidN(1), Tags: []string{"tape"}})
	e, err := p.Explain(t.Context(), cidN(1))
	if err != nil || e.Pins[0].Short != 2 || !strings.Contains(e.Pins[0].Reason, "tape") || !strings.Contains(e.Pins[0].Members[0].Rule, "tape") {
		t.Errorf("%+v, %v", e, err)
	}
}

// TestBalanceNamesWhatLimitsIt has a row for each limit: who is in the way, and
// nothing else that would be.
func TestBalanceNamesWhatLimitsIt(t *testing.T) {
	for _, tc := range []struct {
		name string
		lent []uint64 // GB
		pin  func(r *rig, i int) pinset.Pin
		do   func(t *testing.T, r *rig)
		want []string // codes
		say  string
	}{
		{"even", []uint64{1000, 1000, 1000}, nil, nil, nil, ""},
		{"one site larger than all others", []uint64{100, 100, 5000, 100}, nil, nil, []string{"site-too-large", "few-pins"}, "of the 5.3 TB lent"},
		{"too few members", []uint64{1000, 1000}, nil, nil, []string{"few-members"}, "3 copies"},
		{"over full", []uint64{30, 1000, 1000}, nil, nil, []string{"over-full", "site-too-large", "few-pins"}, "peer0 is assigned 40 GB and lends 30 GB"},
		{"sizes not known", []uint64{1000, 1000, 1000}, func(r *rig, i int) pinset.Pin { return pinset.Pin{CID: cidN(i)} }, nil,
			[]string{"size-unknown"}, "40 pins are of unknown size"},
		{"everywhere", []uint64{100, 1000, 1000}, nil, func(t *testing.T, r *rig) {
			p := identity.DefaultPolicy()
			p.Min, p.Max = -1, -1
			value, err := p.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.log.commit(r.ids.ID(0), Op{Key: identity.PolicyKey, Value: value}); err != nil {
				t.Fatal(err)
			}
		}, []string{"everywhere", "few-pins"}, "the smallest one is full first"},
		{"named and tagged", []uint64{1000, 1000, 1000, 1000}, func(r *rig, i int) pinset.Pin {
			return pinset.Pin{CID: cidN(i), Size: 5e9, Include: []peer.ID{r.ids.ID(0)}, Tags: []string{}, Replication: pinset.Replication{Min: 1, Max: 1}}
		}, nil, []string{"named", "large-pins"}, "40 pins name members"},
		{"a joiner that fills slowly", []uint64{1000, 1000, 1000, 1000}, nil, func(t *testing.T, r *rig) {
			rec := r.ids.Record(1)
			rec.Phi, rec.Seq = 8192, 2
			if _, err := r.log.commit(rec.Peer, Op{Key: identity.MemberKey(rec.Peer), Value: r.ids.Seal(1, rec)}); err != nil {
				t.Fatal(err)
			}
		}, []string{"asks-for-less", "few-pins"}, "peer1 asks for 12 %"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := filled(t, 0, tc.lent...)
			if tc.do != nil {
				tc.do(t, r)
			}
			for i := range 40 {
				pin := pinset.Pin{CID: cidN(i), Size: 1e9}
				if tc.pin != nil {
					pin = tc.pin(r, i)
				}
				r.peers[0].pin(pin)
			}
			b, err := r.peers[0].Balance(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var codes, texts []string
			for _, l := range b.Limits {
				codes, texts = append(codes, l.Code), append(texts, l.Title)
			}
			if slices.Sort(codes); !slices.Equal(codes, slices.Sorted(slices.Values(tc.want))) || !strings.Contains(strings.Join(texts, "; "), tc.say) {
				t.Errorf("limits %q: %q, want %q that say %q; spread %+v", codes, texts, tc.want, tc.say, b.Spread)
			}
			if len(b.Members) != len(tc.lent) || b.Pins != 40 || b.Members[0].Fill < b.Members[len(tc.lent)-1].Fill || b.Spread.Mean > b.Spread.Most {
				t.Errorf("%+v", b)
			}
		})
	}
}
