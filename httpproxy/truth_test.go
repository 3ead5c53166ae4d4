package httpproxy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/ipfsclient/kubotest"
)

// startCluster runs so many peers over embedded nodes, in one cluster.
func startCluster(t *testing.T, n int) []*peer {
	t.Helper()
	peers := []*peer{startPeer(t, nil)}
	for i := 1; i < n; i++ {
		inv, err := client.New(peers[0].dir.Socket(), "").Invite(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		peers = append(peers, joinPeer(t, inv.Text, fmt.Sprint("name=p", i+1)))
	}
	for _, p := range peers {
		kubotest.Eventually(t, patience, "all are members", func() error {
			if r := ask(t, p.api, request{path: "id"}); !strings.Contains(r.body, fmt.Sprintf(`"Peers":%d`, n)) {
				return errors.New(r.body)
			}
			return nil
		})
	}
	return peers
}

// TestPinAddEndsWhenTheDataIsThere: not before the cluster holds the minimum, and
// pin/ls says so at
// every peer.
func TestPinAddEndsWhenTheDataIsThere(t *testing.T) {
	peers := startCluster(t, 3)
	added := ask(t, peers[0].api, request{path: "add?pinfold-wait=min", files: []file{{"big", strings.Repeat("truth", 200000), false}}})
	_, rest, _ := strings.Cut(added.body, `"Hash":"`)
	k, _, ok := strings.Cut(rest, `"`)
	if !ok || added.trailer != "" {
		t.Fatalf("%d %s %s", added.status, added.body, added.trailer)
	}
	if r := ask(t, peers[0].api, request{path: "pin/ls?arg=" + k}); r.status != 200 {
		t.Errorf("after add: %s", r.body)
	}
	for _, p := range peers[1:] { // the pin itself is on its way to them
		kubotest.Eventually(t, patience, "the others list it", func() error {
			if r := ask(t, p.api, request{path: "pin/ls?arg=" + k}); r.status != 200 {
				return errors.New(r.body)
			}
			return nil
		})
	}
	held := 0
	for _, p := range peers {
		if r := ask(t, p.api, request{path: "repo/gc"}); r.status != 200 {
			t.Fatal(r.body)
		}
		s, err := client.New(p.dir.Socket(), "").Self(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Used >= 1000000 {
			held++
		}
	}
	if held < 2 {
		t.Errorf("%d members hold it, want the minimum of 2", held)
	}
	const why = "context deadline exceeded"
	r := ask(t, peers[1].api, request{path: "pin/add?progress=true&timeout=1500ms&arg=" + world})
	if !strings.Contains(r.body+r.trailer, why) || strings.Contains(r.body, world) {
		t.Errorf("data that nobody has: %d %q %q", r.status, r.body, r.trailer)
	}
	for _, p := range peers {
		for _, path := range []string{"pin/ls?arg=" + world, "pin/ls?type=recursive"} {
			if r := ask(t, p.api, request{path: path}); r.status == 200 && strings.Contains(r.body, world) {
				t.Errorf("%s: %s", path, r.body)
			}
		}
	}
	if r := ask(t, peers[2].api, request{path: "pin/add?pinfold-wait=accepted&arg=" + world}); r.status != 200 {
		t.Errorf("accepted: %d %s", r.status, r.body)
	}
	if r := ask(t, peers[2].api, request{path: "pin/rm?arg=" + world}); r.status != 200 {
		t.Errorf("rm: %s", r.body)
	}
}
