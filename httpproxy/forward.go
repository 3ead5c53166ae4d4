package httpproxy

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"github.com/pinfold/pinfold/pinset"
)

// maxLine bounds a line of Kubo's that is looked at: a directory listing is one.
const maxLine = 64 << 20

// ask sends a call of our own to Kubo and yields the lines of its answer. An error
// that Kubo named is a saidError.
func (c *call) ask(f Forward) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		f.Header = http.Header{pathHeader: c.passed()}
		r, err := c.s.deps.Kubo.Forward(c.ctx, f)
		if err != nil {
			yield(nil, err)
			return
		}
		defer r.Body.Close()
		if r.StatusCode != http.StatusOK {
			yield(nil, readSaid(r))
			return
		}
		for line, err := range linesOf(r) {
			if !yield(line, err) || err != nil {
				return
			}
		}
	}
}

// askOne reads an answer of one object.
func (c *call) askOne(f Forward, into any) error {
	for line, err := range c.ask(f) {
		if err != nil {
			return err
		}
		return json.Unmarshal(line, into)
	}
	return pinset.Errorf(pinset.KindUnavailable, "ipfs %s: empty answer", f.Name)
}

// linesOf yields an answer's lines, with their ends, and the error that Kubo or the
// connection ended it with. A line is valid until the next one.
func linesOf(r *http.Response) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		in := bufio.NewReaderSize(r.Body, 64<<10)
		for {
			line, err := readLine(in)
			if len(line) > 0 && !yield(line, nil) {
				return
			}
			if err == io.EOF {
				if why := r.Trailer.Get(trailer); why != "" {
					yield(nil, &saidError{http.StatusInternalServerError, why})
				}
				return
			}
			if err != nil {
				yield(nil, pinset.Wrap(pinset.KindUnavailable, err, "read the ipfs node's answer"))
				return
			}
		}
	}
}

func readLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	whole := append([]byte(nil), line...)
	for errors.Is(err, bufio.ErrBufferFull) && len(whole) < maxLine {
		line, err = in.ReadSlice('\n')
		whole = append(whole, line...)
	}
	return whole, err
}

// saidError is what Kubo answered when it could not do what it was asked.
type saidError struct {
	status int
	text   string
}

func (e *saidError) Error() string { return e.text }

// readSaid reads an answer that is an error.
func readSaid(r *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	var m struct{ Message string }
	if json.Unmarshal(raw, &m) == nil && m.Message != "" {
		return &saidError{r.StatusCode, m.Message}
	}
	return &saidError{r.StatusCode, strings.TrimSpace(string(raw))}
}

func (c *call) passed() []string {
	if c.s.cfg.Cluster == "" {
		return nil
	}
	return append(append([]string(nil), c.r.Header[pathHeader]...), c.s.cfg.Cluster)
}

// outbound is the caller's call as it goes on to Kubo: under the table's name, with
// the arguments that were read.
func (c *call) outbound(query url.Values) Forward {
	f := Forward{Name: c.cmd.name, Query: query.Encode(), Header: http.Header{pathHeader: c.passed()}}
	if kind := c.r.Header.Get("Content-Type"); kind != "" {
		f.Header.Set("Content-Type", kind)
	}
	if c.r.Body != nil && c.r.Body != http.NoBody {
		f.Body = c.body
	}
	return f
}

// query is the caller's, with an argument from the path in it.
func (c *call) query() url.Values {
	q, _ := url.ParseQuery(c.r.URL.RawQuery) // Kubo leaves out what does not parse, too
	if len(c.args) > 0 {
		q["arg"] = c.args
	}
	q.Del("pinfold-wait")
	return q
}

// forward sends the call on as it is, and the answer back, both as they come.
func (c *call) forward() error {
	r, err := c.send(c.outbound(c.query()))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	c.copyHead(r)
	return c.copyBody(r)
}

// send sends a call to Kubo; from here on the answer may begin before the body was
// read.
func (c *call) send(f Forward) (*http.Response, error) {
	c.body.answerMeanwhile()
	return c.s.deps.Kubo.Forward(c.ctx, f)
}

// copyHead begins the answer with Kubo's status and the headers that are about
// data; the others are ours.
func (c *call) copyHead(r *http.Response) {
	h := c.w.Header()
	for _, name := range []string{"Content-Type", "X-Stream-Output", "X-Chunked-Output", "X-Content-Length", "X-Content-Type-Options",
		"Content-Disposition", "Allow", "Access-Control-Allow-Headers", "Access-Control-Expose-Headers", "Suborigin", "X-Ipfs-Path"} {
		if v := r.Header[name]; len(v) > 0 {
			h[name] = v
		}
	}
	if r.Header.Get("Trailer") != "" || len(r.Trailer) > 0 {
		h["Trailer"] = []string{trailer}
	}
	if r.ContentLength >= 0 && len(r.TransferEncoding) == 0 {
		if v := r.Header["Content-Length"]; len(v) > 0 {
			h["Content-Length"] = v
		}
	}
	if !c.body.whole() {
		h["Connection"] = []string{"close"}
	}
	c.status = r.StatusCode
	c.w.WriteHeader(r.StatusCode)
}

// copyBody passes the answer on, piece by piece.
func (c *call) copyBody(r *http.Response) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Body.Read(buf)
		if n > 0 {
			if err := c.write(buf[:n]); err != nil {
				return nil // the client has gone
			}
			if err := c.rc.Flush(); err != nil {
				return nil
			}
		}
		switch {
		case err == io.EOF:
			if why := r.Trailer.Get(trailer); why != "" {
				c.breakOff(why)
			}
			return nil
		case err != nil:
			return pinset.Wrap(pinset.KindUnavailable, err, "read the ipfs node's answer")
		}
	}
}
