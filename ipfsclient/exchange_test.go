package ipfsclient

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// What a Kubo counts begins at nothing when it restarts, and what it counts of one
// partner when they part.
func TestExchangedOverRestartsAndPartings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		friend, former, stranger := aPeer(t, "12D3KooWAw5Bais7f4MRZ8rQiPmzLD2DveHU1ZgtPf4kRk8T9NmZ"),
			aPeer(t, "12D3KooWMsqgMrqqNqZ2jfB3vAiRnUWSw1DqH9iDK5qKrJERddhX"), aPeer(t, "12D3KooWLqkZ1d3egQmQtyZtZn2K5BxGN4YPyybgfrMPY7RZRmRe")
		var all [2]uint64
		partners := map[peer.ID][2]uint64{} // in, out
		c, _ := served(t, Config{}, kubo(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "bitswap/ledger") {
				id, err := peer.Decode(r.URL.Query().Get("arg"))
				if err != nil {
					t.Error(err)
				}
				f := partners[id]
				fmt.Fprintf(w, `{"Peer":"x","Value":0,"Sent":%d,"Recv":%d,"Exchanged":1}`+"\n", f[1], f[0])
				return
			}
			fmt.Fprintf(w, `{"DataReceived":%d,"DataSent":%d,"Peers":[]}`+"\n", all[0], all[1])
		}))
		for _, step := range []struct {
			name     string
			all      [2]uint64
			partners map[peer.ID][2]uint64
			want     pinset.Exchange
		}{
			{"what was before the first look does not count", [2]uint64{1000, 500}, map[peer.ID][2]uint64{friend: {100, 50}}, pinset.Exchange{}},
			{"from and to a friend", [2]uint64{1300, 520}, map[peer.ID][2]uint64{friend: {400, 70}}, pinset.Exchange{FromMembers: 300, ToMembers: 20}},
			{"from others", [2]uint64{1310, 520}, map[peer.ID][2]uint64{friend: {400, 70}, stranger: {10, 0}}, pinset.Exchange{FromMembers: 300, FromOthers: 10, ToMembers: 20}},
			{"the friend has gone", [2]uint64{1310, 520}, nil, pinset.Exchange{FromMembers: 300, FromOthers: 10, ToMembers: 20}},
			{"and is back", [2]uint64{1315, 521}, map[peer.ID][2]uint64{friend: {5, 1}}, pinset.Exchange{FromMembers: 305, FromOthers: 10, ToMembers: 21}},
			{"it restarted", [2]uint64{7, 0}, map[peer.ID][2]uint64{friend: {4, 0}}, pinset.Exchange{FromMembers: 309, FromOthers: 13, ToMembers: 21}},
			{"another friend", [2]uint64{17, 0}, map[peer.ID][2]uint64{friend: {4, 0}, former: {10, 0}}, pinset.Exchange{FromMembers: 319, FromOthers: 13, ToMembers: 21}},
		} {
			all, partners = step.all, step.partners
			got, err := c.Exchanged(t.Context(), []peer.ID{friend, former, friend})
			if err != nil || got != step.want {
				t.Errorf("%s: %+v, %v, want %+v", step.name, got, err, step.want)
			}
		}
	})
}

func aPeer(t *testing.T, text string) peer.ID {
	t.Helper()
	id, err := peer.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
