package httpproxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pinfold/pinfold/ipfsclient/kubotest"
)

// overBoth runs a test over Kubo and over the embedded node.
func overBoth(t *testing.T, test func(t *testing.T, p *peer)) {
	t.Run("embedded", func(t *testing.T) { test(t, startPeer(t, nil)) })
	t.Run("kubo", func(t *testing.T) { test(t, startPeer(t, kubotest.Start(t))) })
}

const partHead = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f%d\"\r\nContent-Type: application/octet-stream\r\n\r\n"

// upload is a request whose body the test writes piece by piece.
func upload(t *testing.T, ctx context.Context, p *peer, path string) (*io.PipeWriter, func() (*http.Response, error)) {
	t.Helper()
	in, out := io.Pipe()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.api+"/api/v0/"+path, in)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	type result struct {
		r   *http.Response
		err error
	}
	done := make(chan result, 1)
	go func() {
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
		done <- result{resp, err}
	}()
	return out, func() (*http.Response, error) { d := <-done; return d.r, d.err }
}

func TestProgressComesWhileTheBodyIsRead(t *testing.T) {
	overBoth(t, func(t *testing.T, p *peer) {
		out, answer := upload(t, t.Context(), p, "add?progress=true")
		fmt.Fprintf(out, partHead, 1)
		piece := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
		go func() { _, _ = io.WriteString(out, piece+piece) }()
		r, err := answer()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		lines := bufio.NewScanner(r.Body)
		if !lines.Scan() || !strings.Contains(lines.Text(), `"Bytes":`) {
			t.Fatalf("first line %q, %v", lines.Text(), lines.Err())
		}
		_, _ = io.WriteString(out, "\r\n--b--\r\n")
		out.Close()
		last := ""
		for lines.Scan() {
			last = lines.Text()
		}
		if !strings.Contains(last, `"Hash":"Qm`) || lines.Err() != nil {
			t.Errorf("last line %q, %v", last, lines.Err())
		}
	})
}

// TestBlockPutAnswersAtTheEnd: a client that stops sending when an answer begins,
// as Go's reverse proxy does, would lose blocks.
func TestBlockPutAnswersAtTheEnd(t *testing.T) {
	overBoth(t, func(t *testing.T, p *peer) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.api, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		chunk := func(s string) { fmt.Fprintf(conn, "%x\r\n%s\r\n", len(s), s) }
		fmt.Fprintf(conn, "POST /api/v0/block/put HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n")
		for i := range 50 {
			chunk(fmt.Sprintf(partHead, i) + fmt.Sprintf("block %d\r\n", i))
		}
		_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if n, err := conn.Read(make([]byte, 1)); n > 0 || !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
			t.Fatalf("answered before the body's end: %d bytes, %v", n, err)
		}
		chunk("--b--\r\n")
		chunk("")
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if n := strings.Count(string(body), `"Key"`); err != nil || n != 50 {
			t.Errorf("%d of 50 keys, %v", n, err)
		}
	})
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// TestABrokenUploadPinsNothing: neither does it leave anything running.
func TestABrokenUploadPinsNothing(t *testing.T) {
	overBoth(t, func(t *testing.T, p *peer) {
		before := runtime.NumGoroutine()
		for range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			out, answer := upload(t, ctx, p, "add?progress=true")
			fmt.Fprintf(out, partHead, 1)
			_, _ = io.WriteString(out, strings.Repeat("x", 300<<10))
			cancel()
			out.CloseWithError(errors.New("gone"))
			if r, err := answer(); err == nil {
				r.Body.Close()
			}
		}
		if r := ask(t, p.api, request{path: "pin/ls?type=recursive"}); r.body != "{}\n" {
			t.Errorf("pinned: %s", r.body)
		}
		kubotest.Eventually(t, patience, "nothing runs any more", func() error {
			if n := runtime.NumGoroutine(); n > before+10 {
				return fmt.Errorf("%d goroutines, %d before", n, before)
			}
			return nil
		})
	})
}

// TestATruncatedFormIsAnError: one that was cut off between two files looks
// complete to package multipart.
func TestATruncatedFormIsAnError(t *testing.T) {
	overBoth(t, func(t *testing.T, p *peer) {
		body := fmt.Sprintf(partHead, 1) + "some text"
		r := ask(t, p.api, request{path: "add", body: strings.NewReader(body), header: map[string]string{"Content-Type": "multipart/form-data; boundary=b"}})
		if r.status == 200 && r.trailer == "" {
			t.Errorf("%d %q", r.status, r.body)
		}
		if r := ask(t, p.api, request{path: "pin/ls?type=recursive"}); r.body != "{}\n" {
			t.Errorf("pinned: %s", r.body)
		}
	})
}

// TestSlowClientsHinderNobody: 200 that send next to nothing, and one that asks.
func TestSlowClientsHinderNobody(t *testing.T) {
	p := startPeer(t, nil)
	const slow = 200
	var wg sync.WaitGroup
	outs := make([]*io.PipeWriter, slow)
	failed := make(chan error, slow)
	for i := range slow {
		out, answer := upload(t, t.Context(), p, "add")
		outs[i] = out
		wg.Go(func() {
			r, err := answer()
			if err == nil {
				var body []byte
				body, err = io.ReadAll(r.Body)
				r.Body.Close()
				if err == nil && !strings.Contains(string(body), `"Hash"`) {
					err = fmt.Errorf("%d %s %s", r.StatusCode, body, r.Trailer)
				}
			}
			failed <- err
		})
		fmt.Fprintf(out, partHead, i)
		_, _ = io.WriteString(out, strings.Repeat("s", 1<<10))
	}
	var worst time.Duration
	for range 50 {
		if r := ask(t, p.api, request{path: "pin/ls?type=recursive"}); r.status != 200 {
			t.Fatal(r.body)
		} else {
			worst = max(worst, r.took)
		}
	}
	if worst > time.Second {
		t.Errorf("beside them a call takes %s", worst)
	}
	for i, out := range outs {
		fmt.Fprintf(out, "%d\r\n--b--\r\n", i)
		out.Close()
	}
	wg.Wait()
	for range slow {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
}
