package httpproxy

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/pinfold/pinfold/guard"
	"github.com/pinfold/pinfold/pinset"
)

// TestWebPagesStayOut goes through method, origin, referer and user agent at every
// endpoint: whoever is refused gets no further than the door, which has nothing
// behind it here.
func TestWebPagesStayOut(t *testing.T) {
	s := &Server{cfg: Config{Anonymous: []pinset.Scope{pinset.ScopeAdmin}}, log: discard()}
	s.commands = s.compile(s.table())
	origins := append(companions(), "https://good.example")
	h := handler{s, guard.Rules{Port: "9095", Origins: origins}}
	const browser = "Mozilla/5.0 (X11; Linux x86_64)"
	own := map[string]bool{"http://127.0.0.1:9095": true, "http://localhost:9095": true, "https://good.example": true, companions()[0]: true}
	pages := []string{"", "http://127.0.0.1:9095", "http://localhost:9095", "https://good.example", companions()[0], "https://evil.example", "null", "http://127.0.0.1:8080"}
	asked := 0
	for _, path := range slices.Concat(slices.Sorted(maps.Keys(s.commands)), []string{"shutdown", "nothing/there", "../pin/rm", "pin/../pin/rm"}) {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"} {
			for _, origin := range pages {
				for _, referer := range pages {
					for _, agent := range []string{browser, "curl/8", ""} {
						want := http.StatusForbidden
						switch ok := func(page string) bool { return page == "" || own[page] }; {
						case method != "POST":
							want = http.StatusMethodNotAllowed
						case ok(origin) && ok(referer) && (agent != browser || origin != "" || referer != ""):
							continue // it may, which other tests look at
						}
						r := httptest.NewRequest(method, "http://127.0.0.1:9095/api/v0/"+path+"?arg=x", nil)
						for name, v := range map[string]string{"Origin": origin, "Referer": referer, "User-Agent": agent} {
							if v != "" {
								r.Header.Set(name, strings.TrimSuffix(v, "/")+map[string]string{"Referer": "/page"}[name])
							}
						}
						w := httptest.NewRecorder()
						h.ServeHTTP(w, r)
						if asked++; w.Code != want {
							t.Fatalf("%s %s origin %q referer %q agent %q: %d, want %d", method, path, origin, referer, agent, w.Code, want)
						}
					}
				}
			}
		}
	}
	if asked < 20000 {
		t.Errorf("only %d requests", asked)
	}
}

// TestNobodyDoesMoreThanTheirScope asks every endpoint with one scope at a time.
func TestNobodyDoesMoreThanTheirScope(t *testing.T) {
	for _, scope := range []pinset.Scope{"", pinset.ScopeRead, pinset.ScopePin, pinset.ScopeAdd, pinset.ScopeFiles, pinset.ScopeGC} {
		s := &Server{cfg: Config{Anonymous: []pinset.Scope{scope}}, log: discard()}
		s.commands = s.compile(s.table())
		h := handler{s, guard.Rules{Port: "9095"}}
		for _, name := range slices.Concat(slices.Sorted(maps.Keys(s.commands)), []string{"shutdown", "config", "key/gen", "p2p/listen", "id/../config/show", "/config/show"}) {
			if c := s.commands[name]; c != nil && c.scope == scope {
				continue
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("POST", "http://127.0.0.1:9095/api/v0/"+name, nil))
			if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), `"Message"`) {
				t.Errorf("%q with scope %q: %d %s", name, scope, w.Code, w.Body)
			}
		}
	}
}

func TestBeyondLoopbackATokenIsNeeded(t *testing.T) {
	s := &Server{cfg: Config{Anonymous: []pinset.Scope{pinset.ScopeAdmin}}, log: discard()}
	s.commands = s.compile(s.table())
	w := httptest.NewRecorder()
	handler{s, guard.Rules{Port: "9095", Remote: true}}.ServeHTTP(w, httptest.NewRequest("POST", "http://192.0.2.1:9095/api/v0/version", nil))
	if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestALoopIsRefused(t *testing.T) {
	s := &Server{cfg: Config{Anonymous: []pinset.Scope{pinset.ScopeRead}, Cluster: "bafy-own"}, log: discard()}
	s.commands = s.compile(s.table())
	for path, want := range map[string]int{"bafy-own": 508, "bafy-a, bafy-own": 508, "a,b,c,d": 508, "a,b,c": 200} {
		r := httptest.NewRequest("POST", "http://127.0.0.1:9095/api/v0/version", nil)
		r.Header.Set(pathHeader, path)
		w := httptest.NewRecorder()
		handler{s, guard.Rules{Port: "9095"}}.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("through %s: %d, want %d", path, w.Code, want)
		}
	}
}
