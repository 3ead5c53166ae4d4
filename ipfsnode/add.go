package ipfsnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	gopath "path"
	"strings"

	"github.com/ipfs/boxo/chunker"
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

// Add brings files in, in one pass, and yields what `ipfs add` of Kubo 0.42 would
// print, with the same CIDs: an Added for each file, symlink and directory when it
// is done, each root last of its own. Each entry of dir is a root; with opts.Wrap,
// dir itself is the only one. Before a root is yielded, its blocks are synced, and it
// is pinned recursively under pinName, unless that is empty or it is pinned so
// already. With opts.OnlyHash nothing is kept and nothing pinned.
func (n *Node) Add(ctx context.Context, dir files.Directory, opts pinset.AddOptions, pinName string) iter.Seq2[pinset.Added, error] {
	return func(yield func(pinset.Added, error) bool) {
		defer dir.Close()
		a := adder{node: n, opts: opts, pinName: pinName, yield: yield}
		if err := a.add(ctx, dir); err != nil && !errors.Is(err, errStopped) {
			yield(pinset.Added{}, fmt.Errorf("add: %w", err))
		}
	}
}

// adder is one call of Add.
type adder struct {
	node    *Node
	opts    pinset.AddOptions
	pinName string
	yield   func(pinset.Added, error) bool

	builder   cid.Builder
	rawLeaves bool
	left      bool    // the loop over Add was left
	out       *writer // of the root under construction
}

func (a *adder) add(ctx context.Context, dir files.Directory) error {
	if err := a.prepare(); err != nil {
		return err
	}
	if !a.opts.Hidden {
		dir = ipfsclient.Visible(dir)
	}
	if a.opts.Wrap {
		return a.root(ctx, "", dir)
	}
	it, some := dir.Entries(), false
	for ; it.Next(); some = true {
		if err := a.root(ctx, it.Name(), it.Node()); err != nil {
			return err
		}
	}
	if err := it.Err(); err != nil || some {
		return err
	}
	return pinset.Invalid("nothing to add")
}

func (a *adder) prepare() error {
	if len(a.pinName) > maxPinName {
		return pinset.Invalid("pin name of %d bytes: at most %d", len(a.pinName), maxPinName)
	}
	prefix, err := merkledag.PrefixForCidVersion(a.opts.CIDVersion)
	if err != nil {
		return pinset.Invalid("cid version %d: want 0 or 1", a.opts.CIDVersion)
	}
	a.builder = prefix
	a.rawLeaves = a.opts.CIDVersion > 0
	if a.opts.RawLeaves != nil {
		a.rawLeaves = *a.opts.RawLeaves
	}
	if _, err := chunk.FromString(strings.NewReader(""), a.opts.Chunker); err != nil {
		return pinset.Invalid("chunker %q: %w: want size-<bytes>, rabin, rabin-<avg>, rabin-<min>-<avg>-<max> or buzhash", a.opts.Chunker, err)
	}
	return nil
}

// root adds one root, and yields it when it is safe.
func (a *adder) root(ctx context.Context, name string, f files.Node) error {
	a.out = newWriter(ctx, a.node, a.opts.OnlyHash)
	defer a.out.close()
	nd, err := a.entry(ctx, name, f)
	if err != nil {
		return err
	}
	if err := a.out.finish(); err != nil {
		return err
	}
	if err := a.settle(ctx, nd.Cid()); err != nil {
		return err
	}
	if name == "" && !a.opts.Wrap {
		if _, dir := f.(files.Directory); !dir {
			name = nd.Cid().String() // as Kubo names what has no name
		}
	}
	return a.emit(name, nd)
}

func (a *adder) settle(ctx context.Context, c cid.Cid) error {
	if a.opts.OnlyHash {
		return nil
	}
	if err := a.node.store.Flush(ctx); err != nil || a.pinName == "" {
		return err
	}
	return a.node.pins.putAdded(pinRecord{cid: c, name: a.pinName, size: a.out.size})
}

// PinAdded pins a root that is here, unless a recursive pin is. A direct one of
// another name is in the way, for somebody else made it.
func (n *Node) PinAdded(ctx context.Context, root cid.Cid, pinName string) error {
	was, err := n.PinOf(ctx, root)
	switch {
	case err == nil && was.Mode == pinset.Recursive:
		return nil
	case err == nil && was.Name != pinName:
		return pinset.Errorf(pinset.KindConflict, "%s is pinned directly under the name %q", root, was.Name)
	case err != nil && pinset.KindOf(err) != pinset.KindNotFound:
		return err
	}
	return n.Pin(ctx, root, pinset.PinOptions{Name: pinName})
}

// entry adds a file, symlink or directory, and yields everything below it.
func (a *adder) entry(ctx context.Context, path string, f files.Node) (ipld.Node, error) {
	defer f.Close()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch f := f.(type) {
	case files.Directory:
		return a.dir(ctx, path, f)
	case *files.Symlink:
		return a.symlink(ctx, f)
	case files.File:
		return a.file(path, f)
	}
	return nil, pinset.Invalid("%q: neither file nor directory nor symlink", path)
}

func (a *adder) dir(ctx context.Context, path string, f files.Directory) (ipld.Node, error) {
	dir, err := uio.NewDirectory(a.out, uio.WithCidBuilder(a.builder), uio.WithSizeEstimationMode(uio.SizeEstimationLinks))
	if err != nil {
		return nil, err
	}
	it := f.Entries()
	for it.Next() {
		name := it.Name()
		child := gopath.Join(path, name)
		nd, err := a.entry(ctx, child, it.Node())
		if err != nil {
			return nil, err
		}
		if name == "" { // as Kubo names what has no name
			name = nd.Cid().String()
			child = gopath.Join(path, name)
		}
		if err := dir.AddChild(ctx, name, nd); err != nil {
			return nil, fmt.Errorf("add %q to its directory: %w", child, err)
		}
		if err := a.emit(child, nd); err != nil {
			return nil, err
		}
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("read directory %q: %w", path, err)
	}
	nd, err := dir.GetNode()
	if err != nil {
		return nil, fmt.Errorf("build directory %q: %w", path, err)
	}
	return nd, a.out.Add(ctx, nd)
}

func (a *adder) symlink(ctx context.Context, f *files.Symlink) (ipld.Node, error) {
	data, err := unixfs.SymlinkData(f.Target)
	if err != nil {
		return nil, err
	}
	nd := merkledag.NodeWithData(data)
	if err := nd.SetCidBuilder(a.builder); err != nil {
		return nil, err
	}
	return nd, a.out.Add(ctx, nd)
}

func (a *adder) file(path string, f files.File) (ipld.Node, error) {
	var r io.Reader = f
	if a.opts.Progress {
		r = &progressReader{from: f, tell: func(n uint64) error { return a.send(pinset.Added{Path: path, Bytes: n}) }}
	}
	split, err := chunk.FromString(r, a.opts.Chunker)
	if err != nil {
		return nil, pinset.Invalid("chunker %q: %w", a.opts.Chunker, err)
	}
	params := helpers.DagBuilderParams{
		Dagserv: a.out, Maxlinks: helpers.DefaultLinksPerBlock, RawLeaves: a.rawLeaves, CidBuilder: a.builder,
	}
	db, err := params.New(split)
	if err != nil {
		return nil, err
	}
	nd, err := balanced.Layout(db)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	return nd, nil
}

func (a *adder) emit(path string, nd ipld.Node) error {
	size, err := nd.Size()
	if err != nil {
		return err
	}
	return a.send(pinset.Added{Path: path, CID: nd.Cid(), Size: size})
}

func (a *adder) send(e pinset.Added) error {
	if !a.left && !a.yield(e, nil) {
		a.left = true
	}
	if a.left {
		return errStopped
	}
	return nil
}

// progressStep is how many bytes Kubo reads between two words on its progress.
const progressStep = 256 << 10

// progressReader tells how much was read, now and then and at the end.
type progressReader struct {
	from io.Reader
	tell func(uint64) error
	read uint64
	told uint64
	err  error // of tell
}

func (p *progressReader) Read(b []byte) (int, error) {
	if p.err != nil { // a chunker drops an error that comes with enough bytes
		return 0, p.err
	}
	n, err := p.from.Read(b)
	p.read += uint64(n)
	if p.read-p.told >= progressStep || err == io.EOF {
		p.told = p.read
		if p.err = p.tell(p.read); p.err != nil {
			return n, p.err
		}
	}
	return n, err
}
