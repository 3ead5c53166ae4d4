package ipfsclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"

	chunk "github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// DefaultChunker is Kubo's.
const DefaultChunker = "size-262144"

// Add implements Adder, in two steps: Kubo imports without a pin, then each root
// is pinned, unless a pin is there already. Kubo's own add with a pin would rename
// the pin of whoever pinned the same content before. Between the steps a shelter
// keeps what came in.
func (c *Client) Add(ctx context.Context, dir files.Directory, opts pinset.AddOptions, pinName string) iter.Seq2[pinset.Added, error] {
	return func(yield func(pinset.Added, error) bool) {
		a := &adding{client: c, opts: opts, yield: yield}
		if !opts.OnlyHash {
			a.pinName = pinName
		}
		err := a.run(ctx, dir)
		a.open.close()
		dir.Close()
		if err != nil && !errors.Is(err, errStop) {
			yield(pinset.Added{}, fmt.Errorf("add: %w", err))
		}
	}
}

// adding is an Add under way.
type adding struct {
	client  *Client
	opts    pinset.AddOptions
	pinName string
	yield   func(pinset.Added, error) bool
	open    reading
	held    []pinset.Added // roots that Kubo announced, and that are not safe yet
}

// addQuery spells out every default, so that a node configured to import in its
// own way gives the same CIDs as all others.
func addQuery(opts pinset.AddOptions) (url.Values, error) {
	if opts.CIDVersion != 0 && opts.CIDVersion != 1 {
		return nil, pinset.Invalid("cid version %d: want 0 or 1", opts.CIDVersion)
	}
	raw := opts.CIDVersion == 1
	if opts.RawLeaves != nil {
		raw = *opts.RawLeaves
	}
	chunker := opts.Chunker
	if chunker == "" {
		chunker = DefaultChunker
	}
	if _, err := chunk.FromString(strings.NewReader(""), chunker); err != nil {
		return nil, pinset.Invalid("chunker %q: %v", chunker, err)
	}
	return args("cid-version", strconv.Itoa(opts.CIDVersion), "raw-leaves", strconv.FormatBool(raw),
		"chunker", chunker, "hash", "sha2-256", "trickle", "false", "inline", "false",
		"max-file-links", "174", "max-directory-links", "0", "max-hamt-fanout", "256", "empty-dirs", "true",
		"wrap-with-directory", strconv.FormatBool(opts.Wrap), "only-hash", strconv.FormatBool(opts.OnlyHash),
		"progress", strconv.FormatBool(opts.Progress), "pin", "false", "stream-channels", "true"), nil
}

func (a *adding) run(ctx context.Context, dir files.Directory) error {
	q, err := addQuery(a.opts)
	if err != nil {
		return err
	}
	tree := files.Directory(named{dir, &a.open})
	if !a.opts.Hidden {
		tree = Visible(tree)
	}
	if a.opts.Wrap { // one root
		return a.part(ctx, q, tree)
	}
	it := tree.Entries()
	for first := true; ; first = false {
		some := it.Next()
		if !some && !first {
			return broken(it.Err())
		}
		var read atomic.Int64
		if err := a.part(ctx, q, &group{tree, it, some, &read}); err != nil {
			return err
		}
	}
}

// broken says that it was the source that failed.
func broken(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("read what is to be added: %w", err)
}

// part adds what one request takes.
func (a *adding) part(ctx context.Context, q url.Values, tree files.Directory) (err error) {
	var s *shelter
	if a.pinName != "" {
		if s = a.client.shelter(ctx); s != nil {
			defer s.leave()
		}
	}
	form := files.NewMultiFileReader(tree, false, false)
	up := &upload{Reader: form, turn: make(chan struct{}, 1)}
	if g, ok := tree.(*group); ok {
		up.read = g.read
	}
	r, err := a.client.start(ctx, call{name: "add", args: q, wait: a.client.cfg.Patience,
		body: up, kind: "multipart/form-data; boundary=" + form.Boundary()})
	if err == nil {
		err = a.receive(r)
		r.close()
	}
	if err := broken(up.finish()); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	return a.settle(ctx, s)
}

// errStop says that the loop over an iterator was left.
var errStop = errors.New("stop")

// receive yields what Kubo tells, but for roots: those it syncs after it told them.
func (a *adding) receive(r *reply) error {
	for some := false; ; some = true {
		var m addMessage
		err := r.next(&m)
		switch {
		case errors.Is(err, io.EOF) && !some:
			return unusable(ErrTorn, a.client.cfg.API, "it added nothing")
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		added, err := m.added()
		if err != nil {
			return unusable(ErrNotIPFS, a.client.cfg.API, err.Error())
		}
		if a.isRoot(added) {
			a.held = append(a.held, added)
		} else if !a.yield(added, nil) {
			return errStop
		}
	}
}

// settle pins the roots that came in, and yields them.
func (a *adding) settle(ctx context.Context, s *shelter) error {
	held := a.held
	a.held = nil
	if a.pinName != "" && len(held) > 0 {
		if err := a.pin(ctx, s, held); err != nil {
			return err
		}
	}
	for _, r := range held {
		if !a.yield(r, nil) {
			return errStop
		}
	}
	return nil
}

// pin pins roots. A node that waits to collect its garbage lets nobody pin: so the
// shelter is left first, and what it kept holds them until they are pinned.
func (a *adding) pin(ctx context.Context, s *shelter, held []pinset.Added) (err error) {
	if s != nil {
		roots := make([]cid.Cid, len(held))
		for i, r := range held {
			roots[i] = r.CID
		}
		// Where it cannot be kept, pinning tells whether all is still there.
		if kept, e := s.keep(roots); e == nil {
			defer func() { err = errors.Join(err, a.client.forget(ctx, kept)) }()
		}
	}
	for _, r := range held {
		if err := a.client.PinAdded(ctx, r.CID, a.pinName); err != nil {
			return err
		}
	}
	return nil
}

func (a *adding) isRoot(added pinset.Added) bool {
	if !added.CID.Defined() {
		return false
	}
	if a.opts.Wrap {
		return added.Path == ""
	}
	return !strings.Contains(added.Path, "/")
}

// PinAdded implements Adder. A recursive pin that is there
// already does as well, under whatever name; a direct one is somebody's and stands
// in the way.
func (c *Client) PinAdded(ctx context.Context, root cid.Cid, name string) error {
	old, err := c.PinOf(ctx, root)
	switch {
	case err == nil && old.Mode == pinset.Recursive:
		return nil
	case err == nil && old.Name != name:
		return pinset.Errorf(pinset.KindConflict, "pin %s: it is pinned directly under the name %q, which a recursive pin would replace", root, old.Name)
	case err != nil && pinset.KindOf(err) != pinset.KindNotFound:
		return err
	}
	return c.pin(ctx, root, pinset.PinOptions{Name: name}, true)
}

// upload is the body of an add. net/http may close it while it reads, and read on
// after the exchange is over.
type upload struct {
	io.Reader
	shut atomic.Bool
	turn chan struct{} // of one: taken while reading
	read *atomic.Int64 // counts the bytes, or nil
	err  error         // of the source
}

func (u *upload) Read(p []byte) (int, error) {
	u.turn <- struct{}{}
	defer func() { <-u.turn }()
	if u.shut.Load() {
		return 0, io.ErrClosedPipe
	}
	n, err := u.Reader.Read(p)
	if u.read != nil {
		u.read.Add(int64(n))
	}
	if err != nil && !errors.Is(err, io.EOF) {
		u.err = err
	}
	return n, err
}

func (u *upload) Close() error {
	u.shut.Store(true)
	return nil
}

// finish returns when nobody reads the source any more, nor will, with the error
// that reading it had.
func (u *upload) finish() error {
	u.shut.Store(true)
	u.turn <- struct{}{}
	defer func() { <-u.turn }()
	return u.err
}
