package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/boxo/files"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

// endless yields a pin and then waits for release before the next, without end.
func endless(release <-chan struct{}, stopped chan<- struct{}) iter.Seq2[pinset.Pin, error] {
	return func(yield func(pinset.Pin, error) bool) {
		defer close(stopped)
		for i := 0; yield(pinset.Pin{CID: testCID(fmt.Sprint(i))}, nil); i++ {
			<-release
		}
	}
}

func within(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s: not within 10 s", what)
	}
}

// TestFirstLineIsQuick: a line does not wait for the next one.
func TestFirstLineIsQuick(t *testing.T) {
	s := serve(t, Config{})
	release, stopped := make(chan struct{}), make(chan struct{})
	s.pinsSeq = endless(release, stopped)
	c := client.New(s.socket, "")
	defer c.Close()
	start := time.Now()
	for range c.Pins(context.Background()) {
		if took := time.Since(start); took > 2*time.Second { // flushAfter is 20 ms; the rest is a busy machine's
			t.Errorf("the first line took %v", took)
		}
		break
	}
	close(release)
	within(t, "the list ends when its reader has gone", stopped)
}

// TestClientsThatGoLeaveNothing counts goroutines of this package and net/http.
func TestClientsThatGoLeaveNothing(t *testing.T) {
	s := serve(t, Config{})
	for _, addr := range []string{s.socket, s.tcp} { // the listeners run
		c := client.New(addr, "admin")
		if _, err := c.Version(context.Background()); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	before := goroutines()
	for i := range 20 {
		release, stopped := make(chan struct{}), make(chan struct{})
		s.pinsSeq = endless(release, stopped)
		c := client.New([]string{s.socket, s.tcp}[i%2], "admin")
		ctx, cancel := context.WithCancel(context.Background())
		for _, err := range c.Pins(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			if i%4 < 2 {
				cancel()
			}
			break
		}
		close(release)
		within(t, "list", stopped)
		cancel()
		c.Close()
	}
	deadline := time.Now().Add(10 * time.Second)
	for goroutines() > before && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if n := goroutines(); n > before {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines, before %d\n%s", n, before, buf[:runtime.Stack(buf, true)])
	}
}

func goroutines() int {
	buf := make([]byte, 4<<20)
	n := 0
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "pinfold/httpapi") || strings.Contains(g, "net/http") {
			n++
		}
	}
	return n
}

// TestStopping: Run returns while a list is under way.
func TestStopping(t *testing.T) {
	s := serve(t, Config{})
	release, stopped := make(chan struct{}), make(chan struct{})
	s.pinsSeq = endless(release, stopped)
	c := client.New(s.socket, "")
	defer c.Close()
	next, done := iter.Pull2(c.Pins(context.Background()))
	defer done()
	if _, err, _ := next(); err != nil {
		t.Fatal(err)
	}
	close(release) // the list goes on until nothing more fits on the way to a client that does not read
	start := time.Now()
	s.stop()
	if took := time.Since(start); took > 5*time.Second { // what guard gives answers under way
		t.Errorf("stopping took %v", took)
	}
	within(t, "list", stopped)
}

// TestAddIsFullDuplex: the answer begins before the question ends, and the body
// is still read after that.
func TestAddIsFullDuplex(t *testing.T) {
	s := serve(t, Config{})
	in, out := io.Pipe()
	form := func(text string) {
		if _, err := io.WriteString(out, text); err != nil {
			t.Errorf("the body is no longer read: %v", err)
		}
	}
	r, err := http.NewRequest("POST", s.tcp+"/add", in)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer adder")
	r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	sent := make(chan struct{})
	go func() {
		form("--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"one\"\r\n\r\nabc\r\n--b\r\n")
		close(sent)
	}()
	resp, err := http.DefaultClient.Do(r) // returns at the answer's header, while the body is open
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, `"one"`) {
		t.Fatalf("first line %q, %v", line, err)
	}
	within(t, "first part", sent)
	big := strings.Repeat("x", 1<<20)
	go func() {
		form("Content-Disposition: form-data; name=\"f\"; filename=\"two\"\r\n\r\n" + big + "\r\n--b--\r\n")
		_ = out.Close()
	}()
	if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, `"two"`) {
		t.Fatalf("second line %q, %v", line, err)
	}
	if _, err := lines.ReadString('\n'); err != io.EOF || resp.Trailer.Get(dialect.TrailerError) != "" {
		t.Errorf("end: %v, trailer %q", err, resp.Trailer)
	}
	if s.files["two"] != big {
		t.Errorf("%d bytes arrived of %d", len(s.files["two"]), len(big))
	}
}

// zeros is a file of n bytes.
type zeros struct {
	files.File
	n int
}

func (z *zeros) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	k := min(len(p), z.n)
	clear(p[:k])
	z.n -= k
	return k, nil
}

// TestAddThatFailsEarly: the reason reaches a client that is still sending.
func TestAddThatFailsEarly(t *testing.T) {
	s := serve(t, Config{})
	full := pinset.Errorf(pinset.KindRefused, "the lent disk is full").WithHint("lend more")
	for name, before := range map[string][]pinset.Added{"at once": nil, "under way": {{Path: "a", CID: testCID("a")}}} {
		s.addSeq = func(files.Directory) iter.Seq2[pinset.Added, error] { return sequence(before, full) }
		for range 10 {
			c := client.New(s.tcp, "adder")
			big := &zeros{File: files.NewBytesFile(nil), n: 64 << 20}
			dir := files.NewMapDirectory(map[string]files.Node{"big": big})
			n, err := last(c.Add(context.Background(), dir, pinset.AddOptions{}, pinset.Pin{}))
			if n != len(before) || pinset.KindOf(err) != pinset.KindRefused || pinset.HintOf(err) != "lend more" {
				t.Errorf("%s: %d lines, %v", name, n, err)
			}
			c.Close()
		}
	}
}

func TestAddWithoutStream(t *testing.T) {
	s := serve(t, Config{})
	s.addSeq = func(files.Directory) iter.Seq2[pinset.Added, error] {
		return sequence([]pinset.Added{{Path: "f", Bytes: 5}, {Path: "f", CID: testCID("f"), Size: 9}}, nil)
	}
	for query, want := range map[string]string{
		"?stream-channels=false": `[{"name":"f","cid":"` + testCID("f").String() + `","size":9}]` + "\n",
		"?progress=true":         `{"name":"f","cid":null,"bytes":5}` + "\n" + `{"name":"f","cid":"` + testCID("f").String() + `","size":9}` + "\n",
	} {
		code, body, _ := bare(t, "POST", s.tcp+"/add"+query, "--b--", "Content-Type: multipart/form-data; boundary=b", "Authorization: Bearer adder")
		if code != 200 || body != want {
			t.Errorf("%s: %d %s\nwant %s", query, code, body, want)
		}
	}
}

// bare sends a request and returns the answer's body as it came.
func bare(t *testing.T, method, address, body string, header ...string) (int, string, error) {
	t.Helper()
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "*/*")
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		if value == "" {
			r.Header.Del(name)
		} else {
			r.Header.Set(name, value)
		}
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(raw), err
}

// broken is a file that fails after its first bytes.
type broken struct {
	io.Reader
	files.File
}

func (b broken) Read(p []byte) (int, error) { return b.Reader.Read(p) }

type brokenData struct{ *fake }

func (brokenData) Open(context.Context, string) (files.Node, error) {
	return broken{io.MultiReader(strings.NewReader("some"), errReader{}), files.NewBytesFile([]byte("something"))}, nil
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) {
	return 0, pinset.Errorf(pinset.KindUnavailable, "block x: nobody has it").WithHint("wait")
}

type brokenDaemon struct{ *fake }

func (b brokenDaemon) Cluster(ctx context.Context) (*Cluster, error) {
	cl, err := b.fake.Cluster(ctx)
	cl.Data = brokenData(b)
	return cl, err
}

// TestDataThatBreaksOff: our client learns why; every other one learns that not
// all came.
func TestDataThatBreaksOff(t *testing.T) {
	s, err := New(Config{Listen: []string{"127.0.0.1:0"}}, Deps{Daemon: brokenDaemon{newFake()}, Authorise: grants})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() { cancel(); <-done }()
	c := client.New(s.Addrs()[0], "reader")
	body, _, err := c.Read(ctx, testCID("f").String())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(body)
	if string(raw) != "some" || pinset.KindOf(err) != pinset.KindUnavailable || pinset.HintOf(err) != "wait" || !strings.Contains(fmt.Sprint(err), "nobody has it") {
		t.Errorf("%q, %v", raw, err)
	}
	_ = body.Close()
	for _, format := range []string{"", "?format=tar"} {
		code, got, err := bare(t, "GET", s.Addrs()[0]+"/data/"+testCID("f").String()+format, "", "Authorization: Bearer reader")
		if err == nil {
			t.Errorf("%q: %d %q, %v: it looks complete", format, code, got, err)
		}
	}
}

func TestHealthAnswers(t *testing.T) {
	s := serve(t, Config{})
	secret := pinset.HealthEntry{Code: "ipfs-away", Severity: pinset.SeverityError, Title: "alice's node", Detail: "secret"}
	for _, row := range []struct {
		name    string
		entries []pinset.HealthEntry
		method  string
		query   string
		header  []string
		code    int
		says    string
	}{
		{"well", nil, "GET", "", nil, 200, `{"ok":true,"entries":[]}`},
		{"well, ready", nil, "GET", "?ready=true", nil, 200, `{"ok":true`},
		{"ill, to a stranger", []pinset.HealthEntry{secret}, "GET", "", nil, 200, `{"ok":false,"entries":[{"code":"ipfs-away","severity":"error","title":""}]}`},
		{"ill, to a friend", []pinset.HealthEntry{secret}, "GET", "", []string{"Authorization: Bearer reader"}, 200, "secret"},
		{"ill, not ready", []pinset.HealthEntry{secret}, "GET", "?ready=true", nil, 503, "ipfs-away"},
		{"to ipfs-cluster's client", nil, "GET", "", []string{"Accept: "}, 204, ""},
		{"watched", nil, "HEAD", "", nil, 200, ""},
	} {
		s.entries = row.entries
		code, body, err := bare(t, row.method, s.tcp+"/health"+row.query, "", row.header...)
		if code != row.code || err != nil || !strings.Contains(body, row.says) {
			t.Errorf("%s: %d %s, %v", row.name, code, body, err)
		}
		if row.header == nil && strings.Contains(body, "secret") {
			t.Errorf("%s: told %s", row.name, body)
		}
	}
}

func TestLargeHeaders(t *testing.T) {
	s := serve(t, Config{})
	code, _, _ := bare(t, "GET", s.tcp+"/version", "", "X: "+strings.Repeat("x", 2*maxHeader))
	if code != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%d, want 431", code)
	}
}

// many yields n pins from one, as a state would.
func many(n int) iter.Seq2[pinset.Pin, error] {
	p := pinset.Pin{CID: testCID("x"), Name: "item-000001", Replication: pinset.Replication{Min: 2, Max: 3}, Created: time.Unix(1.7e9, 0).UTC()}
	return func(yield func(pinset.Pin, error) bool) {
		for range n {
			if !yield(p, nil) {
				return
			}
		}
	}
}

// TestListsAreFlat: a list of many pins takes no more memory than one of few.
func TestListsAreFlat(t *testing.T) {
	s := serve(t, Config{})
	s.pinsSeq = many(300_000)
	c := client.New(s.socket, "")
	defer c.Close()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	n, peak := 0, uint64(0)
	for _, err := range c.Pins(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n%100_000 == 0 {
			runtime.ReadMemStats(&after)
			peak = max(peak, after.HeapInuse)
		}
	}
	if n != 300_000 {
		t.Errorf("%d pins", n)
	}
	if peak > before.HeapInuse+32<<20 {
		t.Errorf("heap grew from %d to %d bytes", before.HeapInuse, peak)
	}
}

// BenchmarkList is a list of 100,000 pins over one connection: by our client, and
// by one that only counts lines.
func BenchmarkList(b *testing.B) {
	const n = 100_000
	s := serve(b, Config{})
	s.pinsSeq = many(n)
	for _, addr := range []string{s.socket, s.tcp} {
		c := client.New(addr, "admin")
		defer c.Close()
		b.Run(addr[:1]+"/client", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				got, err := last(c.Pins(context.Background()))
				if err != nil || got != n {
					b.Fatal(got, err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "pins/s")
		})
	}
	b.Run("lines", func(b *testing.B) {
		for b.Loop() {
			r, _ := http.NewRequest("GET", s.tcp+"/allocations", nil)
			r.Header.Set("Authorization", "Bearer admin")
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				b.Fatal(err)
			}
			lines, buf := 0, make([]byte, 128<<10)
			for err == nil {
				var k int
				k, err = resp.Body.Read(buf)
				lines += bytes.Count(buf[:k], []byte("\n"))
			}
			_ = resp.Body.Close()
			if lines != n || !errors.Is(err, io.EOF) {
				b.Fatal(lines, err)
			}
		}
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "pins/s")
	})
}

// BenchmarkPin is POST /pins/{cid} on 1, 16 and 256 connections, one request in
// flight on each. The client writes and reads bytes as they are, so that most of
// the time is the server's.
func BenchmarkPin(b *testing.B) {
	for _, conns := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(conns), func(b *testing.B) {
			s := serve(b, Config{})
			questions := make([][]byte, 1024)
			for i := range questions {
				questions[i] = fmt.Appendf(nil, "POST /pins/%s?name=item-%d HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer admin\r\nContent-Length: 0\r\n\r\n", testCID(fmt.Sprint(i)), i)
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			var running sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for range conns {
				running.Go(func() {
					if err := pinAway(strings.TrimPrefix(s.tcp, "http://"), questions, &left); err != nil {
						b.Error(err)
					}
				})
			}
			running.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pins/s")
		})
	}
}

// pinAway asks on one connection until nothing is left to ask.
func pinAway(addr string, questions [][]byte, left *atomic.Int64) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	buf := make([]byte, 8192)
	for {
		i := left.Add(-1)
		if i < 0 {
			return nil
		}
		if _, err := conn.Write(questions[int(i)%len(questions)]); err != nil {
			return err
		}
		n, err := conn.Read(buf)
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(buf[:n], []byte("HTTP/1.1 200")) || !bytes.HasSuffix(buf[:n], []byte("}\n")) {
			return fmt.Errorf("answer %q", buf[:n])
		}
	}
}
