package httpproxy_test

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/pinfold/pinfold/ipfsclient/kubotest"
)

// bring adds a file without a pin and returns its CID.
func bring(t *testing.T, p *peer, text string) string {
	t.Helper()
	r := ask(t, p.api, request{path: "block/put", files: []file{{"f", text, false}}})
	_, rest, _ := strings.Cut(r.body, `"Key":"`)
	k, _, ok := strings.Cut(rest, `"`)
	if !ok || r.trailer != "" {
		t.Fatalf("%d %s %s", r.status, r.body, r.trailer)
	}
	return k
}

// TestEveryArgumentAndOptionCounts: what ipfs-cluster's proxy passes over (two
// arguments, one pinned; direct made recursive; types, names and progress lost;
// only-hash that adds) is done, or refused.
func TestEveryArgumentAndOptionCounts(t *testing.T) {
	overBoth(t, func(t *testing.T, p *peer) {
		a, b := bring(t, p, "one"), bring(t, p, "two")
		if r := ask(t, p.api, request{path: "pin/add?name=both&arg=" + a + "&arg=" + b}); r.status != 200 || !strings.Contains(r.body, a) || !strings.Contains(r.body, b) {
			t.Fatalf("two arguments: %d %s", r.status, r.body)
		}
		for _, k := range []string{a, b} {
			if r := ask(t, p.api, request{path: "pin/ls?names=true&type=recursive&arg=" + k}); r.status != 200 || !strings.Contains(r.body, `"Name":"both"`) {
				t.Errorf("%s: %d %s", k, r.status, r.body)
			}
		}
		direct := bring(t, p, "three")
		for range 2 { // again: it stays direct
			if r := ask(t, p.api, request{path: "pin/add?recursive=false&arg=" + direct}); r.status != 200 {
				t.Errorf("direct: %d %s", r.status, r.body)
			}
		}
		if r := ask(t, p.api, request{path: "pin/ls?type=direct"}); !strings.Contains(r.body, direct) || strings.Contains(r.body, a) {
			t.Errorf("the direct ones: %s", r.body)
		}
		if r := ask(t, p.api, request{path: "pin/ls?type=recursive"}); strings.Contains(r.body, direct) || !strings.Contains(r.body, a) || !strings.Contains(r.body, b) {
			t.Errorf("the recursive ones: %s", r.body)
		}
		r := ask(t, p.api, request{path: "add?only-hash=true&progress=false", files: []file{{"f", "only its hash", false}}})
		if r.status != 200 || strings.Count(r.body, "\n") != 1 || strings.Contains(r.body, "Message") {
			t.Errorf("only-hash: %d %s", r.status, r.body)
		}
		if r := ask(t, p.api, request{path: "pin/add?progress=true&arg=" + bring(t, p, "four")}); !strings.Contains(r.body, `"Progress":1`) || !strings.Contains(r.body, `"Pins"`) {
			t.Errorf("progress: %s", r.body)
		}
		if r := ask(t, p.api, request{path: "pin/rm?arg=" + a + "&arg=" + b}); r.status != 200 {
			t.Errorf("two out: %d %s", r.status, r.body)
		}
		if r := ask(t, p.api, request{path: "pin/ls?type=recursive"}); strings.Contains(r.body, a) || strings.Contains(r.body, b) {
			t.Errorf("both are gone: %s", r.body)
		}
	})
}

// TestAPageUnpinsNothing: by an image's address, by a form, or by a script of
// another page.
func TestAPageUnpinsNothing(t *testing.T) {
	p := startPeer(t, nil)
	k := bring(t, p, "kept")
	if r := ask(t, p.api, request{path: "pin/add?arg=" + k}); r.status != 200 {
		t.Fatal(r.body)
	}
	for _, path := range []string{"pin/rm?arg=" + k, "repo/gc", "pin/update?arg=" + k + "&arg=" + emptied} {
		for _, tc := range []struct {
			method, origin string
			status         int
		}{{http.MethodGet, "", 405}, {http.MethodGet, "https://evil.example", 405}, {http.MethodPost, "https://evil.example", 403}, {http.MethodPost, "null", 403}} {
			q := request{method: tc.method, path: path, header: map[string]string{"User-Agent": "Mozilla/5.0"}}
			if tc.origin != "" {
				q.header["Origin"] = tc.origin
			}
			r := ask(t, p.api, q)
			if share := r.header.Get("Access-Control-Allow-Origin"); r.status != tc.status || share != "" {
				t.Errorf("%s %s from %q: %d, shared with %q", tc.method, path, tc.origin, r.status, share)
			}
		}
	}
	if r := ask(t, p.api, request{path: "pin/ls?arg=" + k}); r.status != 200 {
		t.Errorf("unpinned: %s", r.body)
	}
}

// TestATimeoutEndsTheCall: in Kubo's words, and nothing goes on running for who has
// been told so. The claim stays.
func TestATimeoutEndsTheCall(t *testing.T) {
	overBoth(t, func(t *testing.T, p *peer) {
		before := runtime.NumGoroutine()
		for _, q := range []string{"pin/add?timeout=50ms&arg=" + world, "pin/add?progress=true&timeout=50ms&arg=" + world} {
			if r := ask(t, p.api, request{path: q}); r.status == 200 && r.trailer == "" || !strings.Contains(r.body+r.trailer, "context deadline exceeded") {
				t.Errorf("%s: %d %q %q", q, r.status, r.body, r.trailer)
			}
		}
		if r := ask(t, p.api, request{path: "pin/add?timeout=soon&arg=" + world}); r.status != 400 {
			t.Errorf("no duration: %d %s", r.status, r.body)
		}
		if r := ask(t, p.api, request{path: "pin/rm?arg=" + world}); r.status != 200 {
			t.Errorf("the claim: %d %s", r.status, r.body)
		}
		kubotest.Eventually(t, patience, "nothing runs any more", func() error {
			if n := runtime.NumGoroutine(); n > before+10 {
				return errors.New(fmt.Sprint(n, " goroutines, ", before, " before"))
			}
			return nil
		})
	})
}
