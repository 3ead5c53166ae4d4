package httpapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

// example is a path that a route matches.
func example(r route) string {
	path := strings.NewReplacer("{cid}", testCID("x").String(), "{id}", testPeer("bob").String(), "{name}", "ping").Replace(r.path)
	return strings.ReplaceAll(path, "{path...}", testCID("x").String())
}

// ask sends a bare request; header lines are "Name: value". Host is a header here.
func ask(t *testing.T, client *http.Client, method, address string, header ...string) (int, http.Header, dialect.Problem) {
	t.Helper()
	r, err := http.NewRequest(method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, address, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, address, err)
	}
	var p dialect.Problem
	if resp.StatusCode >= 400 && method != http.MethodHead {
		if err := json.Unmarshal(body, &p); err != nil || p.Code != resp.StatusCode || p.Status != resp.StatusCode || p.Message == "" || p.Type == "" {
			t.Errorf("%s %s: %d with body %s: no problem JSON (%v)", method, address, resp.StatusCode, body, err)
		}
	}
	return resp.StatusCode, resp.Header, p
}

const browser = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0"

// TestCSRFMatrix: method x origin x referer x user agent x endpoint. What a foreign
// page can make a browser send is refused everywhere, and changes nothing.
func TestCSRFMatrix(t *testing.T) {
	s := serve(t, Config{Origins: []string{"https://Dashboard.example/"}})
	host := strings.TrimPrefix(s.tcp, "http://")
	_, port, _ := net.SplitHostPort(host)
	type mark struct {
		header string
		good   bool // says that the page may call
	}
	origins := []mark{{"", true}, {"Origin: http://" + host, true}, {"Origin: http://localhost:" + port, true}, {"Origin: http://[::1]:" + port, true}, {"Origin: https://dashboard.example", true},
		{"Origin: https://evil.example", false}, {"Origin: null", false}, {"Origin: http://localhost:1", false}, {"Origin: http://127.0.0.1.evil.example:" + port, false},
		{"Origin: file://", false}, {"Origin: chrome-extension://abc", false}, {"Origin: http://" + host + ".evil.example", false}, {"Origin: https://dashboard.example.evil", false}}
	referers := []mark{{"", true}, {"Referer: http://" + host + "/x", true}, {"Referer: https://evil.example/" + host, false}, {"Referer: garbage", false}}
	agents := []mark{{"User-Agent: curl/8", true}, {browser, false}}
	client := &http.Client{}
	defer client.CloseIdleConnections()
	for _, r := range (&Server{}).routes() {
		for _, method := range []string{"GET", "POST", "DELETE", "PUT", "OPTIONS"} {
			for _, o := range origins {
				for _, ref := range referers {
					for _, ua := range agents {
						refused := !o.good || !ref.good || o.header == "" && ref.header == "" && !ua.good
						if !refused && method != "OPTIONS" {
							continue // what happens then is for other tests
						}
						var header []string
						for _, h := range []string{o.header, ref.header, ua.header, "Authorization: Bearer admin"} {
							if h != "" {
								header = append(header, h)
							}
						}
						before := s.count()
						code, h, p := ask(t, client, method, s.tcp+example(r), header...)
						if refused && (code != http.StatusForbidden || p.Type != "forbidden") || !refused && code != http.StatusNoContent {
							t.Fatalf("%s %s with %q: %d %s", method, r.path, header, code, p.Message)
						}
						if s.count() != before {
							t.Fatalf("%s %s with %q changed something", method, r.path, header)
						}
						if share := h.Get("Access-Control-Allow-Origin"); share == "*" || refused && share != "" {
							t.Fatalf("%s %s with %q: shared with %q", method, r.path, header, share)
						}
					}
				}
			}
		}
	}
}

func TestBrowsersOwnMarks(t *testing.T) {
	s := serve(t, Config{})
	for _, row := range []struct {
		name, method, site string
		code               int
	}{
		{"typed in", "GET", "none", 200},
		{"own page", "GET", "same-origin", 200},
		{"foreign page", "GET", "cross-site", 403},
		{"another port", "GET", "same-site", 403},
		{"typed in, but a change", "POST", "none", 403},
	} {
		if code, _, _ := ask(t, http.DefaultClient, row.method, s.tcp+"/version", browser, "Sec-Fetch-Site: "+row.site); code != row.code {
			t.Errorf("%s: %d, want %d", row.name, code, row.code)
		}
	}
}

func TestHost(t *testing.T) {
	s := serve(t, Config{Hosts: []string{"Pins.example"}})
	for host, code := range map[string]int{
		"127.0.0.1": 200, "localhost:1234": 200, "[::1]:9094": 200, "127.3.2.1:80": 200, "pins.example:9094": 200, "PINS.EXAMPLE": 200,
		"evil.example": 403, "evil.example:9094": 403, "localhost.evil.example": 403, "192.0.2.1:9094": 403, "127.0.0.1.evil.example": 403, "localhost.": 403,
	} {
		got, _, p := ask(t, http.DefaultClient, "GET", s.tcp+"/version", "Host: "+host)
		if got != code || code == 403 && !strings.Contains(p.Message, host) {
			t.Errorf("host %s: %d %q, want %d", host, got, p.Message, code)
		}
	}
}

func TestSharingWithConfiguredPages(t *testing.T) {
	s := serve(t, Config{Origins: []string{"https://dashboard.example"}})
	code, h, _ := ask(t, http.DefaultClient, "OPTIONS", s.tcp+"/pins/"+testCID("x").String(), "Origin: https://dashboard.example", "Access-Control-Request-Method: POST")
	if code != 204 || h.Get("Access-Control-Allow-Origin") != "https://dashboard.example" || !strings.Contains(h.Get("Access-Control-Allow-Methods"), "POST") || h.Get("Access-Control-Allow-Headers") == "" {
		t.Errorf("preflight: %d %v", code, h)
	}
	code, h, _ = ask(t, http.DefaultClient, "GET", s.tcp+"/version", "Origin: https://dashboard.example")
	if code != 200 || h.Get("Access-Control-Allow-Origin") != "https://dashboard.example" || h.Get("Vary") != "Origin" {
		t.Errorf("answer: %d %v", code, h)
	}
}

// TestRights asks every endpoint with every token: only what the table says
// answers, and a refusal is 401 or 403, also where nothing is.
func TestRights(t *testing.T) {
	s := serve(t, Config{})
	routes := append((&Server{}).routes(), route{method: "GET", path: "/nothing", scope: "none"}, route{method: "POST", path: "/api/v0/id", scope: "none"})
	scopes := map[string][]pinset.Scope{"": nil, "wrong": nil}
	for _, token := range []string{"admin", "reader", "pinner", "adder"} {
		g, _ := grants(context.Background(), token)
		scopes[token] = g.Scopes
	}
	for _, r := range routes {
		for token, has := range scopes {
			var header []string
			if token != "" {
				header = []string{"Authorization: Bearer " + token}
			}
			before := s.count()
			code, h, p := ask(t, http.DefaultClient, r.method, s.tcp+example(r), header...)
			granted := Grant{Scopes: has}.Has(r.scope)
			switch {
			case r.scope == "" && token != "wrong":
				if code == 401 || code == 403 {
					t.Errorf("%s %s with token %q: %d", r.method, r.path, token, code)
				}
			case token == "" || token == "wrong":
				if code != 401 || len(h.Values("WWW-Authenticate")) != 2 {
					t.Errorf("%s %s with token %q: %d %v", r.method, r.path, token, code, h)
				}
			case r.scope == "none":
				if code != 404 {
					t.Errorf("%s %s with token %q: %d", r.method, r.path, token, code)
				}
			case granted && (code == 401 || code == 403), !granted && code != 403:
				t.Errorf("%s %s with token %q: %d %s", r.method, r.path, token, code, p.Message)
			case !granted && !(strings.Contains(p.Message, token) && strings.Contains(p.Message, r.path) && strings.Contains(p.Message, string(r.scope))):
				t.Errorf("%s %s with token %q: %q does not name user, endpoint and scope", r.method, r.path, token, p.Message)
			}
			if (code == 401 || code == 403) && s.count() != before {
				t.Errorf("%s %s with token %q: refused, and changed something", r.method, r.path, token)
			}
		}
	}
}

func TestHowTokensAreSent(t *testing.T) {
	s := serve(t, Config{})
	basic := func(up string) string { return base64.StdEncoding.EncodeToString([]byte(up)) }
	for _, row := range []struct {
		name  string
		lines []string
		code  int
	}{
		{"bearer", []string{"Bearer reader"}, 200},
		{"lower case", []string{"bearer reader"}, 200},
		{"upper case, spaces", []string{"BEARER   reader "}, 200},
		{"basic", []string{"Basic " + basic("me:reader")}, 200},
		{"basic without a user", []string{"basic " + basic(":reader")}, 200},
		{"basic, token as user", []string{"Basic " + basic("reader:")}, 401},
		{"basic, no colon", []string{"Basic " + basic("reader")}, 401},
		{"basic, not base64", []string{"Basic !!"}, 401},
		{"empty", []string{"Bearer "}, 401},
		{"other scheme", []string{"Digest reader"}, 401},
		{"wrong token", []string{"Bearer readers"}, 401},
		{"two", []string{"Bearer wrong", "Bearer reader"}, 401},
	} {
		var header []string
		for _, l := range row.lines {
			header = append(header, "Authorization: "+l)
		}
		if code, _, p := ask(t, http.DefaultClient, "GET", s.tcp+"/agreement", header...); code != row.code {
			t.Errorf("%s: %d %s, want %d", row.name, code, p.Message, row.code)
		}
	}
}

// TestTokensOfOneOwner: a token bound to an owner or a prefix reaches nothing else.
func TestTokensOfOneOwner(t *testing.T) {
	s := serve(t, Config{})
	ctx, id := context.Background(), testCID("x")
	admin, alice, news, pinner := client.New(s.tcp, "admin"), client.New(s.tcp, "alice"), client.New(s.tcp, "news"), client.New(s.tcp, "pinner")
	for _, p := range []pinset.Pin{{CID: id, Name: "default's"}, {CID: id, Owner: "bob"}, {CID: testCID("y"), Name: "news/1"}} {
		if _, _, err := admin.Pin(ctx, p, client.Wait{}); err != nil {
			t.Fatal(err)
		}
	}
	p, _, err := alice.Pin(ctx, pinset.Pin{CID: id}, client.Wait{})
	if err != nil || p.Owner != "alice" {
		t.Errorf("alice's pin is %q's, %v", p.Owner, err)
	}
	if got := all(t, alice.Pins(ctx)); len(got) != 1 || got[0].Owner != "alice" {
		t.Errorf("alice sees %v", got)
	}
	if st, err := alice.Status(ctx, id, false); err != nil || len(st.Pins) != 1 {
		t.Errorf("alice sees the pins %v of %s, %v", st.Pins, id, err)
	}
	if got := all(t, alice.StatusAll(ctx, client.StatusOptions{})); len(got) != 1 {
		t.Errorf("alice sees %d statuses", len(got))
	}
	if got := all(t, admin.Pins(ctx)); len(got) != 4 {
		t.Errorf("the admin sees %d pins, want 4", len(got))
	}
	refused := func(what string, err error) {
		t.Helper()
		if pinset.KindOf(err) != pinset.KindForbidden {
			t.Errorf("%s: %v, want it forbidden", what, err)
		}
	}
	_, _, err = alice.Unpin(ctx, pinset.Removal{CID: id, Owner: "bob"})
	refused("alice unpins bob's", err)
	_, _, err = alice.Pin(ctx, pinset.Pin{CID: id, Owner: "bob"}, client.Wait{})
	refused("alice pins for bob", err)
	_, _, err = alice.PinOf(ctx, id, "bob")
	refused("alice reads bob's", err)
	_, _, err = pinner.Pin(ctx, pinset.Pin{CID: id, Owner: "bob"}, client.Wait{})
	refused("a token without an owner pins for bob", err)
	_, _, err = news.Pin(ctx, pinset.Pin{CID: id, Name: "other"}, client.Wait{})
	refused("news pins another name", err)
	_, _, err = news.Unpin(ctx, pinset.Removal{CID: id})
	refused("news unpins another name", err)
	_, _, err = news.Pin(ctx, pinset.Pin{CID: id, Name: "news/2"}, client.Wait{})
	refused("news takes another name's pin", err)
	if _, _, err = news.Pin(ctx, pinset.Pin{CID: testCID("z"), Name: "news/2"}, client.Wait{}); err != nil {
		t.Errorf("news pins its own: %v", err)
	}
	if _, _, err = news.Unpin(ctx, pinset.Removal{CID: testCID("y")}); err != nil {
		t.Errorf("news unpins its own: %v", err)
	}
	if gone, _, err := alice.Unpin(ctx, pinset.Removal{CID: id}); err != nil || gone.Owner != "alice" {
		t.Errorf("alice unpins her own: %q, %v", gone.Owner, err)
	}
	if len(s.pins) != 3 {
		t.Errorf("%d pins left, want the default's, bob's and news/2", len(s.pins))
	}
}

func TestMethods(t *testing.T) {
	s := serve(t, Config{})
	for _, r := range (&Server{}).routes() {
		for _, method := range []string{"GET", "POST", "DELETE", "PUT", "PATCH", "HEAD"} {
			e, _ := (&Server{endpoints: compile((&Server{}).routes())}).find(example(r))
			if _, ok := e.methods[method]; ok || method == "HEAD" && e.methods["GET"].handle != nil && e.methods["GET"].scope == "" {
				continue
			}
			before := s.count()
			code, h, _ := ask(t, http.DefaultClient, method, s.tcp+example(r), "Authorization: Bearer admin")
			if code != 405 || h.Get("Allow") != e.allow || !strings.Contains(e.allow, r.method) {
				t.Errorf("%s %s: %d, Allow %q", method, r.path, code, h.Get("Allow"))
			}
			if s.count() != before {
				t.Errorf("%s %s changed something", method, r.path)
			}
		}
	}
}

func TestSocketIsPrivate(t *testing.T) {
	s := serve(t, Config{Origins: []string{"https://dashboard.example"}})
	info, err := os.Stat(s.socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("socket %v, %v", info.Mode(), err)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
	}}}
	for _, row := range []struct {
		header string
		code   int
	}{{"X: y", 200}, {browser, 403}, {"Origin: http://any", 403}, {"Referer: http://any/", 403}, {"Sec-Fetch-Site: none", 403}, {"Host: evil.example", 200}, {"Origin: https://dashboard.example", 200}} {
		if code, _, _ := ask(t, client, "GET", "http://any/agreement", row.header); code != row.code {
			t.Errorf("%s: %d, want %d", row.header, code, row.code)
		}
	}
	if _, err := New(Config{Socket: s.socket}, Deps{}); pinset.KindOf(err) != pinset.KindConflict {
		t.Errorf("a second daemon on the socket: %v", err)
	}
	s.stop()
	if _, err := os.Stat(s.socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestAddresses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, row := range []struct {
		name string
		cfg  Config
		kind pinset.Kind
		says string
	}{
		{"beyond loopback", Config{Listen: []string{"0.0.0.0:0"}}, pinset.KindRefused, "plain TCP"},
		{"any address", Config{Listen: []string{":0"}}, pinset.KindRefused, "plain TCP"},
		{"taken", Config{Listen: []string{taken.Addr().String()}}, pinset.KindConflict, taken.Addr().String()},
		{"no port", Config{Listen: []string{"127.0.0.1"}}, pinset.KindInvalid, "host:port"},
		{"long path", Config{Socket: "/" + strings.Repeat("x", 120)}, pinset.KindInvalid, "at most"},
	} {
		s, err := New(row.cfg, Deps{})
		if pinset.KindOf(err) != row.kind || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v (%s)", row.name, err, pinset.KindOf(err).Info().Name)
		}
		if row.kind != pinset.KindInvalid && pinset.HintOf(err) == "" {
			t.Errorf("%s: no hint", row.name)
		}
		if err == nil {
			_ = s.Close()
		}
	}
	s, err := New(Config{Listen: []string{"0.0.0.0:0"}, AllowRemote: true}, Deps{Daemon: newFake()})
	if err != nil {
		t.Fatalf("allowed beyond loopback: %v", err)
	}
	if u, err := url.Parse(s.Addrs()[0]); err != nil || u.Port() == "0" {
		t.Errorf("address %v", s.Addrs())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
