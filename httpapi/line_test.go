package httpapi

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/pinset"
)

// TestLineToAMember: bytes go both ways, a member that is away is told before, and
// the end of either side ends the other.
func TestLineToAMember(t *testing.T) {
	s := serve(t, Config{})
	far := make(chan net.Conn, 1)
	s.dial = func(_ context.Context, id peer.ID) (net.Conn, error) {
		if id != testPeer("bob") {
			return nil, errors.New("not connected")
		}
		near, end := net.Pipe()
		far <- end
		return near, nil
	}
	for _, door := range []*client.Client{client.New(s.socket, ""), client.New(s.tcp, "admin")} {
		line, err := door.Line(t.Context(), testPeer("bob"))
		if err != nil {
			t.Fatal(err)
		}
		bob := <-far
		go func() { _, _ = io.WriteString(line, "POST / HTTP/1.1\r\n") }()
		got := make([]byte, 17)
		if _, err := io.ReadFull(bob, got); err != nil || string(got) != "POST / HTTP/1.1\r\n" {
			t.Errorf("there: %q, %v", got, err)
		}
		go func() { _, _ = io.WriteString(bob, "HTTP/1.1 200 OK\r\n") }()
		if _, err := io.ReadFull(line, got); err != nil || string(got) != "HTTP/1.1 200 OK\r\n" {
			t.Errorf("here: %q, %v", got, err)
		}
		_ = bob.Close()
		if _, err := line.Read(got); err == nil {
			t.Error("the far end closed, and the line goes on")
		}
		_ = line.Close()
		if line, err = door.Line(t.Context(), testPeer("bob")); err != nil {
			t.Fatal(err)
		}
		bob = <-far
		_ = line.Close()
		if _, err := bob.Read(got); err == nil {
			t.Error("this end closed, and the line goes on")
		}
		if _, err := door.Line(t.Context(), testPeer("carol")); pinset.KindOf(err) != pinset.KindUnavailable {
			t.Errorf("a member that is away: %v", err)
		}
	}
	if _, err := client.New(s.tcp, "reader").Line(t.Context(), testPeer("bob")); pinset.KindOf(err) != pinset.KindForbidden {
		t.Errorf("with scope read: %v", err)
	}
	if code, h, _ := ask(t, http.DefaultClient, "POST", s.tcp+"/peers/"+testPeer("bob").String()+"/line", "Authorization: Bearer admin"); code != 426 || h.Get("Upgrade") != "pinfold-line" {
		t.Errorf("without upgrade: %d %v", code, h)
	}
}
