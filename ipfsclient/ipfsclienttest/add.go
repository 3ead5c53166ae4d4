package ipfsclienttest

import (
	"context"
	"errors"
	"io"
	"iter"
	"path"

	chunk "github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/files"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/pinfold/pinfold/ipfsclient"
	"github.com/pinfold/pinfold/pinset"
)

// Add implements ipfsclient.Adder.
func (f *Fake) Add(ctx context.Context, dir files.Directory, opts pinset.AddOptions, pinName string) iter.Seq2[pinset.Added, error] {
	return func(yield func(pinset.Added, error) bool) {
		defer dir.Close()
		err := f.do(ctx, Call{Op: OpAdd, Name: pinName}, func() error {
			if err := f.storage.enter(ctx, together); err != nil {
				return ended(Call{Op: OpAdd}, err)
			}
			defer f.storage.leave()
			im, err := f.importer(ctx, opts, func(a pinset.Added) error {
				if !yield(a, nil) {
					return errLeft
				}
				return nil
			})
			if err != nil {
				return err
			}
			return im.roots(dir, opts, func(c cid.Cid) error {
				if opts.OnlyHash || pinName == "" {
					return nil
				}
				return f.PinAdded(ctx, c, pinName)
			})
		})
		if err != nil && !errors.Is(err, errLeft) {
			yield(pinset.Added{}, err)
		}
	}
}

// PinAdded pins a root that was brought in, and leaves what somebody else pinned.
func (f *Fake) PinAdded(_ context.Context, c cid.Cid, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch old, ok := f.pins[c]; {
	case !ok:
		f.pins[c] = pinned{name: name}
	case old.mode == pinset.Direct && old.name != name:
		return pinset.Errorf(pinset.KindConflict, "add %s (fake): pinned directly under the name %q", c, old.name)
	case old.mode == pinset.Direct:
		f.pins[c] = pinned{name: name}
	}
	return nil
}

// importer turns files into DAGs.
type importer struct {
	ctx     context.Context
	dag     ipld.DAGService
	prefix  cid.Prefix
	raw     bool
	chunker string
	beats   bool
	emit    func(pinset.Added) error
}

func (f *Fake) importer(ctx context.Context, opts pinset.AddOptions, emit func(pinset.Added) error) (*importer, error) {
	prefix, err := merkledag.PrefixForCidVersion(opts.CIDVersion)
	if err != nil {
		return nil, pinset.Invalid("cid version %d: %v", opts.CIDVersion, err)
	}
	im := &importer{ctx: ctx, prefix: prefix, raw: opts.CIDVersion == 1, chunker: opts.Chunker, beats: opts.Progress, emit: emit}
	if opts.RawLeaves != nil {
		im.raw = *opts.RawLeaves
	}
	im.dag = f.dag().here
	if opts.OnlyHash {
		im.dag = newContent(&Fake{world: &World{changed: make(chan struct{})}}).here
	}
	return im, nil
}

// roots imports the entries of dir, or dir itself where it wraps them.
func (im *importer) roots(dir files.Directory, opts pinset.AddOptions, pin func(cid.Cid) error) error {
	if !opts.Hidden {
		dir = ipfsclient.Visible(dir)
	}
	if opts.Wrap {
		n, err := im.directory(dir, "")
		if err != nil {
			return err
		}
		if err := pin(n.Cid()); err != nil {
			return err
		}
		return im.done(n, "")
	}
	some := false
	for it := dir.Entries(); ; some = true {
		if !it.Next() {
			if err := it.Err(); err != nil || some {
				return err
			}
			return pinset.Invalid("add (fake): nothing to add")
		}
		n, err := im.node(it.Node(), it.Name())
		if err != nil {
			return err
		}
		if err := pin(n.Cid()); err != nil {
			return err
		}
		name := it.Name()
		if name == "" {
			name = n.Cid().String() // as Kubo names what has no name
		}
		if err := im.done(n, name); err != nil {
			return err
		}
	}
}

func (im *importer) done(n ipld.Node, at string) error {
	size, err := n.Size()
	if err != nil {
		return err
	}
	return im.emit(pinset.Added{Path: at, CID: n.Cid(), Size: size})
}

func (im *importer) node(n files.Node, at string) (ipld.Node, error) {
	defer n.Close()
	switch n := n.(type) {
	case *files.Symlink:
		data, err := unixfs.SymlinkData(n.Target)
		if err != nil {
			return nil, err
		}
		return im.put(merkledag.NodeWithData(data))
	case files.Directory:
		return im.directory(n, at)
	case files.File:
		return im.file(n, at)
	}
	return nil, pinset.Invalid("add %q (fake): neither file, directory nor link", at)
}

func (im *importer) put(n *merkledag.ProtoNode) (ipld.Node, error) {
	if err := n.SetCidBuilder(im.prefix); err != nil {
		return nil, err
	}
	return n, im.dag.Add(im.ctx, n)
}

func (im *importer) directory(dir files.Directory, at string) (ipld.Node, error) {
	d, err := uio.NewDirectory(im.dag, uio.WithCidBuilder(im.prefix))
	if err != nil {
		return nil, err
	}
	it := dir.Entries()
	for it.Next() {
		below := path.Join(at, it.Name())
		n, err := im.node(it.Node(), below)
		if err != nil {
			return nil, err
		}
		if err := im.done(n, below); err != nil {
			return nil, err
		}
		if err := d.AddChild(im.ctx, it.Name(), n); err != nil {
			return nil, err
		}
	}
	if err := it.Err(); err != nil {
		return nil, err
	}
	n, err := d.GetNode()
	if err != nil {
		return nil, err
	}
	return n, im.dag.Add(im.ctx, n)
}

func (im *importer) file(r io.Reader, at string) (ipld.Node, error) {
	if im.beats {
		r = &counting{r: r, report: func(n uint64) error { return im.emit(pinset.Added{Path: at, Bytes: n}) }}
	}
	splitter, err := chunk.FromString(r, im.chunker)
	if err != nil {
		return nil, pinset.Invalid("chunker %q: %v", im.chunker, err)
	}
	buffered := ipld.NewBufferedDAG(im.ctx, im.dag)
	params := helpers.DagBuilderParams{Dagserv: buffered, RawLeaves: im.raw, Maxlinks: helpers.DefaultLinksPerBlock, CidBuilder: im.prefix}
	b, err := params.New(splitter)
	if err != nil {
		return nil, err
	}
	n, err := balanced.Layout(b)
	if err != nil {
		return nil, err
	}
	return n, buffered.Commit()
}

// counting reports every 256 KiB and at the end how much was read.
type counting struct {
	r       io.Reader
	n, last uint64
	report  func(uint64) error
	err     error // a chunker may ask again after an error
}

func (c *counting) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(p)
	c.n += uint64(n)
	if c.n-c.last >= 256<<10 || err == io.EOF {
		c.last = c.n
		if e := c.report(c.n); e != nil {
			n, err = 0, e
		}
	}
	c.err = err
	return n, err
}
