package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pinfold/pinfold/guard"
	"github.com/pinfold/pinfold/pinset"
)

// pipes is a listener of connections in memory, for virtual time.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// slow runs a server over pipes in a bubble of virtual time.
func slow(t *testing.T, f *fake, test func(t *testing.T, p *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{}, Deps{Daemon: f})
		if err != nil {
			t.Fatal(err)
		}
		p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		server := s.serverFor(ctx, guard.Door{Listener: p, Rules: guard.Rules{Socket: true}})
		ended := make(chan struct{})
		go func() { _ = server.Serve(p); close(ended) }()
		test(t, p)
		cancel()
		_ = server.Close()
		<-ended
		synctest.Wait()
	})
}

// TestSlowClients: who sends or takes nothing is let go after a while; who is
// merely slow is waited for.
func TestSlowClients(t *testing.T) {
	for _, row := range []struct {
		name, sends string
		within      time.Duration
	}{
		{"half a header", "GET /id HTTP/1.1\r\nHost: x\r\nX: ", headerTime},
		{"nothing", "", headerTime},
		{"idle after an answer", "GET /version HTTP/1.1\r\nHost: x\r\n\r\n", idleTime},
		{"half a small body", "POST /cluster/join HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", bodyTime + idleTime},
		{"half a body that means nothing", "POST /cluster/invite HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", bodyTime + idleTime},
		{"half a form", "POST /add HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n--b\r\n", stallTime + idleTime},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFake()
			slow(t, f, func(t *testing.T, p *pipes) {
				c := p.dial()
				start := time.Now()
				go func() { _, _ = io.WriteString(c, row.sends) }()
				_, err := io.Copy(io.Discard, c) // to the end of the connection
				if took := time.Since(start); err != nil || took > row.within+time.Second {
					t.Errorf("let go after %v (%v), want %v", took, err, row.within)
				}
			})
			if f.joined != "" || len(f.files) != 0 {
				t.Error("something changed")
			}
		})
	}
}

func TestSlowAddIsWaitedFor(t *testing.T) {
	f := newFake()
	slow(t, f, func(t *testing.T, p *pipes) {
		c := p.dial()
		defer c.Close()
		text := "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"one\"\r\n\r\nabc\r\n--b--\r\n"
		go func() {
			fmt.Fprintf(c, "POST /add HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n", len(text))
			for _, b := range []byte(text) { // a minute for each byte
				time.Sleep(time.Minute)
				if _, err := c.Write([]byte{b}); err != nil {
					t.Errorf("not waited for: %v", err)
					return
				}
			}
		}()
		answer, err := io.ReadAll(c)
		if err != nil || !strings.Contains(string(answer), `"one"`) {
			t.Errorf("%q, %v", answer, err)
		}
	})
	if f.files["one"] != "abc" {
		t.Errorf("added %q", f.files)
	}
}

// TestReaderOfNothing: answers that nobody takes do not hold a goroutine.
func TestReaderOfNothing(t *testing.T) {
	for _, ask := range []string{"GET /version", "GET /allocations", "GET /nothing", "POST /ipfs/gc", "GET /data/" + testCID("x").String()} {
		t.Run(ask, func(t *testing.T) {
			f := newFake()
			f.pins["x"] = pinset.Pin{CID: testCID("x")}
			f.files["/ipfs/"+testCID("x").String()] = "data"
			slow(t, f, func(t *testing.T, p *pipes) {
				c := p.dial()
				defer c.Close()
				if _, err := io.WriteString(c, ask+" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(writeTime + time.Second) // virtual
				if _, err := c.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("still answering after %v: %v", writeTime, err)
				}
			})
		})
	}
}

// TestReaderThatStops: a list ends when its reader takes nothing any more.
func TestReaderThatStops(t *testing.T) {
	f := newFake()
	slow(t, f, func(t *testing.T, p *pipes) {
		release, stopped := make(chan struct{}), make(chan struct{})
		close(release)
		f.pinsSeq = endless(release, stopped)
		c := p.dial()
		defer c.Close()
		if _, err := io.WriteString(c, "GET /allocations HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		<-stopped
		if took := time.Since(start); took > writeTime+time.Second {
			t.Errorf("ended after %v", took)
		}
		if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			t.Error(err)
		}
	})
}
