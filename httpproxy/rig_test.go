package httpproxy_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/pinfold/pinfold/daemon"
	"github.com/pinfold/pinfold/ipfsclient/kubotest"
)

// patience bounds a wait for daemons.
const patience = 30 * time.Second

// peer is a pinfold with its IPFS-shaped door.
type peer struct {
	t   testing.TB
	dir daemon.Dir
	api string // http://host:port
}

// startPeer runs a daemon over a Kubo, or over the embedded node without one.
func startPeer(t testing.TB, kubo *kubotest.Daemon, set ...string) *peer {
	t.Helper()
	if kubo != nil {
		set = append([]string{"ipfs.node=kubo", "ipfs.api=" + kubo.API}, set...)
	}
	return runPeer(t, "", set)
}

// joinPeer runs one more, in the invite's cluster.
func joinPeer(t testing.TB, invite string, set ...string) *peer {
	t.Helper()
	return runPeer(t, invite, set)
}

func runPeer(t testing.TB, invite string, set []string) *peer {
	t.Helper()
	dir, err := os.MkdirTemp("", "pfp") // short: unix sockets want it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &peer{t: t, dir: daemon.Dir(filepath.Join(dir, "p"))}
	flags := map[string]string{
		"name": "p1", "give": "8GB", "network.listen": "/ip4/127.0.0.1/tcp/0", "network.mdns": "false", "network.port_map": "false",
		"network.relay": "false", "api.listen": "", "proxy.listen": "127.0.0.1:0", "ipfs.node": "embedded", "ipfs.listen": "/ip4/127.0.0.1/tcp/0",
	}
	for _, s := range set {
		key, value, _ := strings.Cut(s, "=")
		flags[key] = value
	}
	opts := daemon.Options{Dir: p.dir, Flags: flags, Version: "test"}
	if invite != "" {
		if _, err := daemon.Join(t.Context(), opts, invite); err != nil {
			t.Fatal(err)
		}
	}
	d, err := daemon.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range d.Greeting().Proxy {
		if strings.HasPrefix(a, "http") {
			p.api = a
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("daemon: %v", err)
		}
	})
	kubotest.Eventually(t, patience, "the peer is a member", func() error {
		r := ask(t, p.api, request{path: "id"})
		if r.status != 200 || !strings.Contains(r.body, `"Peers":`) {
			return errors.New(r.body)
		}
		return nil
	})
	return p
}

// url is a Kubo's RPC as a URL.
func url(t testing.TB, kubo *kubotest.Daemon) string {
	t.Helper()
	m, err := multiaddr.NewMultiaddr(kubo.API)
	if err != nil {
		t.Fatal(err)
	}
	_, at, err := manet.DialArgs(m)
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + at
}

// request is one to Kubo's RPC.
type request struct {
	method string // "" is POST
	path   string // below /api/v0/, with the query; or all of it, with a slash first
	header map[string]string
	files  []file // of a multipart body
	body   io.Reader
}

type file struct {
	name, data string
	dir        bool
}

// form is files as Kubo's client sends them.
func form(files []file) (io.Reader, string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range files {
		h := textproto.MIMEHeader{"Content-Disposition": {`form-data; name="file"; filename="` + f.name + `"`}, "Content-Type": {"application/octet-stream"}}
		if f.dir {
			h.Set("Content-Type", "application/x-directory")
		}
		part, _ := w.CreatePart(h) // to memory
		_, _ = io.WriteString(part, f.data)
	}
	_ = w.Close()
	return &b, w.FormDataContentType()
}

// answer is what came back.
type answer struct {
	status  int
	header  http.Header
	trailer string
	body    string
	took    time.Duration
}

func ask(t testing.TB, base string, q request) answer {
	t.Helper()
	method, at := q.method, q.path
	if method == "" {
		method = http.MethodPost
	}
	if !strings.HasPrefix(at, "/") {
		at = "/api/v0/" + at
	}
	body, kind := q.body, ""
	if q.files != nil {
		body, kind = form(q.files)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, base+at, body)
	if err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	r.Header.Set("User-Agent", "go-ipfs-cmds/http")
	for k, v := range q.header {
		if k == "Host" {
			r.Host = v
		}
		r.Header.Set(k, v)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Transport: &http.Transport{
		DisableKeepAlives: true, DisableCompression: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // who is there is not the question here
	}}
	start := time.Now()
	resp, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, at, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v after %q", method, at, err, raw)
	}
	return answer{resp.StatusCode, resp.Header, resp.Trailer.Get("X-Stream-Error"), string(raw), time.Since(start)}
}
