package gossip

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// TestALineCarriesBytesBothWays: as a connection does, with deadlines, and with the
// other's proved id as its address.
func TestALineCarriesBytesBothWays(t *testing.T) {
	_, ps := trio(t)
	alice, bob := ps[0], ps[1]
	if _, err := alice.Dial(t.Context(), bob.ID()); err == nil {
		t.Fatal("a line to who offers none")
	}
	listen := bob.Lines()
	heard := make(chan error, 1)
	go func() {
		c, err := listen.Accept()
		if err != nil {
			heard <- err
			return
		}
		if c.RemoteAddr().String() != alice.ID().String() || c.LocalAddr().String() != bob.ID().String() {
			heard <- errors.New("from " + c.RemoteAddr().String())
			return
		}
		_, err = io.Copy(c, c) // an echo, until alice closes
		heard <- errors.Join(err, c.Close())
	}()
	c, err := alice.Dial(t.Context(), bob.ID())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	_ = c.SetReadDeadline(time.Now().Add(-time.Second))
	var late net.Error
	if _, err := c.Read(make([]byte, 1)); !errors.As(err, &late) || !late.Timeout() {
		t.Errorf("read past its deadline: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-heard; err != nil {
		t.Error(err)
	}
	if err := errors.Join(listen.Close(), listen.Close()); err != nil {
		t.Error(err)
	}
	if _, err := listen.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after the end: %v", err)
	}
	if c, err := alice.Dial(t.Context(), bob.ID()); err == nil { // what was offered a moment ago is only found gone
		_, _ = c.Write([]byte("hello"))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a line to who offers none any more")
		}
		_ = c.Close()
	}
}

// TestOneMemberTakesNotAllLines: and what it gives back can be had again.
func TestOneMemberTakesNotAllLines(t *testing.T) {
	_, ps := trio(t)
	alice, bob, carol := ps[0], ps[1], ps[2]
	listen := bob.Lines()
	defer listen.Close()
	accepted := make(chan net.Conn, linesOfOne+2)
	go func() {
		for {
			c, err := listen.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func(p *player) bool { // a refused line shows at its first byte
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		c, err := p.Dial(ctx, bob.ID())
		if err != nil {
			return false
		}
		if _, err := c.Write([]byte("x")); err != nil {
			return false
		}
		select {
		case far := <-accepted:
			t.Cleanup(func() { _ = far.Close() })
			return true
		case <-time.After(200 * time.Millisecond):
			return false
		}
	}
	var first net.Conn
	for i := range linesOfOne {
		c, err := alice.Dial(t.Context(), bob.ID())
		if err != nil {
			t.Fatalf("line %d: %v", i, err)
		}
		_, _ = c.Write([]byte("x"))
		far := <-accepted
		if first == nil {
			first = far
		}
		t.Cleanup(func() { _ = errors.Join(c.Close(), far.Close()) })
	}
	if dial(alice) {
		t.Error("alice has one line more than one may")
	}
	if !dial(carol) {
		t.Error("carol has none because of alice")
	}
	_ = first.Close()
	eventually(t, "alice has the line that was given back", func() bool { return dial(alice) })
}
