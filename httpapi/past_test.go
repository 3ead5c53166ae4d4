package httpapi

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/pinset"
)

func TestThePastOverTheWire(t *testing.T) {
	s := serve(t, Config{})
	at := time.Now().UTC().Truncate(time.Second)
	for name, ago := range map[string]time.Duration{"news/a": 3 * time.Hour, "news/b": time.Minute, "other": time.Minute} {
		s.gone = append(s.gone, pinset.Removed{Pin: pinset.Pin{CID: testCID(name), Name: name, Owner: "", Created: at}, By: testPeer("bob"), At: at.Add(-ago), Until: at.Add(time.Hour)})
	}
	s.gone = append(s.gone, pinset.Removed{Pin: pinset.Pin{CID: testCID("hers"), Owner: "alice", Created: at}, By: testPeer("bob"), At: at, Until: at})
	c := client.New(s.socket, "")
	same := cmp.Options{cmpopts.IgnoreUnexported(pinset.Pin{}), cmp.Comparer(func(a, b cid.Cid) bool { return a.Equals(b) })}
	if diff := cmp.Diff(s.gone, all(t, c.Removed(t.Context(), pinset.RemovedFilter{})), same); diff != "" {
		t.Errorf("removed (-want +got)\n%s", diff)
	}
	for _, tc := range []struct {
		name, token string
		filter      pinset.RemovedFilter
		want        int
	}{
		{"by cid", "admin", pinset.RemovedFilter{CIDs: []cid.Cid{testCID("other"), testCID("hers"), testCID("none")}}, 2},
		{"by name", "admin", pinset.RemovedFilter{Name: "news/a"}, 1},
		{"by the beginning", "admin", pinset.RemovedFilter{Name: "news/*"}, 2},
		{"by time", "admin", pinset.RemovedFilter{Since: at.Add(-time.Hour), Name: "news/*"}, 1},
		{"by owner", "admin", pinset.RemovedFilter{Owner: "alice", Owned: true}, 1},
		{"of a token with an owner", "alice", pinset.RemovedFilter{}, 1},
		{"of a token with a prefix", "news", pinset.RemovedFilter{}, 2},
	} {
		got := all(t, client.New(s.tcp, tc.token).Removed(t.Context(), tc.filter))
		if len(got) != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, len(got), tc.want)
		}
	}
	if n := len(all(t, c.Restore(t.Context(), pinset.RemovedFilter{Name: "news/*"}))); n != 2 || len(s.pins) != 2 {
		t.Errorf("restored %d, there are %d", n, len(s.pins))
	}
	both := pinset.RemovedFilter{CIDs: []cid.Cid{testCID("other"), testCID("hers")}}
	if got := all(t, client.New(s.tcp, "pinner").Restore(t.Context(), both)); len(got) != 1 || got[0].Owner != "" {
		t.Errorf("a token without an owner restores %+v, want the one that is nobody's", got)
	}
	if got := all(t, client.New(s.tcp, "admin").Restore(t.Context(), both)); len(got) != 2 {
		t.Errorf("an admin restores %d, want both", len(got))
	}
	for _, err := range client.New(s.tcp, "reader").Restore(t.Context(), pinset.RemovedFilter{}) {
		if pinset.KindOf(err) != pinset.KindForbidden {
			t.Errorf("a reader restores: %v", err)
		}
	}
	s.merged = []pinset.Merge{{Began: at, Ended: at, From: []pinset.MergeSource{{Author: testPeer("bob"), Deltas: 2, Pinned: 1, Removed: 1}},
		Contested: []pinset.Contest{{CID: testCID("other"), Owner: "alice", Kept: true, Winner: testPeer("bob"), Others: []peer.ID{testPeer("self")}}}, More: 1}}
	if got, err := c.Merges(t.Context()); err != nil || cmp.Diff(s.merged, got, same) != "" {
		t.Errorf("merges: %v\n%s", err, cmp.Diff(s.merged, got, same))
	}
	s.merged[0].Contested = append(s.merged[0].Contested, pinset.Contest{CID: testCID("news/a"), Winner: testPeer("bob")})
	got, err := client.New(s.tcp, "alice").Merges(t.Context())
	if err != nil || len(got) != 1 || len(got[0].Contested) != 1 || got[0].Contested[0].Owner != "alice" {
		t.Errorf("who is bound to an owner sees of the merges %+v, %v", got, err)
	}
}
