package ipfsclient

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/boxo/files"

	"github.com/pinfold/pinfold/pinset"
)

func TestParseAPI(t *testing.T) {
	for _, tc := range []struct{ api, base, unix string }{
		{"/ip4/127.0.0.1/tcp/5001", "http://127.0.0.1:5001/api/v0/", ""},
		{"/ip6/::1/tcp/5001/http", "http://[::1]:5001/api/v0/", ""},
		{"/dns4/ipfs.example/tcp/443/https", "https://ipfs.example:443/api/v0/", ""},
		{"/dns/ipfs.example/tcp/443/tls/http", "https://ipfs.example:443/api/v0/", ""},
		{"/unix/run/ipfs/rpc.sock", "http://unix/api/v0/", "/run/ipfs/rpc.sock"},
		{"http://127.0.0.1:5001", "http://127.0.0.1:5001/api/v0/", ""},
		{"http://127.0.0.1:5001/", "http://127.0.0.1:5001/api/v0/", ""},
		{"https://example.org/node/api/v0/", "https://example.org/node/api/v0/", ""},
		{"localhost:5001", "http://localhost:5001/api/v0/", ""},
		{"[::1]:5001", "http://[::1]:5001/api/v0/", ""},
		{"", "", ""},
		{"5001", "", ""},
		{":5001", "", ""},
		{"/ip4/127.0.0.1", "", ""},
		{"/ip4/127.0.0.1/udp/5001", "", ""},
		{"/ip4/300.0.0.1/tcp/5001", "", ""},
		{"ftp://127.0.0.1", "", ""},
		{"http://", "", ""},
		{"http://user:secret@host", "", ""},
		{"http://host/?x=1", "", ""},
	} {
		got, err := parseAPI(tc.api)
		switch {
		case tc.base == "" && (err == nil || pinset.KindOf(err) != pinset.KindInvalid):
			t.Errorf("%q: %+v, %v; want an error of kind invalid", tc.api, got, err)
		case tc.base != "" && (err != nil || got != endpoint{tc.base, tc.unix}):
			t.Errorf("%q: %+v, %v; want %q %q", tc.api, got, err, tc.base, tc.unix)
		}
	}
}

func TestAuth(t *testing.T) {
	for _, tc := range []struct{ auth, header string }{
		{"", ""},
		{"bearer:my:token", "Bearer my:token"},
		{"Bearer:x", "Bearer x"},
		{"basic:user:pass:word", "Basic dXNlcjpwYXNzOndvcmQ="},
		{"basic:dXNlcjpwYXNz", "Basic dXNlcjpwYXNz"},
	} {
		synctest.Test(t, func(t *testing.T) {
			got := []string{}
			c, _ := served(t, Config{Auth: tc.auth}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got = append(got, r.Header.Get("Authorization"))
				http.Error(w, "Denied", http.StatusForbidden)
			}))
			err := doID(t.Context(), c)
			if len(got) != 1 || got[0] != tc.header {
				t.Errorf("%q: sent %q, want %q", tc.auth, got, tc.header)
			}
			_, secret, _ := strings.Cut(tc.auth, ":")
			if secret != "" && strings.Contains(err.Error()+pinset.HintOf(err), secret) {
				t.Errorf("the error tells the secret: %v", err)
			}
		})
	}
	for _, auth := range []string{"token", "bearer:", "digest:x", ":"} {
		if _, err := New(Config{API: DefaultAPI, Auth: auth}); pinset.KindOf(err) != pinset.KindInvalid || strings.Contains(err.Error(), "digest") {
			t.Errorf("auth %q: %v", auth, err)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	for _, api := range []string{"http://" + closed, "/unix" + filepath.Join(t.TempDir(), "no.sock")} {
		c, err := New(Config{API: api})
		if err != nil {
			t.Fatal(err)
		}
		err = doPin(t.Context(), c)
		if !errors.Is(err, ErrNobody) || pinset.KindOf(err) != pinset.KindUnavailable || !strings.Contains(pinset.HintOf(err), "ipfs daemon") {
			t.Errorf("%s: %v (%s)", api, err, pinset.HintOf(err))
		}
		if err := doAdd(t.Context(), c); !errors.Is(err, ErrNobody) {
			t.Errorf("add at %s: %v", api, err)
		}
	}
}

// What speaks, but not HTTP, or TLS where plain HTTP was wanted, or the reverse.
func TestOtherProtocols(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "SSH-2.0-OpenSSH_9.9\r\n")
			_, _ = bufio.NewReader(c).ReadString('\n')
			c.Close()
		}
	}()
	plain, secure := httptest.NewServer(kubo(page)), httptest.NewUnstartedServer(kubo(page))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer plain.Close()
	defer secure.Close()
	for api, want := range map[string]error{
		"http://" + l.Addr().String():                         ErrNotIPFS,
		strings.Replace(plain.URL, "http://", "https://", 1):  ErrNotIPFS,
		strings.Replace(secure.URL, "https://", "http://", 1): ErrNotIPFS,
	} {
		c, err := New(Config{API: api})
		if err != nil {
			t.Fatal(err)
		}
		if err := doID(t.Context(), c); !errors.Is(err, want) {
			t.Errorf("%s: %v, want it to wrap %q", api, err, want)
		}
		c.Close()
	}
}

func TestTLS(t *testing.T) {
	srv := httptest.NewUnstartedServer(kubo(message(http.StatusInternalServerError, "path 'x' is not pinned")))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	c, err := New(Config{API: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	if err := doPinOf(t.Context(), c); !errors.Is(err, ErrTrust) || !strings.Contains(pinset.HintOf(err), "SSL_CERT_FILE") {
		t.Errorf("a certificate that nobody signed: %v (%s)", err, pinset.HintOf(err))
	}
	c.http.Transport.(*http.Transport).TLSClientConfig = srv.Client().Transport.(*http.Transport).TLSClientConfig
	if err := doPinOf(t.Context(), c); pinset.KindOf(err) != pinset.KindNotFound {
		t.Errorf("a certificate that is trusted: %v", err)
	}
}

// The limit is on silence, not on the length of a stream.
func TestSteadyStreamMayBeLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := served(t, Config{Silence: time.Second}, kubo(streams(func(w http.ResponseWriter, _ *http.Request) {
			for i := range 1000 {
				time.Sleep(500 * time.Millisecond)
				fmt.Fprintf(w, `{"Progress":%d,"Bytes":%d}`+"\n", i+1, 10*i)
				w.(http.Flusher).Flush()
			}
			fmt.Fprintln(w, `{"Pins":["x"]}`)
		})))
		var last pinset.Progress
		err := c.Pin(t.Context(), testCID, pinset.PinOptions{Progress: func(p pinset.Progress) { last = p }})
		if err != nil || last != (pinset.Progress{Blocks: 1000, Bytes: 9990}) {
			t.Errorf("%v, progress %+v", err, last)
		}
	})
}

// A caller that takes its time is not the node's silence.
func TestSlowCallerIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := `{"Cid":"` + testCID.String() + `","Type":"recursive"}` + "\n"
		c, _ := served(t, Config{Silence: time.Second}, kubo(streams(ends, line, line, line)))
		n := 0
		for _, err := range c.Pins(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			time.Sleep(time.Hour)
		}
		if n != 6 {
			t.Errorf("%d pins, want 6", n)
		}
	})
}

// A source that takes its time, and gives something now and then, is not silence
// either, while a node that stops taking is.
func TestSlowUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := served(t, Config{Patience: time.Minute}, kubo(reads(streams(ends, `{"Name":"f","Hash":"`+testCID.String()+`","Size":"3"}`+"\n"))))
		r, w := io.Pipe()
		go func() {
			for range 100 {
				time.Sleep(50 * time.Second)
				io.WriteString(w, "drop")
			}
			w.Close()
		}()
		dir := files.NewMapDirectory(map[string]files.Node{"f": files.NewReaderFile(r)})
		for _, err := range c.Add(t.Context(), dir, pinset.AddOptions{}, "") {
			if err != nil {
				t.Error(err)
			}
		}
	})
}

func TestContextEnds(t *testing.T) {
	reason := errors.New("the user went away")
	for _, tc := range []struct {
		name string
		ctx  func(context.Context) (context.Context, func())
		want error
		kind pinset.Kind
	}{
		{"cancelled", func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, context.Canceled, pinset.KindInternal},
		{"cancelled with a reason", func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(time.Second, func() { cancel(reason) })
			return ctx, func() { cancel(nil) }
		}, reason, pinset.KindInternal},
		{"deadline", func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			return ctx, cancel
		}, context.DeadlineExceeded, pinset.KindTimeout},
	} {
		for name, call := range map[string]func(context.Context, *Client) error{
			"pin": doPin, "unpin": doUnpin, "pins": doPins, "gc": doGC, "read": doRead, "add": doAdd, "id": doID, "list": doList} {
			t.Run(tc.name+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, _ := served(t, Config{}, kubo(file(9, reads(streams(hangs, "\n")))))
					ctx, cancel := tc.ctx(t.Context())
					defer cancel()
					start := time.Now()
					err := call(ctx, c)
					if !errors.Is(err, tc.want) || pinset.KindOf(err) != tc.kind {
						t.Errorf("%v of kind %s, want it to wrap %q, %s", err, pinset.KindOf(err).Info().Name, tc.want, tc.kind.Info().Name)
					}
					if took := time.Since(start); took > time.Second {
						t.Errorf("returned %v after the call", took)
					}
				})
			})
		}
	}
}

// A kept connection that the node closed meanwhile costs nobody an error.
func TestStaleConnection(t *testing.T) {
	srv := httptest.NewServer(kubo(message(500, "path 'x' is not pinned")))
	defer srv.Close()
	c, err := New(Config{API: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := doPinOf(t.Context(), c); pinset.KindOf(err) != pinset.KindNotFound {
			t.Fatal(err)
		}
		srv.CloseClientConnections()
	}
}

// After a break the node may be another one: it is asked anew who it is.
func TestVersionIsAskedAgainAfterABreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		version, asked := "0.42.0", 0
		tear := false
		c, _ := served(t, Config{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/version") {
				asked++
				fmt.Fprintf(w, `{"Version":%q}`, version)
				return
			}
			if tear {
				streams(tears, "{}\n")(w, r)
				return
			}
			message(500, "path 'x' is not pinned")(w, r)
		}))
		for range 3 {
			if err := doPinOf(t.Context(), c); pinset.KindOf(err) != pinset.KindNotFound {
				t.Fatal(err)
			}
		}
		if asked != 1 {
			t.Errorf("asked %d times for the version, want once", asked)
		}
		tear = true
		if err := doPin(t.Context(), c); !errors.Is(err, ErrTorn) {
			t.Fatal(err)
		}
		version = "0.30.0"
		if err := doPinOf(t.Context(), c); !errors.Is(err, ErrTooOld) {
			t.Errorf("after another Kubo took its place: %v", err)
		}
	})
}

func TestVersions(t *testing.T) {
	for version, want := range map[string]error{
		"0.40.0": nil, "0.42.0": nil, "0.43.0-dev": nil, "v0.44.1": nil, "1.0.0": nil, "0.40.0-rc1": nil,
		"0.39.9": ErrTooOld, "0.4.23": ErrTooOld, "0.7": ErrTooOld, "": ErrNotIPFS, "kubo": ErrNotIPFS, "-1.2": ErrNotIPFS, "0.99999999999": ErrNotIPFS,
	} {
		synctest.Test(t, func(t *testing.T) {
			c, _ := served(t, Config{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, `{"Version":%q}`, version) }))
			if err := c.ready(t.Context()); !errors.Is(err, want) {
				t.Errorf("%q: %v, want %v", version, err, want)
			}
		})
	}
}

func TestDetect(t *testing.T) {
	good := httptest.NewServer(kubo(says(200, "application/json", `{"ID":"12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"}`)))
	locked := httptest.NewServer(says(403, "text/plain", "Denied"))
	defer good.Close()
	defer locked.Close()
	address := func(s *httptest.Server) string {
		host, port, _ := net.SplitHostPort(s.Listener.Addr().String())
		return "/ip4/" + host + "/tcp/" + port
	}
	nobody := "/ip4/127.0.0.1/tcp/1"
	for _, tc := range []struct {
		name, env, home string // contents of the files; "": no such file
		want            string
		err             error
	}{
		{"in the environment's repository", address(good), nobody, address(good), nil},
		{"in the home", "", address(good) + "\n", address(good), nil},
		{"a stale file first", nobody, address(good), address(good), nil},
		{"a locked one first", address(locked), address(good), address(good), nil},
		{"only a locked one", nobody, address(locked), address(locked), ErrAuth},
		{"none", nobody, "", "", ErrNobody},
		{"nonsense in the file", "nonsense", address(good), address(good), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if l, err := net.Listen("tcp", "127.0.0.1:5001"); err == nil {
				l.Close()
			} else {
				t.Skip("something listens at the usual port of this machine")
			}
			env, home := t.TempDir(), t.TempDir()
			t.Setenv("IPFS_PATH", env)
			t.Setenv("HOME", home)
			for dir, content := range map[string]string{env: tc.env, filepath.Join(home, ".ipfs"): tc.home} {
				if content == "" {
					continue
				}
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "api"), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cfg, err := Detect(t.Context())
			if cfg.API != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("%q, %v; want %q, %v", cfg.API, err, tc.want, tc.err)
			}
		})
	}
}

func TestNamesThatArePaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := served(t, Config{}, kubo(reads(streams(ends))))
		for _, name := range []string{"a/b", "..", "."} {
			for _, dir := range []files.Directory{
				files.NewMapDirectory(map[string]files.Node{name: files.NewBytesFile(nil)}),
				files.NewMapDirectory(map[string]files.Node{"d": files.NewMapDirectory(map[string]files.Node{name: files.NewBytesFile(nil)})}),
			} {
				var last error
				for _, err := range c.Add(t.Context(), dir, pinset.AddOptions{Hidden: true}, "") {
					last = err
				}
				if pinset.KindOf(last) != pinset.KindInvalid {
					t.Errorf("%q: %v", name, last)
				}
			}
		}
	})
}

// net/http may go on reading an upload after the exchange ended. Add outlasts that:
// the caller's source is its own again when Add returns.
func TestAddOutlastsItsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := served(t, Config{}, kubo(func(w http.ResponseWriter, r *http.Request) {
			if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
				t.Error(err)
			}
			streams(reads(hangs), `{"Name":"f","Bytes":1}`+"\n")(w, r)
		}))
		src := &slowSource{}
		dir := files.NewMapDirectory(map[string]files.Node{"f": files.NewReaderFile(src)})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		for _, err := range c.Add(ctx, dir, pinset.AddOptions{}, "") {
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		if src.busy.Load() || !src.closed.Load() {
			t.Errorf("still being read: %v; closed: %v", src.busy.Load(), src.closed.Load())
		}
	})
}

type slowSource struct{ busy, closed atomic.Bool }

func (s *slowSource) Close() error {
	s.closed.Store(true)
	return nil
}

func (s *slowSource) Read(p []byte) (int, error) {
	s.busy.Store(true)
	time.Sleep(time.Minute)
	s.busy.Store(false)
	return len(p), nil
}

func TestVersionIsAskedAgainAfterItWasAway(t *testing.T) {
	version := "0.42.0"
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/version") {
			fmt.Fprintf(w, `{"Version":%q}`, version)
			return
		}
		message(500, "path 'x' is not pinned")(w, r)
	})
	srv := httptest.NewServer(h)
	at := srv.Listener.Addr().String()
	c, err := New(Config{API: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	if err := doPinOf(t.Context(), c); pinset.KindOf(err) != pinset.KindNotFound {
		t.Fatal(err)
	}
	srv.Close()
	if err := doPinOf(t.Context(), c); !errors.Is(err, ErrNobody) {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Skipf("listen where it was: %v", err)
	}
	version = "0.30.0"
	again := &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
	again.Start()
	defer again.Close()
	if err := doPinOf(t.Context(), c); !errors.Is(err, ErrTooOld) {
		t.Errorf("an older one came back: %v", err)
	}
}
