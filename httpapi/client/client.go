package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

// Client asks a daemon's API. It is safe for concurrent use. Every error is a
// *pinset.Error: the server's with its kind, message and hint, or KindUnavailable
// when no server answers.
type Client struct {
	base  string // scheme://host, no slash at the end
	token string
	where string // for messages
	http  *http.Client
}

// New returns a client for an address: the path of a unix socket, host:port,
// or a URL. token may be "". Nothing is connected yet; what is wrong with the
// address is the first call's error.
func New(address, token string) *Client {
	c := &Client{token: token, where: address}
	transport := &http.Transport{
		MaxIdleConnsPerHost: 256, IdleConnTimeout: time.Minute, DisableCompression: true,
		TLSHandshakeTimeout: 10 * time.Second, ExpectContinueTimeout: time.Second,
	}
	dial := &net.Dialer{Timeout: 10 * time.Second}
	switch {
	case strings.HasPrefix(address, "http://"), strings.HasPrefix(address, "https://"):
		c.base = strings.TrimSuffix(address, "/")
	case strings.ContainsRune(address, '/'):
		c.base = "http://pinfold"
		path := strings.TrimPrefix(address, "unix:")
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dial.DialContext(ctx, "unix", path)
		}
	default:
		c.base = "http://" + address
	}
	if transport.DialContext == nil {
		transport.DialContext = dial.DialContext
	}
	c.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c
}

// Close lets idle connections go.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// request is one question to the server.
type request struct {
	method, path string
	query        url.Values
	kind         string // Content-Type of body
	body         io.Reader
	trailers     bool   // errors of the body's data come in trailers
	upgrade      string // what the connection shall become; "": nothing
}

// send returns an answer that is no error. Its body must be closed.
func (c *Client) send(ctx context.Context, q request) (*http.Response, error) {
	address := c.base + q.path
	if len(q.query) > 0 {
		address += "?" + q.query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, q.method, address, q.body)
	if err != nil {
		return nil, pinset.Wrap(pinset.KindInvalid, err, "api address %q", c.where)
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "pinfold")
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	if q.kind != "" {
		r.Header.Set("Content-Type", q.kind)
	}
	if q.trailers {
		r.Header.Set("TE", "trailers")
	}
	if q.upgrade != "" {
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", q.upgrade)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		return nil, dialect.DecodeProblem(resp.StatusCode, body)
	}
	return resp, nil
}

// explain says of an error of the connection what to do about it.
func (c *Client) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return pinset.Wrap(pinset.KindOf(ctx.Err()), ctx.Err(), "ask the daemon")
	}
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
		err = urlErr.Err
	}
	var mine *pinset.Error
	if errors.As(err, &mine) {
		return mine // of the body that was being sent
	}
	out := &pinset.Error{Kind: pinset.KindUnavailable, Msg: fmt.Sprintf("no daemon answers at %s", c.where), Err: err,
		Hint: "start one with `pinfold up`"}
	if errors.Is(err, os.ErrPermission) {
		out.Kind, out.Hint = pinset.KindForbidden, "the daemon belongs to another user"
	}
	return out
}

// ask sends a question and reads a JSON answer into value, which may be nil.
func (c *Client) ask(ctx context.Context, q request, value any) error {
	resp, err := c.send(ctx, q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if value == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	} else {
		err = json.NewDecoder(resp.Body).Decode(value)
	}
	return pinset.Wrap(pinset.KindUnavailable, err, "read the daemon's answer")
}

func (c *Client) askJSON(ctx context.Context, path string, body, value any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return pinset.Wrap(pinset.KindInternal, err, "write the question")
	}
	return c.ask(ctx, request{method: http.MethodPost, path: path, kind: "application/json", body: bytes.NewReader(raw)}, value)
}

// askRaw sends a question and returns the answer's whole body.
func (c *Client) askRaw(ctx context.Context, q request) ([]byte, error) {
	resp, err := c.send(ctx, q)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return body, pinset.Wrap(pinset.KindUnavailable, err, "read the daemon's answer")
}

// eachLine yields what decode makes of each line of the answer. An error ends the
// sequence.
func eachLine[T any](ctx context.Context, c *Client, q request, decode func([]byte) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		resp, err := c.send(ctx, q)
		if err != nil {
			yield(none, err)
			return
		}
		defer resp.Body.Close()
		lines := bufio.NewReaderSize(resp.Body, 128<<10)
		for {
			line, err := readLine(lines)
			if len(line) > 0 {
				v, err := decode(line)
				if !yield(v, err) || err != nil {
					return
				}
			}
			if err == nil {
				continue
			}
			if err = c.ended(ctx, resp, err); err != nil {
				yield(none, err)
			}
			return
		}
	}
}

// readLine returns a line without its end; it is valid until the next call. The
// error comes with the last one.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		var rest []byte
		line = bytes.Clone(line)
		rest, err = r.ReadBytes('\n')
		line = append(line, rest...)
	}
	return bytes.TrimRight(line, "\n"), err
}

// ended says how a body ended: nil for well, else what the trailer or the
// connection says.
func (c *Client) ended(ctx context.Context, resp *http.Response, err error) error {
	if err != io.EOF {
		if ctx.Err() != nil {
			return pinset.Wrap(pinset.KindOf(ctx.Err()), ctx.Err(), "read the daemon's answer")
		}
		return pinset.Wrap(pinset.KindUnavailable, err, "read the daemon's answer")
	}
	text := resp.Trailer.Get(dialect.TrailerError)
	if text == "" {
		return nil
	}
	if problem := resp.Trailer.Get(dialect.TrailerProblem); problem != "" {
		return dialect.DecodeProblem(http.StatusInternalServerError, []byte(problem))
	}
	return pinset.Errorf(pinset.KindInternal, "%s", text)
}

// decodeJSON makes a decoder of a line from an object's form and its value.
func decodeJSON[O, T any](value func(O) (T, error)) func([]byte) (T, error) {
	return func(line []byte) (T, error) {
		var o O
		if err := json.Unmarshal(line, &o); err != nil {
			var none T
			return none, pinset.Wrap(pinset.KindInternal, err, "read the daemon's answer")
		}
		return value(o)
	}
}
