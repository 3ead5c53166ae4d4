package ipfsclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/pinfold/pinfold/pinset"
)

// Client asks a Kubo over its HTTP RPC. It is safe for concurrent use.
type Client struct {
	cfg   Config
	base  string // ends in /api/v0/
	auth  string // the Authorization header, or ""
	http  *http.Client
	known atomic.Bool // its version was asked for, and nothing broke since
	tally tally       // of what it exchanged
}

var (
	_ Node      = (*Client)(nil)
	_ Exchanger = (*Client)(nil)
)

// New returns a client. It asks nothing of the node yet: whether it is there, and
// new enough, shows at the first call.
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	at, err := parseAPI(cfg.API)
	if err != nil {
		return nil, err
	}
	auth, err := parseAuth(cfg.Auth)
	if err != nil {
		return nil, err
	}
	return &Client{cfg: cfg, base: at.base, auth: auth, http: &http.Client{
		Transport:     transport(cfg, at),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close drops connections that wait for another call. Calls under way go on.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// call is one request to the RPC.
type call struct {
	name string // "pin/add"
	args url.Values
	wait time.Duration // how long the node may say nothing
	body io.ReadCloser // a multipart upload, or nil
	kind string        // its Content-Type
	late bool          // the node is asked to begin to read it, and waits for the rest
}

// args pairs up names and values.
func args(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

// start sends a call and returns its answer once that is known to be no refusal.
// The caller closes it.
func (c *Client) start(ctx context.Context, q call) (*reply, error) {
	if err := c.ready(ctx); err != nil {
		if q.body != nil {
			q.body.Close()
		}
		return nil, err
	}
	return c.send(ctx, q)
}

func (c *Client) send(ctx context.Context, q call) (*reply, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	dog := &watchdog{wait: q.wait, bite: func() { cancel(ErrSilent) }}
	r := &reply{client: c, call: q.name, ctx: ctx, cancel: cancel, dog: dog}
	req, err := c.request(ctx, q, dog)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	dog.watch()
	r.http, err = c.http.Do(req)
	dog.rest()
	if err != nil {
		err = c.failed(ctx, q.name, err)
		cancel(nil)
		return nil, err
	}
	if r.http.StatusCode != http.StatusOK {
		err := c.refused(q.name, r.http)
		r.close()
		return nil, err
	}
	r.lines = newLines(r)
	return r, nil
}

func (c *Client) request(ctx context.Context, q call, dog *watchdog) (*http.Request, error) {
	var body io.Reader
	if q.body != nil {
		body = &watchedUpload{q.body, dog, q.late}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+q.name+"?"+q.args.Encode(), body)
	if err != nil {
		return nil, fmt.Errorf("ipfs %s: %w", q.name, err)
	}
	if c.auth != "" {
		req.Header.Set("Authorization", c.auth)
	}
	if q.kind != "" {
		req.Header.Set("Content-Type", q.kind)
	}
	if q.late {
		req.Header.Set("Expect", "100-continue") // the body is read when the node reads
	}
	// Every call may be repeated, so net/http may do so on a connection that turns
	// out to be closed. An empty key is not sent.
	req.Header["X-Idempotency-Key"] = nil
	req.Header.Set("User-Agent", "pinfold")
	return req, nil
}

// one sends a call whose answer is one message, and reads it into v.
func (c *Client) one(ctx context.Context, q call, v any) error {
	r, err := c.start(ctx, q)
	if err != nil {
		return err
	}
	defer r.close()
	return r.one(v)
}

// reply is an answer that comes in. It is read by one goroutine.
type reply struct {
	client *Client
	call   string
	ctx    context.Context // of this exchange, which ends with it
	cancel context.CancelCauseFunc
	dog    *watchdog
	http   *http.Response
	lines  lines
}

// Read reads the raw answer. It fails where Kubo says at the end that it failed.
func (r *reply) Read(p []byte) (int, error) {
	r.dog.watch()
	n, err := r.http.Body.Read(p)
	r.dog.rest()
	switch {
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return n, r.client.failed(r.ctx, r.call, err)
	}
	if why := r.http.Trailer.Get("X-Stream-Error"); why != "" {
		return n, rpcFailure(&RPCError{r.call, http.StatusOK, why})
	}
	return n, io.EOF
}

// next reads the next message, io.EOF after the last.
func (r *reply) next(v any) error {
	err := r.lines.next(v)
	if errors.Is(err, errGarbled) {
		return unusable(ErrNotIPFS, r.client.cfg.API, r.call+": "+err.Error())
	}
	return err
}

// one reads the only message, and the end of the answer.
func (r *reply) one(v any) error {
	if err := r.next(v); errors.Is(err, io.EOF) {
		return unusable(ErrTorn, r.client.cfg.API, r.call+": empty")
	} else if err != nil {
		return err
	}
	var more any
	if err := r.next(&more); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return err
	}
	return unusable(ErrNotIPFS, r.client.cfg.API, r.call+": more than one message")
}

func (r *reply) close() {
	r.http.Body.Close()
	r.cancel(nil)
}

// watchdog ends an exchange when the node says nothing for too long. It sleeps
// while nobody waits for the node.
type watchdog struct {
	wait  time.Duration
	bite  func()
	timer atomic.Pointer[time.Timer]
}

func (d *watchdog) watch() { d.timer.Store(time.AfterFunc(d.wait, d.bite)) }

func (d *watchdog) rest() {
	if t := d.timer.Swap(nil); t != nil {
		t.Stop()
	}
}

// pat says that there was a sign of life.
func (d *watchdog) pat() {
	if t := d.timer.Load(); t != nil {
		t.Reset(d.wait)
	}
}

// watchedUpload takes it for a sign of life that the node takes more. A late one
// may keep the node waiting for as long as it likes.
type watchedUpload struct {
	io.ReadCloser
	dog  *watchdog
	late bool
}

func (u *watchedUpload) Read(p []byte) (int, error) {
	if u.late {
		u.dog.rest()
		defer u.dog.watch()
		return u.ReadCloser.Read(p)
	}
	u.dog.pat()
	return u.ReadCloser.Read(p)
}

// Version of a Kubo: 0.42.
type Version struct{ Major, Minor uint16 }

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// Oldest is the Kubo that has everything we ask: names in pin/ls of one CID
// (0.38) and bytes in the progress of pin/add (0.40), without which a pin's name
// could not be trusted and a pin not be stopped at the lent disk's edge.
var Oldest = Version{0, 40}

// ready makes sure once, and again whenever something broke, that what answers is
// a Kubo that is new enough.
func (c *Client) ready(ctx context.Context) error {
	if c.known.Load() {
		return nil
	}
	r, err := c.send(ctx, call{name: "version", wait: c.cfg.Silence})
	if err != nil {
		return c.stranger(err)
	}
	defer r.close()
	var m versionMessage
	if err := r.one(&m); err != nil {
		return err
	}
	if m.Version == "" {
		return unusable(ErrNotIPFS, c.cfg.API, "it has no version")
	}
	v, err := parseVersion(m.Version)
	if err != nil {
		return unusable(ErrNotIPFS, c.cfg.API, err.Error())
	}
	if v.Major < Oldest.Major || v.Major == Oldest.Major && v.Minor < Oldest.Minor {
		return unusable(ErrTooOld, c.cfg.API, fmt.Sprintf("version %s, want %s or later", m.Version, Oldest))
	}
	c.known.Store(true)
	return nil
}

// stranger says of an error in asking for the version that it comes from no IPFS
// node, if it does: those always answer that question.
func (c *Client) stranger(err error) error {
	var rpc *RPCError
	if errors.As(err, &rpc) && pinset.KindOf(err) != pinset.KindUnavailable {
		return unusable(ErrNotIPFS, c.cfg.API, err.Error())
	}
	return err
}
