package ipfsclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// pipes is a listener without a socket, so that servers live in a synctest bubble.
type pipes struct {
	conns chan net.Conn
	over  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.over:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.over) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	a, b := net.Pipe()
	select {
	case p.conns <- a:
		return b, nil
	case <-p.over:
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// served returns a client of a server in the same bubble.
func served(t *testing.T, cfg Config, h http.Handler) (*Client, *http.Server) {
	t.Helper()
	p := &pipes{conns: make(chan net.Conn), over: make(chan struct{})}
	cfg.API = "http://kubo"
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.http.Transport.(*http.Transport).DialContext = p.dial
	base, stop := context.WithCancel(t.Context())
	srv := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0), BaseContext: func(net.Listener) context.Context { return base }}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(p)
	}()
	t.Cleanup(func() {
		stop() // those who hang
		c.Close()
		srv.Close()
		<-done
		time.Sleep(time.Second) // of the bubble: net/http lingers on a connection that it closes
	})
	return c, srv
}

// kubo answers version like a Kubo, and all else with h.
func kubo(h http.HandlerFunc) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v0/version", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, `{"Version":"0.42.0","Commit":"","Repo":"18"}`)
	})
	mux.HandleFunc("/", h)
	return mux
}

// says answers with a status, a type and a body.
func says(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func message(status int, text string) http.HandlerFunc {
	return says(status, "application/json", fmt.Sprintf(`{"Message":%q,"Code":0,"Type":"error"}`+"\n", text))
}

// streams sends lines and then does what end says.
func streams(end func(http.ResponseWriter, *http.Request), lines ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Stream-Error")
		w.Header().Set("X-Chunked-Output", "1")
		for _, l := range lines {
			io.WriteString(w, l)
			w.(http.Flusher).Flush()
		}
		end(w, r)
	}
}

func ends(http.ResponseWriter, *http.Request) {}

func tears(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func hangs(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func trailer(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Stream-Error", text) }
}

var (
	testCID = cid.MustParse("bafkreie6dlcg2ohvkdwcyrzdpabpmy7qq72lnfcvqsgf5jxjj6pkxy3o7y")
	page    = says(200, "text/html", "<!DOCTYPE html>\n<html><title>Welcome to nginx!</title></html>\n")
)

func doPin(ctx context.Context, c *Client) error { return c.Pin(ctx, testCID, pinset.PinOptions{}) }
func doUnpin(ctx context.Context, c *Client) error {
	return c.Unpin(ctx, testCID, pinset.Recursive)
}
func doPinOf(ctx context.Context, c *Client) error {
	_, err := c.PinOf(ctx, testCID)
	return err
}
func doPins(ctx context.Context, c *Client) (last error) {
	for _, err := range c.Pins(ctx) {
		last = err
	}
	return last
}
func doGC(ctx context.Context, c *Client) (last error) {
	for _, err := range c.GC(ctx) {
		last = err
	}
	return last
}
func doID(ctx context.Context, c *Client) error {
	_, err := c.Identity(ctx)
	return err
}
func doStat(ctx context.Context, c *Client) error {
	_, err := c.RepoStat(ctx)
	return err
}
func doList(ctx context.Context, c *Client) (last error) {
	for _, err := range c.List(ctx, testCID.String()) {
		last = err
	}
	return last
}
func doRead(ctx context.Context, c *Client) error {
	n, err := c.Open(ctx, testCID.String())
	if err != nil {
		return err
	}
	defer n.Close()
	_, err = io.ReadAll(n.(files.File))
	return err
}
func doAdd(ctx context.Context, c *Client) (last error) {
	dir := files.NewMapDirectory(map[string]files.Node{"f": files.NewBytesFile(make([]byte, 3<<20))})
	for _, err := range c.Add(ctx, dir, pinset.AddOptions{}, "name") {
		last = err
	}
	return last
}

// file answers files/stat with a size, and cat with h.
func file(size int, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/files/stat") {
			fmt.Fprintf(w, `{"Hash":"x","Size":%d,"Type":"file"}`, size)
			return
		}
		h(w, r)
	}
}

// Every way in which an answer can be wrong, and what the caller learns from it.
func TestAnswersThatAreErrors(t *testing.T) {
	const none = pinset.KindInternal
	long := `{"Cid":"` + strings.Repeat("x", maxMessage) + `"}`
	pinned := `{"Cid":"` + testCID.String() + `","Name":"n","Type":"recursive"}` + "\n"
	for _, tc := range []struct {
		name string
		h    http.Handler
		call func(context.Context, *Client) error
		is   error // nil: no sentinel
		kind pinset.Kind
		text string
	}{
		{"web server's page", page, doPin, ErrNotIPFS, pinset.KindUnavailable, "Addresses.API"},
		{"page after version", kubo(page), doPin, ErrNotIPFS, pinset.KindUnavailable, "DOCTYPE"},
		{"not found anywhere", http.NotFoundHandler(), doID, ErrNotIPFS, pinset.KindUnavailable, "404"},
		{"command not found", kubo(http.NotFound), doID, ErrNotIPFS, pinset.KindUnavailable, "id answered 404"},
		{"redirect", http.RedirectHandler("https://elsewhere/", http.StatusFound), doID, ErrNotIPFS, pinset.KindUnavailable, "302"},
		{"json without version", says(200, "application/json", `{"hello":1}`), doID, ErrNotIPFS, pinset.KindUnavailable, "no version"},
		{"version of something", says(200, "application/json", `{"Version":"two"}`), doID, ErrNotIPFS, pinset.KindUnavailable, "two"},
		{"empty", says(200, "application/json", ""), doID, ErrTorn, pinset.KindUnavailable, "empty"},
		{"json error to version", message(500, "boo"), doID, ErrNotIPFS, pinset.KindUnavailable, "boo"},
		{"gateway in front", says(502, "text/html", "<html>Bad Gateway"), doID, nil, pinset.KindUnavailable, "Bad Gateway"},
		{"mute", http.HandlerFunc(hangs), doID, ErrSilent, pinset.KindTimeout, "version"},
		{"too old", says(200, "application/json", `{"Version":"0.39.1"}`), doID, ErrTooOld, pinset.KindUnavailable, "version 0.39.1, want 0.40"},

		{"no secret", says(403, "text/plain", "Kubo RPC Access Denied: Please\n"), doID, ErrAuth, pinset.KindUnavailable, "Access Denied"},
		{"no secret, in json", message(401, "token missing"), doID, ErrAuth, pinset.KindUnavailable, "token missing"},
		{"secret not for all", kubo(says(403, "text/plain", "Denied")), doPin, ErrAuth, pinset.KindUnavailable, "pin/add: Denied"},

		{"pin: not pinned at the end", kubo(streams(ends, "{}\n", `{"Progress":3,"Bytes":9}`+"\n")), doPin, ErrTorn, pinset.KindUnavailable, "did not say"},
		{"pin: trailer", kubo(streams(trailer("no route to block"), "{}\n", "{}\n")), doPin, nil, none, "no route to block"},
		{"pin: trailer after success", kubo(streams(trailer("disk: no space left on device"), `{"Pins":["x"]}`+"\n")), doPin, nil, pinset.KindUnavailable, "no space"},
		{"pin: torn", kubo(streams(tears, "{}\n")), doPin, ErrTorn, pinset.KindUnavailable, "pin/add"},
		{"pin: torn after success", kubo(streams(tears, `{"Pins":["x"]}`+"\n")), doPin, ErrTorn, pinset.KindUnavailable, ""},
		{"pin: half a line", kubo(streams(ends, `{"Progr`)), doPin, ErrNotIPFS, pinset.KindUnavailable, ""},
		{"pin: falls silent", kubo(streams(hangs, "{}\n", "{}\n")), doPin, ErrSilent, pinset.KindTimeout, "pin/add"},
		{"pin: never answers", kubo(hangs), doPin, ErrSilent, pinset.KindTimeout, ""},
		{"pin: over a recursive one", kubo(message(500, "pin: x already pinned recursively")), doPin, nil, pinset.KindConflict, ""},
		{"pin: name", kubo(message(500, "pin name is 300 bytes (max 255 bytes)")), doPin, nil, pinset.KindInvalid, ""},
		{"pin: deadline there", kubo(message(500, "pin: context deadline exceeded")), doPin, nil, pinset.KindTimeout, ""},
		{"pin: argument", kubo(says(400, "text/plain", "argument \"ipfs-path\" is required\n")), doPin, nil, pinset.KindInvalid, "is required"},
		{"pin: own words", kubo(message(500, "the dog ate it")), doPin, nil, none, "pin/add: the dog ate it"},

		{"unpin: recursive", kubo(message(500, "x is pinned recursively")), doUnpin, nil, pinset.KindConflict, ""},
		{"unpin: page that says so", kubo(says(500, "text/html", "not pinned or pinned indirectly")), doUnpin, nil, pinset.KindUnavailable, ""},

		{"pin of: not pinned", kubo(message(500, "path 'x' is not pinned")), doPinOf, nil, pinset.KindNotFound, ""},
		{"pin of: something else", kubo(message(500, "datastore closed")), doPinOf, nil, none, "datastore closed"},
		{"pin of: another's", kubo(says(200, "application/json", `{"Cid":"QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn","Type":"recursive"}`)), doPinOf, ErrNotIPFS, pinset.KindUnavailable, "answered for"},
		{"pin of: two", kubo(says(200, "application/json", pinned+pinned)), doPinOf, ErrNotIPFS, pinset.KindUnavailable, "more than one"},
		{"pin of: no type", kubo(says(200, "application/json", `{"Cid":"`+testCID.String()+`"}`)), doPinOf, ErrNotIPFS, pinset.KindUnavailable, "without a type"},

		{"pins: torn", kubo(streams(tears, pinned, pinned)), doPins, ErrTorn, pinset.KindUnavailable, ""},
		{"pins: trailer", kubo(streams(trailer("context canceled"), pinned)), doPins, nil, none, "context canceled"},
		{"pins: bad cid", kubo(streams(ends, `{"Cid":"Qm","Type":"direct"}`+"\n")), doPins, ErrNotIPFS, pinset.KindUnavailable, "Qm"},
		{"pins: bad type", kubo(streams(ends, strings.Replace(pinned, "recursive", "indirect through y", 1))), doPins, ErrNotIPFS, pinset.KindUnavailable, "indirect"},
		{"pins: endless line", kubo(streams(ends, long)), doPins, ErrNotIPFS, pinset.KindUnavailable, "one line"},
		{"pins: array", kubo(streams(ends, "[]\n")), doPins, ErrNotIPFS, pinset.KindUnavailable, ""},

		{"gc: some stayed", kubo(streams(trailer("encountered errors during gc run"), `{"Key":null,"Error":"io"}`+"\n", `{"Key":null,"Error":"io2"}`+"\n")), doGC, nil, none, "2 blocks stayed: io"},
		{"gc: no cid", kubo(streams(ends, `{"Key":{}}`+"\n")), doGC, ErrNotIPFS, pinset.KindUnavailable, ""},
		{"gc: falls silent", kubo(streams(hangs, `{"Key":{"/":"`+testCID.String()+`"}}`+"\n")), doGC, ErrSilent, pinset.KindTimeout, ""},
		{"id: no peer id", kubo(says(200, "application/json", `{"ID":"nobody"}`)), doID, ErrNotIPFS, pinset.KindUnavailable, "nobody"},
		{"stat: too large a number", kubo(says(200, "application/json", `{"RepoSize":-1}`)), doStat, ErrNotIPFS, pinset.KindUnavailable, ""},
		{"list: torn", kubo(streams(tears, `{"Objects":[{"Links":[{"Name":"a","Hash":"`+testCID.String()+`"}]}]}`+"\n")), doList, ErrTorn, pinset.KindUnavailable, ""},
		{"list: not there", kubo(message(500, `no link named "x" under y`)), doList, nil, pinset.KindNotFound, ""},

		{"read: too short", kubo(file(10, says(200, "text/plain", "short"))), doRead, ErrTorn, pinset.KindUnavailable, "5 of 10"},
		{"read: torn", kubo(file(1<<20, streams(tears, "some"))), doRead, ErrTorn, pinset.KindUnavailable, ""},
		{"read: trailer", kubo(file(10, streams(trailer("block was not found locally (offline)"), "some"))), doRead, nil, pinset.KindNotFound, ""},
		{"read: falls silent", kubo(file(10, streams(hangs, "some"))), doRead, ErrSilent, pinset.KindTimeout, "cat"},

		{"add: refused unread", kubo(says(403, "text/plain", "Denied")), doAdd, ErrAuth, pinset.KindUnavailable, ""},
		{"add: takes nothing", kubo(hangs), doAdd, ErrSilent, pinset.KindTimeout, "add"},
		{"add: torn", kubo(streams(tears, `{"Name":"f","Hash":"`+testCID.String()+`","Size":"3"}`+"\n")), doAdd, ErrTorn, pinset.KindUnavailable, ""},
		{"add: nothing added", kubo(reads(ends)), doAdd, ErrTorn, pinset.KindUnavailable, "added nothing"},
		{"add: trailer instead of sync", kubo(reads(streams(trailer("sync: no space left on device"), `{"Name":"f","Hash":"`+testCID.String()+`","Size":"3"}`+"\n"))), doAdd, nil, pinset.KindUnavailable, "no space"},
		{"add: bad size", kubo(reads(streams(ends, `{"Name":"f","Hash":"`+testCID.String()+`","Size":"-3"}`+"\n"))), doAdd, ErrNotIPFS, pinset.KindUnavailable, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := served(t, Config{Silence: time.Minute, Patience: time.Hour}, tc.h)
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
				defer cancel()
				err := tc.call(ctx, c)
				if err == nil {
					t.Fatal("no error")
				}
				if tc.is != nil && !errors.Is(err, tc.is) {
					t.Errorf("%v: want it to wrap %q", err, tc.is)
				}
				if got := pinset.KindOf(err); got != tc.kind {
					t.Errorf("%v: kind %s, want %s", err, got.Info().Name, tc.kind.Info().Name)
				}
				if all := err.Error() + "; " + pinset.HintOf(err); !strings.Contains(all, tc.text) {
					t.Errorf("%q does not say %q", all, tc.text)
				}
			})
		})
	}
}

// reads takes the whole upload before it answers.
func reads(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		h(w, r)
	}
}
