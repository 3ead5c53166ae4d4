package httpproxy

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// body is a request's body, read by one goroutine, which may not be the handler's:
// each piece is waited for a while, and after finish nothing is read any more.
type body struct {
	c    *call
	mu   sync.Mutex
	over bool
	once sync.Once
	eof  chan struct{} // closed when it was read to its end, or broke
}

func newBody(c *call) *body {
	b := &body{c: c, eof: make(chan struct{})}
	if c.r.Body == nil || c.r.Body == http.NoBody {
		b.ended()
	} else {
		_ = c.rc.SetReadDeadline(time.Now().Add(stallTime)) // also for a body that nobody reads
	}
	return b
}

func (b *body) ended() { b.once.Do(func() { close(b.eof) }) }

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return 0, io.ErrClosedPipe
	}
	if b.c.r.Body == nil {
		return 0, io.EOF
	}
	_ = b.c.rc.SetReadDeadline(time.Now().Add(stallTime)) // a connection that is gone tells itself
	n, err := b.c.r.Body.Read(p)
	if err == io.EOF {
		_ = b.c.rc.SetReadDeadline(time.Time{}) // what follows the body takes the time it takes
	}
	if err != nil {
		b.ended()
	}
	return n, err
}

// whole says whether nothing of the body is left to read.
func (b *body) whole() bool {
	select {
	case <-b.eof:
		return true
	default:
		return false
	}
}

// finish ends a read that waits, and all later ones.
func (b *body) finish() {
	if !b.whole() {
		_ = b.c.rc.SetReadDeadline(time.Now())
		defer func() { _ = b.c.rc.SetReadDeadline(time.Now().Add(headerTime)) }() // net/http skips what is left, and sets its own for the next request
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
}
