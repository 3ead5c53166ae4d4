package httpproxy

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// body is a request's body, read by one goroutine, which may not be the handler's:
// each piece is waited for a while, and after finish nothing is read any more.
type body struct {
	c      *call
	mu     sync.Mutex
	over   atomic.Bool
	duplex bool // the answer may begin before it was read
	once   sync.Once
	eof    chan struct{} // closed when it was read to its end, or broke
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
	if b.over.Load() {
		return 0, io.ErrClosedPipe
	}
	if b.c.r.Body == nil {
		return 0, io.EOF
	}
	_ = b.c.rc.SetReadDeadline(time.Now().Add(stallTime)) // a connection that is gone tells itself
	// Over since a moment ago? Then that end's deadline was overwritten.
	if b.over.Load() {
		_ = b.c.rc.SetReadDeadline(time.Now().Add(drainTime))
	}
	n, err := b.c.r.Body.Read(p)
	if err == io.EOF {
		_ = b.c.rc.SetReadDeadline(time.Time{}) // what follows the body takes the time it takes
	}
	if err != nil {
		b.ended()
	}
	return n, err
}

// answerMeanwhile lets the answer begin before the body was read.
func (b *body) answerMeanwhile() {
	b.duplex = b.c.rc.EnableFullDuplex() == nil // HTTP/1 always can
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

const (
	drainTime = 200 * time.Millisecond
	drainSize = 256 << 10
)

// finish ends a read that waits, and all later ones. What the client has under way
// is taken, up to a point: a connection that is closed with bytes unread resets, and
// the client never sees the answer. Without full duplex net/http sees to that.
func (b *body) finish() {
	b.over.Store(true)
	if b.whole() || !b.duplex {
		return
	}
	if b.c.status != 0 {
		_ = b.c.rc.Flush() // the client may wait for it
	}
	_ = b.c.rc.SetReadDeadline(time.Now().Add(drainTime)) // also for a read that is under way
	b.mu.Lock()
	defer b.mu.Unlock()
	_, _ = io.CopyN(io.Discard, b.c.r.Body, drainSize) // whatever happens, that was all
}
