package words

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

func TestSidesInWords(t *testing.T) {
	names := func(id peer.ID) string { return string(id) }
	all := pinset.Agreement{Members: 5, Heard: 5, Agree: 5, Count: 120, Sides: []pinset.Side{{Members: []peer.ID{"ann"}}}}
	split := pinset.Agreement{Members: 5, Heard: 3, Agree: 2, Count: 1, Sync: "synchronising: 3 deltas", Sides: []pinset.Side{
		{Members: []peer.ID{"ann", "bob"}, Heard: true, Count: 1, Digest: "abcdef0123"},
		{Members: []peer.ID{"carl"}, Heard: true, Since: time.Unix(1e9, 0), Count: 4, Digest: "0123456789", Lacks: 2, Unknown: 1},
		{Members: []peer.ID{"dan", "eve"}, Lacks: 1}}}
	for _, tc := range []struct {
		a    pinset.Agreement
		want []string
	}{
		{all, []string{"5 of 5 peers agree on 120 pins\n"}},
		{split, []string{"synchronising: 3 deltas\n", "2 of 5 peers agree on 1 pin; 3 heard", "here: ann, bob: 1 pin, digest abcdef01\n", "carl: another pinset since ",
			": 4 pins, digest 01234567; lacks 2 changes of here; has 1 head that here lacks", "dan, eve: not heard since this peer started; lacks 1 change of here"}},
	} {
		var b bytes.Buffer
		Agreement(&b, tc.a, names)
		for _, want := range tc.want {
			if !strings.Contains(b.String(), want) {
				t.Errorf("lacks %q:\n%s", want, b.String())
			}
		}
	}
}
