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
// the pin of whoever pinned the same content before.
func (c *Client) Add(ctx context.Context, dir files.Directory, opts pinset.AddOptions, pinName string) iter.Seq2[pinset.Added, error] {
	return func(yield func(pinset.Added, error) bool) {
		a := &adding{client: c, opts: opts, yield: yield}
		if !opts.OnlyHash {
			a.pinName = pinName
		}
		if err := a.run(ctx, dir); err != nil {
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
	held    *pinset.Added // a root that Kubo announced and may not have synced yet
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
		dir.Close()
		return err
	}
	var open reading
	tree := files.Directory(named{dir, &open})
	if !a.opts.Hidden {
		tree = Visible(tree)
	}
	form := files.NewMultiFileReader(tree, false, false)
	up := &upload{Reader: form, turn: make(chan struct{}, 1)}
	r, err := a.client.start(ctx, call{name: "add", args: q, wait: a.client.cfg.Patience,
		body: up, kind: "multipart/form-data; boundary=" + form.Boundary()})
	if err == nil {
		err = a.receive(ctx, r)
		r.close()
	}
	broken := up.finish()
	open.close()
	dir.Close()
	if broken != nil {
		return fmt.Errorf("read what is to be added: %w", broken)
	}
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// errStop says that the loop over an iterator was left.
var errStop = errors.New("stop")

// receive yields what Kubo tells. Of each root Kubo speaks last, and syncs after
// that: it is held back until Kubo speaks of the next one, or ends well.
func (a *adding) receive(ctx context.Context, r *reply) error {
	some := false
	for {
		var m addMessage
		err := r.next(&m)
		if errors.Is(err, io.EOF) && !some {
			return unusable(ErrTorn, a.client.cfg.API, "it added nothing")
		}
		if err == nil || errors.Is(err, io.EOF) {
			if e := a.release(ctx); e != nil {
				return e
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		some = true
		added, err := m.added()
		if err != nil {
			return unusable(ErrNotIPFS, a.client.cfg.API, err.Error())
		}
		if a.isRoot(added) {
			a.held = &added
			continue
		}
		if !a.yield(added, nil) {
			return errStop
		}
	}
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

// release pins the root that was held back, and yields it.
func (a *adding) release(ctx context.Context) error {
	if a.held == nil {
		return nil
	}
	root := *a.held
	a.held = nil
	if a.pinName != "" {
		if err := a.client.PinAdded(ctx, root.CID, a.pinName); err != nil {
			return err
		}
	}
	if !a.yield(root, nil) {
		return errStop
	}
	return nil
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
	err  error         // of the source
}

func (u *upload) Read(p []byte) (int, error) {
	u.turn <- struct{}{}
	defer func() { <-u.turn }()
	if u.shut.Load() {
		return 0, io.ErrClosedPipe
	}
	n, err := u.Reader.Read(p)
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
