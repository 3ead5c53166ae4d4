package httpproxy

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/pinfold/pinfold/pinset"
)

// FuzzRequest: whatever comes in a path, a query and a body, it is one command of the
// table, or one that needs scope admin under a name that is clean; and what does not
// parse is said to be the caller's fault, before anything is done.
func FuzzRequest(f *testing.F) {
	form := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nQmX\nQmY\n\r\n--b--\r\n"
	f.Add("/api/v0/pin/add", "arg=x&recursive=false&name=%zz", form)
	f.Add("/api/v0/pin/ls/bafy", "arg=x&type=direct&timeout=1s", "")
	f.Add("/api/v0//id/../config/show", "arg=Datastore", "--b")
	f.Add("/api/v0/add", "progress=perhaps&cid-version=99999999999", form[:40])
	f.Add("/api/v0/%2e%2e/shutdown", ";;&&==", strings.Repeat("x", 100))
	f.Add("/api/v0/repo/gc/", "encoding=xml", "")
	s := &Server{}
	s.commands = s.compile(s.table())
	f.Fuzz(func(t *testing.T, at, query, body string) {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/", strings.NewReader(body))
		r.URL = &url.URL{Path: at, RawQuery: query}
		r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		w := httptest.NewRecorder()
		c := &call{s: s, w: w, rc: http.NewResponseController(w), r: r, ctx: r.Context()}
		c.body = newBody(c)
		tail, err := c.find()
		if err != nil {
			if k := pinset.KindOf(err); k != pinset.KindForbidden {
				t.Fatalf("%q: %v", at, err)
			}
			return
		}
		if known := s.commands[c.cmd.name] != nil; known == c.cmd.unknown || !known && c.cmd.scope != pinset.ScopeAdmin {
			t.Fatalf("%q: %+v", at, c.cmd)
		}
		if name := strings.TrimSuffix(c.cmd.name, "/"); name != "" && path.Clean("/"+name) != "/"+name {
			t.Fatalf("%q: goes on as %q", at, c.cmd.name)
		}
		err = c.parse(tail)
		var plain *textError
		if err != nil && (!errors.As(err, &plain) || plain.status != http.StatusBadRequest) && pinset.KindOf(err) != pinset.KindInvalid {
			t.Fatalf("%q?%q: %v", at, query, err)
		}
		if err == nil && !c.cmd.sent && len(c.args) < len(c.cmd.args) {
			t.Fatalf("%q?%q: %d of %d arguments", at, query, len(c.args), len(c.cmd.args))
		}
	})
}
