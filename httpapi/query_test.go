package httpapi

import (
	"bytes"
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/boxo/files"

	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

// TestMalformed: what is wrong is 400, with the place, the value and what is
// possible, and nothing has changed.
func TestMalformed(t *testing.T) {
	s := serve(t, Config{})
	good := "/pins/" + testCID("x").String()
	for _, row := range []struct {
		method, path string
		says         []string
	}{
		{"POST", "/pins/nonsense", []string{"cid", `"nonsense"`}},
		{"DELETE", "/pins/Qm", []string{"cid", `"Qm"`}},
		{"GET", "/pins/bafynope", []string{"cid", "bafynope"}},
		{"GET", "/allocations/x", []string{"cid", `"x"`}},
		{"POST", "/pins/x/recover", []string{"cid", `"x"`}},
		{"POST", "/pins/ipfs/x/y", []string{"cid", `"x"`}},
		{"GET", "/data/x/y", []string{"cid", `"x"`}},
		{"DELETE", "/peers/x", []string{"peer id", `"x"`}},
		{"POST", good + "?replicaton=3", []string{`"replicaton"`, "replication-max"}},
		{"POST", good + "?replication=three", []string{"replication", `"three"`, "whole number"}},
		{"POST", good + "?replication-min=3&replication-max=2", []string{"replication-min", "3..2"}},
		{"POST", good + "?replication-max=2", []string{"replication", "0..2"}},
		{"POST", good + "?replication=99999999999", []string{"replication", "99999999999"}},
		{"POST", good + "?replication=-2", []string{"replication -2"}},
		{"POST", good + "?mode=deep", []string{"mode", `"deep"`, "recursive or direct"}},
		{"POST", good + "?name=a&name=b", []string{"name", "2 times"}},
		{"POST", good + "?name=" + strings.Repeat("x", 201), []string{"name", "201", "200"}},
		{"POST", good + "?name=%ff", []string{"name", "UTF-8"}},
		{"POST", good + "?name=%zz", []string{"query", "%zz"}},
		{"POST", good + "?owner=" + strings.Repeat("x", 65), []string{"owner", "65", "64"}},
		{"POST", good + "?user-allocations=bob", []string{"user-allocations", `"bob"`, "peer ids"}},
		{"POST", good + "?expire-at=tomorrow", []string{"expire-at", `"tomorrow"`, "2027-"}},
		{"POST", good + "?expire-at=2001-01-01T00:00:00Z", []string{"expire-at", "2001", "to come"}},
		{"POST", good + "?expire-in=1ms", []string{"expire-in", `"1ms"`, "1s"}},
		{"POST", good + "?expire-in=soon", []string{"expire-in", `"soon"`}},
		{"POST", good + "?meta-=x", []string{`"meta-"`}},
		{"POST", good + "?origins=/ip4/1.2.3.4/tcp/4001", []string{"origins", "/p2p/"}},
		{"POST", good + "?origins=here", []string{"origins", `"here"`}},
		{"POST", good + "?tags=a%20b", []string{"tag", `"a b"`}},
		{"POST", good + "?pin-update=y", []string{"pin-update", `"y"`}},
		{"POST", good + "?pin-update=" + testCID("x").String(), []string{"pin-update", "is the CID that is pinned"}},
		{"POST", good + "?unpin=true", []string{"unpin", "pin-update"}},
		{"POST", good + "?priority=urgent", []string{"priority", `"urgent"`, "high, normal or bulk"}},
		{"GET", "/queue?limit=-1", []string{"limit", `"-1"`}},
		{"POST", good + "?shard-size=big", []string{"shard-size", `"big"`}},
		{"POST", good + "?wait=pinned:0", []string{"wait", "pinned:0", "seen:N"}},
		{"POST", good + "?wait=forever", []string{"wait", `"forever"`}},
		{"POST", good + "?wait=pinned&wait-timeout=long", []string{"wait-timeout", `"long"`}},
		{"GET", "/pins?filter=pined", []string{"filter", `"pined"`, "pinned"}},
		{"GET", "/pins?local=maybe", []string{"local", `"maybe"`, "true or false"}},
		{"GET", "/pins?cids=x", []string{"cids", `"x"`}},
		{"GET", "/pins?limit=3", []string{`"limit"`, "filter"}},
		{"GET", "/allocations?filter=pins", []string{"filter", `"pins"`, "shard-pin"}},
		{"GET", "/id?x=1", []string{`"x"`, "none"}},
		{"GET", "/data/" + testCID("x").String() + "?format=zip", []string{"format", `"zip"`, "tar"}},
		{"GET", "/id//", []string{"path"}},
		{"GET", "/pins/../id", []string{"path", `".."`}},
		{"POST", "/add?cid-version=2", []string{"cid-version", `"2"`, "0 or 1"}},
		{"POST", "/add?hash=blake3", []string{"hash", `"blake3"`, "sha2-256"}},
		{"POST", "/add?layout=trickle", []string{"layout", "balanced"}},
		{"POST", "/add?format=car", []string{"format", "unixfs"}},
		{"POST", "/add?no-pin=true", []string{"no-pin"}},
		{"POST", "/add?shard=true", []string{"shard"}},
		{"POST", "/add?nocopy=true", []string{"nocopy"}},
		{"POST", "/add?pin=false", []string{"pin"}},
		{"POST", "/add?raw-leaves=2", []string{"raw-leaves", `"2"`}},
		{"POST", "/add?name=" + strings.Repeat("x", 201), []string{"name", "201"}},
	} {
		code, _, p := ask(t, http.DefaultClient, row.method, s.tcp+row.path, "Authorization: Bearer admin")
		if code != 400 || p.Type != "invalid" {
			t.Errorf("%s %.80s: %d %s, want 400", row.method, row.path, code, p.Message)
		}
		for _, word := range row.says {
			if !strings.Contains(p.Message+p.Hint, word) {
				t.Errorf("%s %.80s: %q does not say %q", row.method, row.path, p.Message, word)
			}
		}
	}
	if s.count() != 0 {
		t.Errorf("%d changes", s.count())
	}
}

func TestBadBodies(t *testing.T) {
	s := serve(t, Config{})
	form := "multipart/form-data; boundary=b"
	for _, row := range []struct {
		name, path, kind, body string
		code                   int
	}{
		{"no kind", "/cluster/join", "", `{"invite":"x"}`, 415},
		{"form to JSON", "/cluster/join", "application/x-www-form-urlencoded", "invite=x", 415},
		{"not JSON", "/cluster/join", "application/json", "invite", 400},
		{"unknown field", "/cluster/join", "application/json", `{"invite":"x","gve":1}`, 400},
		{"wrong type", "/cluster/join", "application/json", `{"invite":"x","give":"1TB"}`, 400},
		{"two values", "/cluster/join", "application/json", `{"invite":"x"}{}`, 400},
		{"too large", "/cluster/join", "application/json", `{"invite":"` + strings.Repeat("x", maxBody) + `"}`, 413},
		{"large where none is wanted", "/cluster/invite", "", strings.Repeat("x", maxBody+1), 413},
		{"add without a form", "/add", "text/plain", "x", 415},
		{"add without a boundary", "/add", "multipart/form-data", "x", 400},
		{"add with an empty body", "/add", form, "", 400},
		{"add broken off in the headers", "/add", form, "--b\r\nContent-Disposition: form-", 400},
		{"add broken off in a file", "/add", form, "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\nabc", 400},
		{"add broken off after a file", "/add", form, "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\nabc\r\n--b\r\n", 200},
		{"add of depths", "/add", form, "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"" + strings.Repeat("d/", 2000) + "x\"\r\n\r\nabc\r\n--b--", 400},
	} {
		r, err := http.NewRequest("POST", s.tcp+row.path, strings.NewReader(row.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer admin")
		r.Header.Set("Content-Type", row.kind)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != row.code {
			t.Errorf("%s: %d %s, want %d", row.name, resp.StatusCode, body, row.code)
		}
		if row.code == 200 && resp.Trailer.Get(dialect.TrailerError) == "" {
			t.Errorf("%s: no word of it in the trailer; %s", row.name, body)
		}
	}
	if s.joined != "" {
		t.Error("joined something")
	}
}

func TestPinOptionsSurviveTheQuery(t *testing.T) {
	now := time.Unix(1.8e9, 0).UTC()
	for _, row := range []struct {
		query string
		want  pinset.Pin
	}{
		{"", pinset.Pin{}},
		{"replication-min=0&replication-max=0&name=&mode=recursive&shard-size=0&user-allocations=", pinset.Pin{}}, // what ipfs-cluster-ctl sends
		{"replication=3", pinset.Pin{Replication: pinset.Replication{Min: 3, Max: 3}}},
		{"replication=-1", pinset.Pin{Replication: pinset.Replication{Min: -1, Max: -1}}},
		{"replication-min=2", pinset.Pin{Replication: pinset.Replication{Min: 2, Max: 2}}},
		{"replication-min=2&replication-max=5", pinset.Pin{Replication: pinset.Replication{Min: 2, Max: 5}}},
		{"name=a+b%26&mode=direct", pinset.Pin{Name: "a b&", Mode: pinset.Direct}},
		{"expire-in=2h", pinset.Pin{ExpireAt: now.Add(2 * time.Hour)}},
		{"meta-a=1&meta-b-c=", pinset.Pin{Metadata: map[string]string{"a": "1", "b-c": ""}}},
		{"tags=ssd,eu", pinset.Pin{Tags: []string{"ssd", "eu"}}},
	} {
		p, err := parseParams(row.query, pinQuery)
		if err != nil {
			t.Fatalf("%s: %v", row.query, err)
		}
		if diff := cmp.Diff(row.want, p.pinTemplate(now), same); diff != "" || p.err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", row.query, p.err, diff)
		}
	}
}

func TestNearest(t *testing.T) {
	for word, want := range map[string]string{"replicaton": "replication", "usr-allocations": "user-allocations", "nme": "name", "own": "owner"} {
		if got := nearest(word, pinQuery); got != want {
			t.Errorf("nearest to %q is %q, want %q", word, got, want)
		}
	}
}

// FuzzPinQuery: whatever is asked, the answer is an error of KindInvalid or a pin
// that can be replicated, and that the client could have asked for.
func FuzzPinQuery(f *testing.F) {
	for _, q := range []string{"", "name=x&mode=direct", "replication=3&tags=a,b", "meta-k=v&expire-in=1h", "origins=/ip4/1.2.3.4/tcp/1/p2p/" + testPeer("a").String(),
		"user-allocations=" + testPeer("a").String(), "wait=seen:2,pinned&wait-timeout=1s", "name=%ff", "replication-min=-1&replication-max=-1"} {
		f.Add(q)
	}
	now := time.Unix(1.8e9, 0).UTC()
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := parseParams(raw, pinQuery)
		if err == nil {
			pin := p.pinTemplate(now)
			p.wish()
			pin.Owner = p.get("owner")
			if err = p.err; err == nil {
				pin.CID = testCID("x")
				pin.Normalise()
				if err = pin.Validate(); err == nil {
					_, err = pin.Encode()
				}
			}
		}
		if err != nil && pinset.KindOf(err) != pinset.KindInvalid {
			t.Fatalf("%q: %v is %s", raw, err, pinset.KindOf(err).Info().Name)
		}
	})
}

// FuzzMultipart: whatever comes as a body is read to an end, or refused as the
// client's fault, and no name leaves the directory.
func FuzzMultipart(f *testing.F) {
	dir := files.NewMapDirectory(map[string]files.Node{"a": files.NewBytesFile([]byte("x")), "d": files.NewMapDirectory(map[string]files.Node{"b": files.NewBytesFile(nil)}),
		"l": files.NewLinkFile("../../etc", nil)})
	body := files.NewMultiFileReader(dir, true, false)
	raw, err := io.ReadAll(body)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(strings.ReplaceAll(string(raw), body.Boundary(), "b")))
	f.Add([]byte("--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"../../x\"\r\n\r\nabc\r\n--b--"))
	f.Add([]byte("--b\r\nContent-Type: application/x-directory\r\nContent-Disposition: form-data; name=\"f?mode=0755&mtime=x\"; filename=\"\"\r\n\r\n\r\n--b--"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		parts := multipart.NewReader(bytes.NewReader(raw), "b")
		in, err := files.NewFileFromPartReader(parts, "multipart/form-data")
		if err != nil {
			t.Fatal(err)
		}
		for a, err := range newFake().Add(context.Background(), bodyDir{in, 0, func() error { return nil }}, pinset.AddOptions{}, pinset.Pin{}) {
			if err != nil && pinset.KindOf(err) != pinset.KindInvalid {
				t.Fatalf("%v is %s", err, pinset.KindOf(err).Info().Name)
			}
			if a.Path == ".." || strings.HasPrefix(a.Path, "../") || strings.HasPrefix(a.Path, "/") {
				t.Fatalf("name %q", a.Path)
			}
		}
	})
}
