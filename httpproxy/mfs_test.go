package httpproxy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pinfold/pinfold/ipfsclient/kubotest"
)

// TestTheFilesAreKept: the root of Kubo's mutable file system has one pin, which
// moves with every change.
func TestTheFilesAreKept(t *testing.T) {
	p := startPeer(t, kubotest.Start(t), "proxy.keep_files=true")
	last := ""
	for _, q := range []request{
		{path: "files/mkdir?arg=/a"}, {path: "files/write?arg=/a/f&create=true", files: []file{{"f", "text", false}}},
		{path: "files/cp?arg=/a/f&arg=/g"}, {path: "files/rm?arg=/a&recursive=true"},
	} {
		if r := ask(t, p.api, q); r.status != 200 || r.trailer != "" {
			t.Fatalf("%s: %d %s", q.path, r.status, r.body)
		}
		stat := ask(t, p.api, request{path: "files/stat?arg=/"}).body
		_, rest, _ := strings.Cut(stat, `"Hash":"`)
		root, _, _ := strings.Cut(rest, `"`)
		if root == last || root == "" {
			t.Fatalf("%s: root %s", q.path, root)
		}
		last = root
		kubotest.Eventually(t, patience, "the root is held", func() error {
			r := ask(t, p.api, request{path: "pin/ls?type=recursive&names=true"})
			if strings.Count(r.body, "files of ") != 1 || !strings.Contains(r.body, root) {
				return fmt.Errorf("%s, want %s", r.body, root)
			}
			return nil
		})
	}
	if r := ask(t, p.api, request{path: "files/mkdir?arg=/g"}); r.status != 500 {
		t.Errorf("a change that Kubo refuses: %d %s", r.status, r.body)
	}
}
