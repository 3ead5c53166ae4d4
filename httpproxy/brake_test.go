package httpproxy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// TestTooManyRemovalsAreRefusedAsKuboRefuses: all of one call are judged together,
// and nothing of it happens.
func TestTooManyRemovalsAreRefusedAsKuboRefuses(t *testing.T) {
	p := startPeer(t, nil)
	var args []string
	for i := range 25 {
		h, err := multihash.Sum(fmt.Append(nil, i), multihash.IDENTITY, -1)
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, "arg="+cid.NewCidV1(cid.Raw, h).String())
	}
	if r := ask(t, p.api, request{path: "pin/add?pinfold-wait=accepted&" + strings.Join(args, "&")}); r.status != 200 {
		t.Fatalf("pin/add: %d %s", r.status, r.body)
	}
	r := ask(t, p.api, request{path: "pin/rm?" + strings.Join(args, "&")})
	if r.status != 507 || !strings.HasPrefix(r.body, `{"Message":"unpin `) || !strings.Contains(r.body, "25 of 25 pins") ||
		!strings.Contains(r.body, "--force") || !strings.Contains(r.body, `"Code":0,"Type":"error"}`) {
		t.Errorf("pin/rm of everything: %d %s", r.status, r.body)
	}
	if r := ask(t, p.api, request{path: "pin/rm?" + strings.Join(args[:20], "&")}); r.status != 200 {
		t.Errorf("pin/rm of 20: %d %s", r.status, r.body)
	}
	if r := ask(t, p.api, request{path: "pin/rm?" + args[20]}); r.status != 507 {
		t.Errorf("pin/rm of one more: %d %s", r.status, r.body)
	}
}
