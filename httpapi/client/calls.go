package client

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

// Version is what the daemon runs.
func (c *Client) Version(ctx context.Context) (string, error) {
	var v dialect.Version
	err := c.ask(ctx, request{method: http.MethodGet, path: "/version"}, &v)
	return v.Version, err
}

// Self is the peer that answers, and the cluster it is in.
type Self struct {
	pinset.Peer
	ClusterID, ClusterName string
	Sees                   []peer.ID // members it is connected with, itself included
}

// Self asks who answers.
func (c *Client) Self(ctx context.Context) (Self, error) {
	var o dialect.Peer
	if err := c.ask(ctx, request{method: http.MethodGet, path: "/id"}, &o); err != nil {
		return Self{}, err
	}
	s := Self{ClusterID: o.ClusterID, ClusterName: o.ClusterName}
	for _, text := range o.Peers {
		id, err := peer.Decode(text)
		if err != nil {
			return s, pinset.Wrap(pinset.KindInternal, err, "read the daemon's answer")
		}
		s.Sees = append(s.Sees, id)
	}
	var err error
	s.Peer, err = o.Value()
	return s, err
}

// Peers lists the members.
func (c *Client) Peers(ctx context.Context) iter.Seq2[pinset.Peer, error] {
	return eachLine(ctx, c, request{method: http.MethodGet, path: "/peers"}, decodeJSON(dialect.Peer.Value))
}

// RemovePeer ends a membership.
func (c *Client) RemovePeer(ctx context.Context, id peer.ID) error {
	return c.ask(ctx, request{method: http.MethodDelete, path: "/peers/" + id.String()}, nil)
}

// Health tells whether the daemon is well, and its faults, the worst first.
func (c *Client) Health(ctx context.Context) (ok bool, entries []pinset.HealthEntry, err error) {
	var h dialect.Health
	err = c.ask(ctx, request{method: http.MethodGet, path: "/health"}, &h)
	return h.OK, h.Entries, err
}

// Agreement tells how far the members agree on the pinset.
func (c *Client) Agreement(ctx context.Context) (pinset.Agreement, error) {
	var o dialect.Agreement
	if err := c.ask(ctx, request{method: http.MethodGet, path: "/agreement"}, &o); err != nil {
		return pinset.Agreement{}, err
	}
	return o.Value()
}

// Invite makes an invitation, a secret.
func (c *Client) Invite(ctx context.Context) (pinset.Invite, error) {
	var o dialect.Invite
	err := c.ask(ctx, request{method: http.MethodPost, path: "/cluster/invite"}, &o)
	return o.Value(), err
}

// Join has the daemon join a cluster; give in bytes, 0 for what is configured.
func (c *Client) Join(ctx context.Context, invite, name string, give uint64) error {
	return c.askJSON(ctx, "/cluster/join", dialect.Join{Invite: invite, Name: name, Give: give}, nil)
}

// Leave has the daemon leave its cluster.
func (c *Client) Leave(ctx context.Context) error {
	return c.ask(ctx, request{method: http.MethodPost, path: "/cluster/leave"}, nil)
}

// Config lists the daemon's effective settings.
func (c *Client) Config(ctx context.Context) (out []dialect.Setting, err error) {
	err = c.ask(ctx, request{method: http.MethodGet, path: "/config"}, &out)
	return out, err
}

// Wait is what a pin is waited for after it is durable at the daemon. The zero
// Wait is nothing more.
type Wait struct {
	Seen    int           // members that have heard of it
	Pinned  int           // members that hold it
	Enough  bool          // as many hold it as the pin's minimum asks for
	Timeout time.Duration // 0: the server's two minutes
}

func (w Wait) query(q url.Values) {
	var parts []string
	if w.Seen > 0 {
		parts = append(parts, "seen:"+strconv.Itoa(w.Seen))
	}
	if w.Pinned > 0 {
		parts = append(parts, "pinned:"+strconv.Itoa(w.Pinned))
	}
	if w.Enough {
		parts = append(parts, "pinned")
	}
	if len(parts) > 0 {
		q.Set("wait", strings.Join(parts, ","))
	}
	if w.Timeout > 0 {
		q.Set("wait-timeout", w.Timeout.String())
	}
}

// pinQueryOf is the inverse of params.pinTemplate. Owner is sent when it is not
// the default: a token may be bound to one.
func pinQueryOf(p pinset.Pin) url.Values {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("name", p.Name)
	set("owner", p.Owner)
	set("tags", strings.Join(p.Tags, ","))
	set("origins", strings.Join(p.Origins, ","))
	if p.Priority != pinset.PriorityNormal {
		q.Set("priority", p.Priority.String())
	}
	if p.Mode != pinset.Recursive {
		q.Set("mode", p.Mode.String())
	}
	if !p.Replication.IsDefault() {
		q.Set("replication-min", strconv.Itoa(p.Replication.Min))
		q.Set("replication-max", strconv.Itoa(p.Replication.Max))
	}
	var include []string
	for _, id := range p.Include {
		include = append(include, id.String())
	}
	set("user-allocations", strings.Join(include, ","))
	if !p.ExpireAt.IsZero() {
		q.Set("expire-at", p.ExpireAt.UTC().Format(time.RFC3339))
	}
	for k, v := range p.Metadata {
		q.Set("meta-"+k, v)
	}
	return q
}

// Pin makes a pin; Size and Created of it are the server's to say.
func (c *Client) Pin(ctx context.Context, p pinset.Pin, w Wait) (pinset.Pin, pinset.Receipt, error) {
	return c.pinAt(ctx, "/pins/"+p.CID.String(), p, w)
}

// PinPath pins what is at CID/name/name; p.CID is not looked at.
func (c *Client) PinPath(ctx context.Context, path string, p pinset.Pin, w Wait) (pinset.Pin, pinset.Receipt, error) {
	return c.pinAt(ctx, "/pins/ipfs/"+escapePath(path), p, w)
}

func (c *Client) pinAt(ctx context.Context, path string, p pinset.Pin, w Wait) (pinset.Pin, pinset.Receipt, error) {
	q := pinQueryOf(p)
	w.query(q)
	return c.change(ctx, request{method: http.MethodPost, path: path, query: q})
}

func (c *Client) change(ctx context.Context, q request) (pinset.Pin, pinset.Receipt, error) {
	body, err := c.askRaw(ctx, q)
	if err != nil {
		return pinset.Pin{}, pinset.Receipt{}, err
	}
	p, err := dialect.DecodePin(body)
	return p.Pin, p.Receipt, err
}

func ownerQuery(owner string) url.Values {
	if owner == "" {
		return nil
	}
	return url.Values{"owner": {owner}}
}

// Unpin removes an owner's pin and returns what it was. KindRefused: too much of the
// pinset would go at once.
func (c *Client) Unpin(ctx context.Context, r pinset.Removal) (pinset.Pin, pinset.Receipt, error) {
	q := url.Values{}
	if r.Owner != "" {
		q.Set("owner", r.Owner)
	}
	if r.Together > 0 {
		q.Set("together", strconv.FormatUint(r.Together, 10))
	}
	if r.Force {
		q.Set("force", "true")
	}
	return c.change(ctx, request{method: http.MethodDelete, path: "/pins/" + r.CID.String(), query: q})
}

// PinOf returns an owner's pin and the members that shall hold it.
func (c *Client) PinOf(ctx context.Context, id cid.Cid, owner string) (pinset.Pin, []peer.ID, error) {
	body, err := c.askRaw(ctx, request{method: http.MethodGet, path: "/allocations/" + id.String(), query: ownerQuery(owner)})
	if err != nil {
		return pinset.Pin{}, nil, err
	}
	p, err := dialect.DecodePin(body)
	return p.Pin, p.Allocations, err
}

// Pins lists the pinset in the order of its keys.
func (c *Client) Pins(ctx context.Context) iter.Seq2[pinset.Pin, error] {
	q := request{method: http.MethodGet, path: "/allocations", query: url.Values{"allocations": {"false"}}}
	return eachLine(ctx, c, q, func(line []byte) (pinset.Pin, error) {
		p, err := dialect.DecodePin(line)
		return p.Pin, err
	})
}

// Status tells where a CID is; local asks only the daemon's own peer.
func (c *Client) Status(ctx context.Context, id cid.Cid, local bool) (pinset.Summary, error) {
	return c.statusAt(ctx, request{method: http.MethodGet, path: "/pins/" + id.String(), query: localQuery(local)})
}

// Recover tries again what failed.
func (c *Client) Recover(ctx context.Context, id cid.Cid) (pinset.Summary, error) {
	return c.statusAt(ctx, request{method: http.MethodPost, path: "/pins/" + id.String() + "/recover"})
}

func (c *Client) statusAt(ctx context.Context, q request) (pinset.Summary, error) {
	body, err := c.askRaw(ctx, q)
	if err != nil {
		return pinset.Summary{}, err
	}
	return dialect.DecodeStatus(body)
}

func localQuery(local bool) url.Values {
	if !local {
		return nil
	}
	return url.Values{"local": {"true"}}
}

// StatusOptions narrow a list of statuses.
type StatusOptions struct {
	Local  bool
	Filter string    // names of statuses with commas between, error, queued, short
	CIDs   []cid.Cid // none: all
}

// StatusAll lists where everything is.
func (c *Client) StatusAll(ctx context.Context, o StatusOptions) iter.Seq2[pinset.Summary, error] {
	q := url.Values{}
	if o.Local {
		q.Set("local", "true")
	}
	if o.Filter != "" {
		q.Set("filter", o.Filter)
	}
	var ids []string
	for _, id := range o.CIDs {
		ids = append(ids, id.String())
	}
	if len(ids) > 0 {
		q.Set("cids", strings.Join(ids, ","))
	}
	return eachLine(ctx, c, request{method: http.MethodGet, path: "/pins", query: q}, dialect.DecodeStatus)
}

// RecoverAll tries again what failed and lists what is not yet as it should be.
func (c *Client) RecoverAll(ctx context.Context, local bool) iter.Seq2[pinset.Summary, error] {
	return eachLine(ctx, c, request{method: http.MethodPost, path: "/pins/recover", query: localQuery(local)}, dialect.DecodeStatus)
}

// Add brings dir's entries in and pins them as template says. It reads dir while
// it is ranged over; it is ranged over once.
func (c *Client) Add(ctx context.Context, dir files.Directory, opts pinset.AddOptions, template pinset.Pin) iter.Seq2[pinset.Added, error] {
	q := pinQueryOf(template)
	set := func(name string, on bool) {
		if on {
			q.Set(name, "true")
		}
	}
	if opts.Name != "" {
		q.Set("name", opts.Name)
	}
	if opts.CIDVersion != 0 {
		q.Set("cid-version", strconv.Itoa(opts.CIDVersion))
	}
	if opts.RawLeaves != nil {
		q.Set("raw-leaves", strconv.FormatBool(*opts.RawLeaves))
	}
	if opts.Chunker != "" {
		q.Set("chunker", opts.Chunker)
	}
	set("wrap-with-directory", opts.Wrap)
	set("hidden", opts.Hidden)
	set("progress", opts.Progress)
	set("only-hash", opts.OnlyHash)
	return func(yield func(pinset.Added, error) bool) {
		body := files.NewMultiFileReader(dir, true, false)
		ask := request{method: http.MethodPost, path: "/add", query: q, body: body, kind: "multipart/form-data; boundary=" + body.Boundary()}
		eachLine(ctx, c, ask, decodeJSON(dialect.Added.Value))(yield)
	}
}

// List yields the entries of the directory at CID/name/name.
func (c *Client) List(ctx context.Context, path string) iter.Seq2[pinset.Link, error] {
	q := request{method: http.MethodGet, path: "/data/" + escapePath(path), query: url.Values{"format": {"list"}}}
	return eachLine(ctx, c, q, decodeJSON(dialect.Link.Value))
}

// Read opens the file at CID/name/name; size is -1 when it is not known. Whoever
// reads to the end knows that all of it came.
func (c *Client) Read(ctx context.Context, path string) (body io.ReadCloser, size int64, err error) {
	return c.read(ctx, path, "")
}

// Tar opens what is at CID/name/name, file or directory, as a tar archive.
func (c *Client) Tar(ctx context.Context, path string) (io.ReadCloser, error) {
	body, _, err := c.read(ctx, path, "tar")
	return body, err
}

func (c *Client) read(ctx context.Context, path, format string) (io.ReadCloser, int64, error) {
	q := request{method: http.MethodGet, path: "/data/" + escapePath(path), trailers: true}
	if format != "" {
		q.query = url.Values{"format": {format}}
	}
	ctx, cancel := context.WithCancel(ctx)
	resp, err := c.send(ctx, q)
	if err != nil {
		cancel()
		return nil, 0, err
	}
	size, err := strconv.ParseInt(resp.Header.Get("X-Content-Length"), 10, 64)
	if err != nil {
		size = -1
	}
	return &dataBody{c: c, ctx: ctx, cancel: cancel, resp: resp}, size, nil
}

// dataBody turns the end of a body into how it ended.
type dataBody struct {
	c      *Client
	ctx    context.Context // of the request, which this body is the rest of
	cancel context.CancelFunc
	resp   *http.Response
}

func (b *dataBody) Read(p []byte) (int, error) {
	n, err := b.resp.Body.Read(p)
	if err != nil {
		if bad := b.c.ended(b.ctx, b.resp, err); bad != nil {
			err = bad
		}
	}
	return n, err
}

func (b *dataBody) Close() error {
	b.cancel()
	return b.resp.Body.Close()
}

// escapePath makes CID/name/name a URL's; a leading /ipfs/ is left out.
func escapePath(path string) string {
	parts := strings.Split(strings.Trim(strings.TrimPrefix(path, "/ipfs/"), "/"), "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

// GC collects the garbage of the daemon's IPFS node and yields what went.
func (c *Client) GC(ctx context.Context) iter.Seq2[cid.Cid, error] {
	return func(yield func(cid.Cid, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		resp, err := c.send(ctx, request{method: http.MethodPost, path: "/ipfs/gc"})
		if err != nil {
			yield(cid.Undef, err)
			return
		}
		defer resp.Body.Close()
		going, err := eachKey(json.NewDecoder(resp.Body), func(key cid.Cid) bool { return yield(key, nil) })
		if !going {
			return
		}
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
		}
		if err == nil {
			err = io.EOF
		}
		if err = c.ended(ctx, resp, err); err != nil {
			yield(cid.Undef, err)
		}
	}
}

// eachKey walks the tokens of ipfs-cluster's GlobalRepoGC and calls each for the
// keys as they come. going is false when each wanted no more.
func eachKey(d *json.Decoder, each func(cid.Cid) bool) (going bool, err error) {
	for {
		t, err := d.Token()
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return true, err
		}
		switch t {
		case "peer", "peername", "error": // their values could be anything
			if _, err := d.Token(); err != nil {
				return true, err
			}
			continue
		case "keys":
		default:
			continue
		}
		if _, err := d.Token(); err != nil { // [
			return true, err
		}
		for d.More() {
			var o dialect.Collected
			if err := d.Decode(&o); err != nil {
				return true, err
			}
			key, err := cid.Decode(o.Key)
			if err != nil {
				return true, err
			}
			if !each(key) {
				return false, nil
			}
		}
	}
}
