package cluster

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/canon"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/identity/identitytest"
	"github.com/pinfold/pinfold/pinset"
)

// TestPinHoldsTheRules has a row for each rule about what may be pinned.
func TestPinHoldsTheRules(t *testing.T) {
	stranger := identitytest.Key(t, 99).ID()
	for _, tc := range []struct {
		name string
		peer int
		pin  pinset.Pin
		kind pinset.Kind
		say  string // "" for a pin that is taken
	}{
		{"plain", 0, pinset.Pin{CID: cidN(1)}, 0, ""},
		{"named members", 0, pinset.Pin{CID: cidN(1), Include: nil}, 0, ""},
		{"no cid", 0, pinset.Pin{}, pinset.KindInvalid, "cid"},
		{"unsorted tags are put in order", 0, pinset.Pin{CID: cidN(1), Tags: []string{"b", "a", "b"}}, 0, ""},
		{"a bad tag", 0, pinset.Pin{CID: cidN(1), Tags: []string{"a b"}}, pinset.KindInvalid, "tag"},
		{"a long name", 0, pinset.Pin{CID: cidN(1), Name: strings.Repeat("n", 201)}, pinset.KindInvalid, "name"},
		{"a long owner", 0, pinset.Pin{CID: cidN(1), Owner: strings.Repeat("n", 65)}, pinset.KindInvalid, "owner"},
		{"minimum above maximum", 0, pinset.Pin{CID: cidN(1), Replication: pinset.Replication{Min: 3, Max: 2}}, pinset.KindInvalid, "minimum"},
		{"a stranger is named", 0, pinset.Pin{CID: cidN(1), Include: []peer.ID{stranger}}, pinset.KindInvalid, "no member"},
		{"expired before it began", 0, pinset.Pin{CID: cidN(1), ExpireAt: time.Now().Add(-time.Hour)}, pinset.KindInvalid, "past"},
		{"expires later", 0, pinset.Pin{CID: cidN(1), ExpireAt: time.Now().Add(time.Hour)}, 0, ""},
		{"an origin", 0, pinset.Pin{CID: cidN(1), Origins: []string{"/ip4/203.0.113.7/tcp/4001/p2p/" + stranger.String()}}, 0, ""},
		{"an origin that is no address", 0, pinset.Pin{CID: cidN(1), Origins: []string{"example.org"}}, pinset.KindInvalid, "origin"},
		{"an origin without a peer", 0, pinset.Pin{CID: cidN(1), Origins: []string{"/ip4/203.0.113.7/tcp/4001"}}, pinset.KindInvalid, "origin"},
		{"by a keeper", 1, pinset.Pin{CID: cidN(1)}, pinset.KindForbidden, "keeper"},
		{"by one who was removed", 2, pinset.Pin{CID: cidN(1)}, pinset.KindForbidden, "removed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, 3)
			role := must(t, identity.RoleKeeper, nil)
			value, err := role.Encode()
			_, err2 := r.log.commit(r.ids.ID(0), Op{Key: identity.RoleKey(r.ids.ID(1)), Value: value})
			must(t, 0, errors.Join(err, err2, r.peers[0].Remove(context.Background(), r.ids.ID(2))))
			before := len(r.log.commits)
			got, receipt, err := r.peers[tc.peer].Pin(context.Background(), tc.pin)
			if tc.say == "" {
				if err != nil || receipt.Author != r.ids.ID(tc.peer) || receipt.Seq == 0 || got.Created.IsZero() {
					t.Fatalf("got %+v, %+v, %v", got, receipt, err)
				}
				stored, err := r.peers[tc.peer].PinOf(context.Background(), tc.pin.CID, tc.pin.Owner)
				if diff := cmp.Diff(got, stored, same); diff != "" || err != nil {
					t.Fatalf("stored otherwise: %v %s", err, diff)
				}
				return
			}
			if pinset.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.say) || len(r.log.commits) != before {
				t.Fatalf("got %v (%v), want %q; %d commits", err, pinset.KindOf(err), tc.say, len(r.log.commits)-before)
			}
		})
	}
}

func TestPinningTwiceIsPinningOnce(t *testing.T) {
	r := newRig(t, 2)
	p := pinset.Pin{CID: cidN(1), Name: "a", Size: 77}
	first, one, err := r.peers[0].Pin(t.Context(), p)
	must(t, 0, err)
	n := len(r.log.commits)
	second, two, err := r.peers[1].Pin(t.Context(), pinset.Pin{CID: cidN(1), Name: "a"})
	must(t, 0, err)
	if len(r.log.commits) != n || one.Seq != two.Seq || two.Author != one.Author {
		t.Errorf("%d more commits, receipt %+v, want that of %+v", len(r.log.commits)-n, two, one)
	}
	if diff := cmp.Diff(first, second, same); diff != "" {
		t.Error(diff)
	}
	r.peers[1].cfg.Now = func() time.Time { return time.Now().Add(time.Hour) }
	changed := r.peers[1].pin(pinset.Pin{CID: cidN(1), Name: "b"})
	if changed.Name != "b" || !changed.Created.Equal(first.Created) || changed.Size != 77 {
		t.Errorf("a new name: %+v; creation and measured size stay", changed)
	}
	if pins := must2(r.peers[0].state.PinsOf(t.Context(), cidN(1))); len(pins) != 1 {
		t.Errorf("%d pins", len(pins))
	}
	r.peers[0].pin(pinset.Pin{CID: cidN(1), Owner: "alice"})
	if pins := must2(r.peers[0].state.PinsOf(t.Context(), cidN(1))); len(pins) != 2 {
		t.Errorf("two owners: %d pins", len(pins))
	}
}

func must2[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// What a newer member wrote into a pin stays when this version changes it.
func TestPinKeepsWhatItDoesNotKnow(t *testing.T) {
	r := newRig(t, 1)
	value, err := canon.Marshal(map[string]any{"name": "a", "zone": "attic"})
	must(t, 0, err)
	key := pinset.Key(cidN(1), "")
	must2(r.log.commit(r.ids.ID(0), Op{Key: key, Value: value}))
	r.peers[0].pin(pinset.Pin{CID: cidN(1), Name: "b"})
	var got map[string]any
	must(t, 0, canon.Unmarshal(r.log.rows[key].value, &got))
	if got["zone"] != "attic" || got["name"] != "b" {
		t.Errorf("got %v", got)
	}
}

func TestUnpin(t *testing.T) {
	r := newRig(t, 1)
	p := r.peers[0]
	v0 := cid.NewCidV0(cidN(1).Hash())
	p.pin(pinset.Pin{CID: v0, Name: "a"})
	for _, tc := range []struct {
		name  string
		cid   cid.Cid
		owner string
		kind  pinset.Kind
		ok    bool
	}{
		{"another owner's", v0, "bob", pinset.KindNotFound, false},
		{"another cid", cidN(2), "", pinset.KindNotFound, false},
		{"nothing", cid.Undef, "", pinset.KindInvalid, false},
		{"by its other version", pinset.V1(v0), "", 0, true},
		{"again", v0, "", pinset.KindNotFound, false},
	} {
		got, receipt, err := p.Unpin(t.Context(), pinset.Removal{CID: tc.cid, Owner: tc.owner})
		if (err == nil) != tc.ok || !tc.ok && pinset.KindOf(err) != tc.kind || tc.ok && (got.Name != "a" || receipt.Seq == 0) {
			t.Errorf("%s: %+v, %+v, %v", tc.name, got, receipt, err)
		}
	}
}

func TestUnpinNeedsTheRightToWrite(t *testing.T) {
	r := newRig(t, 2)
	r.peers[0].pin(pinset.Pin{CID: cidN(1)})
	r.setRole(1, identity.RoleKeeper)
	n := len(r.log.commits)
	if _, _, err := r.peers[1].Unpin(t.Context(), pinset.Removal{CID: cidN(1)}); pinset.KindOf(err) != pinset.KindForbidden || len(r.log.commits) != n {
		t.Errorf("by a keeper: %v", err)
	}
}

func TestAFailedCommitIsTold(t *testing.T) {
	r := newRig(t, 1)
	r.log.fail = pinset.Errorf(pinset.KindUnavailable, "disk full")
	if _, _, err := r.peers[0].Pin(t.Context(), pinset.Pin{CID: cidN(1)}); pinset.KindOf(err) != pinset.KindUnavailable {
		t.Errorf("got %v", err)
	}
}
