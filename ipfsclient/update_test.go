package ipfsclient_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/ipfsclient/kubotest"
	"github.com/pinfold/pinfold/pinset"
)

// Why a pin update can be a pin of the new DAG: Kubo fetches only the difference
// anyway. Its pin/update saves the walk over what is here, and keeps the name.
func TestKuboPinOfWhatIsLargelyHereFetchesTheDifference(t *testing.T) {
	from, to := kubotest.Start(t), kubotest.Start(t)
	a, b := client(t, from), client(t, to)
	shared := ipfsclienttest.Noise("shared", 8<<18) // eight blocks
	before := addOne(t, a, shared, "")
	after := addOne(t, a, slices.Concat(shared, ipfsclienttest.Noise("new", 2<<18)), "")
	kubotest.Connect(t, to, from)
	if err := b.Pin(t.Context(), before.CID, pinset.PinOptions{Name: "ours"}); err != nil {
		t.Fatal(err)
	}
	had := received(t, to)
	if err := b.Pin(t.Context(), after.CID, pinset.PinOptions{Name: "ours"}); err != nil {
		t.Fatal(err)
	}
	if got := received(t, to) - had; got < 3 || got > 4 { // two of the data, and the root; at most one above it
		t.Errorf("%d blocks came for a DAG that has 2 new ones and a root beside 8 that were here", got)
	}
	third := addOne(t, a, slices.Concat(shared, ipfsclienttest.Noise("third", 1<<18)), "")
	to.Run("pin", "update", "--unpin=false", before.CID.String(), third.CID.String())
	if p, err := b.PinOf(t.Context(), third.CID); err != nil || p.Name != "ours" {
		t.Errorf("pin/update gives the pin %+v, %v; want the name of the old one", p, err)
	}
}

// received is how many blocks a node got from others, those that it had included.
func received(t *testing.T, d *kubotest.Daemon) uint64 {
	t.Helper()
	var m struct{ BlocksReceived uint64 }
	text := d.Run("bitswap", "stat", "--enc=json")
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m.BlocksReceived
}
