package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

const (
	flushSize  = 64 << 10              // a stream is written when this much is waiting,
	flushAfter = 20 * time.Millisecond // or when it has waited this long
	writeTime  = 2 * time.Minute       // for a client to take what is written
)

// statusError is an error whose HTTP status its kind does not tell.
type statusError struct {
	status int
	err    *pinset.Error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// fail answers with a problem. After the answer has begun it is too late for that:
// whoever began it has told the error in its own way.
func (c *call) fail(err error) {
	if c.code != 0 {
		return
	}
	status := 0
	var special *statusError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &special):
		status = special.status
	case errors.As(err, &tooLarge):
		status = http.StatusRequestEntityTooLarge
		err = pinset.Invalid("the body is larger than %d bytes", tooLarge.Limit)
	}
	p := dialect.NewProblem(err, status)
	if p.Status == http.StatusUnauthorized {
		c.w.Header()["Www-Authenticate"] = []string{`Bearer realm="pinfold"`, `Basic realm="pinfold", charset="UTF-8"`}
	}
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte("{}") // cannot be: a problem is strings and numbers
	}
	c.w.Header().Set("Content-Type", "application/problem+json")
	_ = c.raw(p.Status, append(body, '\n'))
}

// raw writes a whole body. Its error is nobody's: the client has gone.
func (c *call) raw(status int, body []byte) error {
	c.code = status
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(writeTime)) // net/http takes it away again
	c.w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body)
	return nil
}

func (c *call) json(v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return pinset.Wrap(pinset.KindInternal, err, "write the answer")
	}
	c.w.Header()["Content-Type"] = c.s.headers.json
	return c.raw(http.StatusOK, append(body, '\n'))
}

func (c *call) empty(status int) error {
	c.code = status
	c.w.WriteHeader(status)
	return nil
}

// body reads a small JSON body strictly.
func (c *call) body(into any) error {
	if kind, _, _ := strings.Cut(c.r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "application/json" {
		return &statusError{http.StatusUnsupportedMediaType, pinset.Invalid("Content-Type %q: want application/json", kind)}
	}
	return c.readSmall(func(r io.Reader) error {
		d := json.NewDecoder(r)
		d.DisallowUnknownFields()
		if err := d.Decode(into); err != nil {
			return pinset.Wrap(pinset.KindInvalid, err, "body")
		}
		if _, err := d.Token(); err != io.EOF {
			return pinset.Invalid("body: more than one JSON value")
		}
		return nil
	})
}

// skipBody takes a body that means nothing.
func (c *call) skipBody() error {
	if c.r.ContentLength == 0 {
		return nil
	}
	return c.readSmall(func(r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return pinset.Wrap(pinset.KindInvalid, err, "body")
	})
}

// stream is an answer of JSON lines. Lines are gathered and written by size and
// by time, so that many are cheap and the first is quick.
type stream struct {
	c     *call
	flush *http.ResponseController

	mu      sync.Mutex
	buf     []byte
	timer   *time.Timer
	waiting bool // the timer runs
	closed  bool
	err     error // of writing

	hurry hurry
}

// hurry ends a write that waits for the client when the request is over.
type hurry struct {
	mu   sync.Mutex
	over bool        // the answer has ended: its connection is not ours any more
	stop func() bool // of the watch
}

func (h *hurry) watch(ctx context.Context, rc *http.ResponseController) {
	h.stop = context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if !h.over {
			_ = rc.SetWriteDeadline(time.Now())
		}
	})
}

// extend gives the next write its time, unless the request is over.
func (h *hurry) extend(ctx context.Context, rc *http.ResponseController) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() == nil {
		_ = rc.SetWriteDeadline(time.Now().Add(writeTime))
	}
}

func (h *hurry) end() {
	if h.stop != nil {
		h.stop()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
}

// begin writes the header. Whoever calls it calls end.
func (c *call) begin(contentType string) *stream {
	h := c.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Trailer", dialect.TrailerError+", "+dialect.TrailerProblem)
	c.code = http.StatusOK
	c.w.WriteHeader(http.StatusOK)
	st := &stream{c: c, flush: http.NewResponseController(c.w), buf: make([]byte, 0, flushSize+4096)}
	st.hurry.watch(c.ctx(), st.flush)
	return st
}

// add appends what write appends, and returns the error of earlier writing.
func (st *stream) add(write func([]byte) []byte) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.buf = write(st.buf)
	if len(st.buf) >= flushSize {
		st.write(false)
	} else if !st.waiting {
		st.waiting = true
		if st.timer == nil {
			st.timer = time.AfterFunc(flushAfter, st.flushLate)
		} else {
			st.timer.Reset(flushAfter)
		}
	}
	return st.err
}

// flushLate does not wait for a write under way, which a slow client may hold up:
// it comes again.
func (st *stream) flushLate() {
	if !st.mu.TryLock() {
		time.AfterFunc(flushAfter, st.flushLate)
		return
	}
	defer st.mu.Unlock()
	st.waiting = false
	if !st.closed {
		st.write(true)
	}
}

// write needs the lock.
func (st *stream) write(flush bool) {
	if st.err == nil {
		st.err = st.c.ctx().Err()
	}
	if st.err == nil && len(st.buf) > 0 {
		st.hurry.extend(st.c.ctx(), st.flush)
		if _, st.err = st.c.w.Write(st.buf); st.err == nil && flush {
			st.err = st.flush.Flush()
		}
	}
	st.buf = st.buf[:0]
}

// end writes the rest and tells how it went. After it nothing is written.
func (st *stream) end(err error) {
	st.hurry.end()
	st.mu.Lock()
	defer st.mu.Unlock()
	st.closed = true
	if st.timer != nil {
		st.timer.Stop() // one that already runs sees closed
	}
	st.write(false)
	h := st.c.w.Header()
	if err == nil {
		h.Set(dialect.TrailerError, "")
		return
	}
	problem, _ := json.Marshal(dialect.NewProblem(err, 0))
	h.Set(dialect.TrailerError, oneLine(err.Error()))
	h.Set(dialect.TrailerProblem, oneLine(string(problem)))
}

// oneLine makes a header's value of any text.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// lines answers with a JSON line for each element. An error before the first is an
// ordinary problem. An empty sequence is 204, as in ipfs-cluster.
func lines[T any](c *call, seq iter.Seq2[T, error], write func([]byte, T) []byte) error {
	var st *stream
	var failed error
	for v, err := range seq {
		if err != nil {
			failed = err
			break
		}
		if st == nil {
			st = c.begin("application/json")
		}
		if err := st.add(func(b []byte) []byte { return append(write(b, v), '\n') }); err != nil {
			failed = err
			break
		}
	}
	if st == nil && failed == nil {
		return c.empty(http.StatusNoContent)
	}
	if st != nil {
		st.end(failed)
	}
	return failed
}

// jsonLines are lines for small objects.
func jsonLines[T, O any](c *call, seq iter.Seq2[T, error], form func(T) O) error {
	return lines(c, seq, func(b []byte, v T) []byte {
		line, _ := json.Marshal(form(v)) // strings and numbers
		return append(b, line...)
	})
}
