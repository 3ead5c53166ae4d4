package httpproxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pinfold/pinfold/pinset"
)

const (
	flushSize  = 64 << 10             // a stream is written when this much is waiting,
	flushAfter = 5 * time.Millisecond // or when it has waited this long
)

const exposed = "X-Stream-Output, X-Chunked-Output, X-Content-Length"

// trailer carries the error of an answer that had begun.
const trailer = "X-Stream-Error"

// textError is an error that Kubo answers in plain text.
type textError struct {
	status int
	text   string
}

func (e *textError) Error() string { return e.text }

// statusError is an error whose HTTP status its kind does not tell.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// kuboError is an error in Kubo's own words: 500.
func kuboError(format string, args ...any) error {
	return &statusError{http.StatusInternalServerError, pinset.Invalid(format, args...)}
}

// statusOf is 500, as Kubo's for everything, but where pinfold says more: who may
// not, who does not fit, who is away.
func statusOf(err error) int {
	var special *statusError
	if errors.As(err, &special) {
		return special.status
	}
	var said *saidError
	if errors.As(err, &said) {
		return said.status
	}
	switch k := pinset.KindOf(err); k {
	case pinset.KindForbidden, pinset.KindUnauthorised, pinset.KindRefused, pinset.KindUnavailable:
		return k.Info().HTTP
	}
	return http.StatusInternalServerError
}

// message is what Kubo's clients show.
func message(err error) string {
	if hint := pinset.HintOf(err); hint != "" {
		return err.Error() + " (" + hint + ")"
	}
	return err.Error()
}

// fail answers with an error, or ends an answer that has begun with one.
func (c *call) fail(err error) {
	if c.status != 0 {
		c.breakOff(message(err))
		return
	}
	if !c.body.whole() {
		c.w.Header().Set("Connection", "close") // after a body that was not read nothing can follow
	}
	var plain *textError
	if errors.As(err, &plain) {
		c.status = plain.status
		http.Error(c.w, plain.text, plain.status)
		return
	}
	status := statusOf(err)
	if status == http.StatusUnauthorized {
		c.w.Header()["Www-Authenticate"] = []string{`Bearer realm="pinfold"`, `Basic realm="pinfold", charset="UTF-8"`}
	}
	c.preamble(status, "application/json")
	_ = c.write(encode(struct {
		Message string
		Code    int
		Type    string
	}{message(err), 0, "error"}))
}

// breakOff ends an answer that has begun. Who reads trailers is told in one; for
// ipfs-cluster, which does not, the connection breaks: it would take the end for
// success.
func (c *call) breakOff(why string) {
	if strings.HasPrefix(c.r.UserAgent(), "Go-http-client") {
		c.s.log.Debug("answer broken off", "path", c.r.URL.Path, "err", why)
		panic(http.ErrAbortHandler)
	}
	c.w.Header().Set(trailer, strings.NewReplacer("\n", " ", "\r", " ").Replace(why))
}

// preamble writes the headers of an answer.
func (c *call) preamble(status int, kind string) {
	h := c.w.Header()
	h["Access-Control-Allow-Headers"], h["Access-Control-Expose-Headers"] = []string{exposed}, []string{exposed}
	h["Trailer"], h["Content-Type"] = []string{trailer}, []string{kind}
	if !c.body.whole() {
		h["Connection"] = []string{"close"}
	}
	c.status = status
	c.w.WriteHeader(status)
}

// write gives the client a while for each piece.
func (c *call) write(p []byte) error {
	_ = c.rc.SetWriteDeadline(time.Now().Add(stallTime)) // a connection that is gone tells itself
	_, err := c.w.Write(p)
	return err
}

// encode is Kubo's JSON: one line.
func encode(v any) []byte {
	var out bytes.Buffer
	if err := json.NewEncoder(&out).Encode(v); err != nil {
		return []byte("{}\n") // cannot be: our answers are strings and numbers
	}
	return out.Bytes()
}

// once answers with one object.
func (c *call) once(v any) error {
	c.preamble(http.StatusOK, "application/json")
	return c.write(encode(v))
}

// lines is an answer of many objects. They are gathered and written by size and by
// time, so that many are cheap and the first is quick. Nothing is answered before
// the first one.
type lines struct {
	c     *call
	mu    sync.Mutex
	buf   []byte
	armed bool
	timer *time.Timer
	err   error
}

func (c *call) lines() *lines {
	l := &lines{c: c}
	l.timer = time.AfterFunc(time.Hour, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.armed {
			l.flush()
		}
	})
	return l
}

// add appends one line. After an error the client is gone.
func (l *lines) add(line func([]byte) []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	l.buf = line(l.buf)
	if len(l.buf) >= flushSize {
		l.flush()
	} else if !l.armed {
		l.armed = true
		l.timer.Reset(flushAfter)
	}
	return l.err
}

func (l *lines) emit(v any) error {
	return l.add(func(b []byte) []byte { return append(b, encode(v)...) })
}

func (l *lines) flush() {
	l.armed = false
	if l.err != nil || len(l.buf) == 0 {
		return
	}
	l.begin()
	l.err = l.c.write(l.buf)
	l.buf = l.buf[:0]
	if l.err == nil {
		l.err = l.c.rc.Flush()
	}
}

func (l *lines) begin() {
	if l.c.status == 0 {
		l.c.w.Header()["X-Chunked-Output"] = []string{"1"}
		l.c.preamble(http.StatusOK, "application/json")
	}
}

// end writes what is left. An error before anything was written is an answer of
// its own.
func (l *lines) end(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer.Stop()
	l.flush()
	if err == nil {
		l.begin()
	}
	if l.err == nil {
		l.err = errEnded
	}
	return err
}

// errEnded keeps a late timer from writing after the handler.
var errEnded = errors.New("the answer has ended")
