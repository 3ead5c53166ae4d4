package ipfsclient

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ipfs/boxo/files"

	"github.com/pinfold/pinfold/pinset"
)

// What an IPFS node sends may be anything: no answer may make us panic, hang, or
// take nonsense for a value.
func FuzzAnswers(f *testing.F) {
	cid := testCID.String()
	for _, seed := range []string{
		"", "{}", "null", "[]", "\n\n{}\n", `{"Message":"path 'x' is not pinned","Code":0,"Type":"error"}`,
		`{"Cid":"` + cid + `","Name":"n","Type":"recursive"}`, `{"Pins":["` + cid + `"]}`, `{"Progress":1,"Bytes":7}`,
		`{"Name":"x","Hash":"` + cid + `","Size":"13"}`, `{"Objects":[{"Hash":"x","Links":[{"Name":"a","Hash":"` + cid + `","Size":3,"Type":2}]}]}`,
		`{"Key":{"/":"` + cid + `"}}`, `{"Key":null,"Error":"e"}`, `{"ID":"12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN","Addresses":["/ip4/1.2.3.4/tcp/1"]}`,
		`{"RepoSize":1,"StorageMax":18446744073709551615}`, `{"UniqueBlocks":1,"TotalSize":2}`, `{"Version":"0.42.0"}`,
		`{"Size":5,"Type":"file","Mode":"1000000777"}`, `{"Size":18446744073709551615,"Type":"file"}`, `{"diskinfo":{"free_space":1,"total_space":2}}`,
	} {
		f.Add([]byte(seed), "", uint8(0))
		f.Add([]byte(seed), "the end", uint8(1))
	}
	f.Fuzz(func(t *testing.T, body []byte, trailer string, status uint8) {
		if strings.ContainsFunc(trailer, func(r rune) bool { return r < ' ' || r > '~' }) {
			trailer = "x"
		}
		c, err := New(Config{API: "http://kubo"})
		if err != nil {
			t.Fatal(err)
		}
		c.known.Store(true)
		c.http.Transport = answering(func(*http.Request) *http.Response {
			w := httptest.NewRecorder()
			w.Code = []int{200, 500, 400, 403, 404}[status%5]
			w.Body = bytes.NewBuffer(body)
			r := w.Result()
			r.StatusCode = w.Code
			if trailer != "" {
				r.Trailer = http.Header{"X-Stream-Error": {trailer}}
			}
			return r
		})
		checkAnswers(t, c, trailer != "" || status%5 != 0)
	})
}

// answering is a transport without a network.
type answering func(*http.Request) *http.Response

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	return a(r), nil
}

func checkAnswers(t *testing.T, c *Client, mustFail bool) {
	ctx := t.Context()
	fails := func(what string, err error) {
		if mustFail && err == nil {
			t.Errorf("%s: success from an answer that said it failed", what)
		}
	}
	fails("pin", doPin(ctx, c))
	if p, err := c.PinOf(ctx, testCID); err == nil && (p.CID != testCID || p.Mode > pinset.Direct) {
		t.Errorf("pin of %s: %+v", testCID, p)
	}
	var last error
	for p, err := range c.Pins(ctx) {
		if last = err; err == nil && !p.CID.Defined() {
			t.Error("a pin without a CID")
		}
	}
	fails("pins", last)
	for k, err := range c.GC(ctx) {
		if last = err; err == nil && !k.Defined() {
			t.Error("garbage without a CID")
		}
	}
	fails("gc", last)
	for l, err := range c.List(ctx, testCID.String()) {
		if last = err; err == nil && (!l.CID.Defined() || l.Name == "") {
			t.Errorf("entry %+v", l)
		}
	}
	fails("list", last)
	dir := files.NewMapDirectory(map[string]files.Node{"f": files.NewBytesFile([]byte("f"))})
	for _, err := range c.Add(ctx, dir, pinset.AddOptions{}, "") {
		last = err
	}
	fails("add", last)
	id, err := c.Identity(ctx)
	if err == nil && id.Peer.Validate() != nil {
		t.Errorf("identity %+v", id)
	}
	fails("identity", err)
	_, err = c.RepoStat(ctx)
	fails("repo stat", err)
	_, err = c.DAGSize(ctx, testCID, pinset.Recursive)
	fails("dag size", err)
	if err := doUnpin(ctx, c); mustFail && err == nil {
		if _, err := c.PinOf(ctx, testCID); pinset.KindOf(err) != pinset.KindNotFound {
			t.Errorf("unpin: success from an answer that said it failed, and not that it was gone: %v", err)
		}
	}
	if n, err := c.Open(ctx, testCID.String()); err == nil {
		if f, ok := n.(files.File); ok {
			if _, err := io.Copy(io.Discard, io.LimitReader(f, 1<<20)); err != nil && errors.Is(err, io.ErrNoProgress) {
				t.Error(err)
			}
		}
		n.Close()
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"", "/", "/ipfs/", testCID.String(), "/ipfs/" + testCID.String() + "/a/b", "/ipns/x", "a/../b", "/ipfs/" + testCID.String() + "/../../x", "//", "%2f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePath(s)
		if err != nil {
			if pinset.KindOf(err) != pinset.KindInvalid {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		if !strings.HasPrefix(p, "/ipfs/") || strings.Contains(p, "/../") {
			t.Errorf("%q became %q", s, p)
		}
		if again, err := ParsePath(p); err != nil || again != p {
			t.Errorf("%q became %q and then %q, %v", s, p, again, err)
		}
	})
}
