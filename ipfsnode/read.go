package ipfsnode

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"strings"
	"sync"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	unixfile "github.com/ipfs/boxo/ipld/unixfs/file"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/boxo/path"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/pinfold/pinfold/ipfsnode/store"
	"github.com/pinfold/pinfold/pinset"
)

// Open returns the UnixFS file, directory or symlink at /ipfs/CID/a/b (or CID/a/b).
// What is not here is fetched from connected nodes, when it is read; ctx covers the
// reading too. KindNotFound: the path leads nowhere; KindInvalid: it is no path, or
// not UnixFS.
func (n *Node) Open(ctx context.Context, path string) (files.Node, error) {
	dag := n.reader(ctx)
	nd, err := resolve(ctx, dag, path)
	if err != nil {
		return nil, err
	}
	f, err := unixfile.NewUnixfsFile(ctx, dag, nd)
	if err != nil {
		return nil, pinset.Wrap(pinset.KindInvalid, err, "open %s", path)
	}
	return f, nil
}

// List yields the entries of the directory at path, which may be a sharded one; of a file, nothing.
func (n *Node) List(ctx context.Context, path string) iter.Seq2[pinset.Link, error] {
	return func(yield func(pinset.Link, error) bool) {
		if err := n.list(ctx, path, yield); err != nil && !errors.Is(err, errStopped) {
			yield(pinset.Link{}, err)
		}
	}
}

var errStopped = errors.New("stopped")

func (n *Node) list(ctx context.Context, path string, yield func(pinset.Link, error) bool) error {
	var ahead sync.WaitGroup
	defer ahead.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dag := n.reader(ctx)
	nd, err := resolve(ctx, dag, path)
	if err != nil {
		return err
	}
	dir, err := uio.NewDirectoryFromNode(dag, nd)
	if errors.Is(err, uio.ErrNotADir) {
		return nil
	}
	if err != nil {
		return pinset.Wrap(pinset.KindInvalid, err, "list %s", path)
	}
	for next := range describeAll(ctx, &ahead, dag, dir.EnumLinksAsync(ctx)) {
		l, err := next()
		if err != nil {
			return fmt.Errorf("list %s: %w", path, err)
		}
		if !yield(l, nil) {
			return errStopped
		}
	}
	return ctx.Err()
}

// describeAhead is how many entries of a directory are looked at ahead of the one
// that is yielded: each may have to be fetched.
const describeAhead = 16

// describeAll gives, for each link in its turn, a function that waits for what was
// found out. It ends with ctx; wg has what it started.
func describeAll(ctx context.Context, wg *sync.WaitGroup, dag ipld.NodeGetter, links <-chan unixfs.LinkResult) <-chan func() (pinset.Link, error) {
	out := make(chan func() (pinset.Link, error), describeAhead)
	wg.Go(func() {
		defer close(out)
		for r := range links {
			look := sync.OnceValues(func() (pinset.Link, error) {
				if r.Err != nil {
					return pinset.Link{}, r.Err
				}
				return describe(ctx, dag, r.Link)
			})
			select {
			case out <- look:
				if r.Err == nil && r.Link.Cid.Type() == cid.DagProtobuf {
					wg.Go(func() { _, _ = look() }) // whoever takes it from the channel gets its outcome
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return out
}

// describe finds out what a directory's entry is.
func describe(ctx context.Context, dag ipld.NodeGetter, l *ipld.Link) (pinset.Link, error) {
	out := pinset.Link{Name: l.Name, CID: l.Cid, Size: l.Size}
	if l.Cid.Type() != cid.DagProtobuf {
		return out, nil
	}
	nd, err := dag.Get(ctx, l.Cid)
	if err != nil {
		return out, fmt.Errorf("entry %q: %w", l.Name, err)
	}
	pn, ok := nd.(*merkledag.ProtoNode)
	if !ok {
		return out, nil
	}
	fsn, err := unixfs.FSNodeFromBytes(pn.Data())
	if err != nil {
		return out, nil // dag-pb that is not UnixFS
	}
	if out.Dir = fsn.IsDir(); !out.Dir {
		out.Size = fsn.FileSize()
	}
	return out, nil
}

// reader is the DAG as one caller reads it: the blocks it asks peers for are related.
func (n *Node) reader(ctx context.Context) ipld.DAGService {
	return merkledag.NewReadOnlyDagService(merkledag.NewSession(ctx, n.dag))
}

func resolve(ctx context.Context, dag ipld.DAGService, text string) (ipld.Node, error) {
	if !strings.HasPrefix(text, "/") {
		text = "/ipfs/" + text
	}
	p, err := path.NewPath(text)
	if err != nil {
		return nil, pinset.Wrap(pinset.KindInvalid, err, "path %s", text)
	}
	ip, err := path.NewImmutablePath(p)
	if err != nil {
		return nil, pinset.Wrap(pinset.KindInvalid, err, "path %s", text)
	}
	if err := checkHash(ip.RootCid()); err != nil {
		return nil, err
	}
	nd, err := dag.Get(ctx, ip.RootCid())
	for rest := ip.Segments()[2:]; err == nil && len(rest) > 0; {
		nd, rest, err = step(ctx, dag, nd, rest)
	}
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", text, err)
	}
	return nd, nil
}

// step follows the first names of a path from a node to the next one.
func step(ctx context.Context, dag ipld.DAGService, nd ipld.Node, names []string) (ipld.Node, []string, error) {
	dir, err := uio.NewDirectoryFromNode(dag, nd)
	if err == nil {
		next, err := dir.Find(ctx, names[0])
		if errors.Is(err, os.ErrNotExist) {
			err = pinset.NotFound("no link named %q under %s", names[0], nd.Cid())
		}
		return next, names[1:], err
	}
	link, rest, err := nd.ResolveLink(names)
	if err != nil || link == nil {
		return nil, nil, pinset.NotFound("no link named %q under %s", names[0], nd.Cid())
	}
	next, err := dag.Get(ctx, link.Cid)
	return next, rest, err
}

// DAGSize counts the distinct blocks of a DAG (or one block) and their bytes, from
// what is on disk. KindNotFound: something of it is not.
func (n *Node) DAGSize(ctx context.Context, c cid.Cid, mode pinset.Mode) (pinset.Progress, error) {
	set := store.NewSeen(n.tmp)
	defer set.Close()
	var sum pinset.Progress
	w := walk{
		workers: localWorkers(),
		tmp:     n.tmp,
		note: func(c cid.Cid) (bool, bool, error) {
			fresh, descend, err := set.Add(c)
			return fresh, descend && mode == pinset.Recursive, err
		},
		load: n.local,
		found: func(size int) {
			sum.Blocks++
			sum.Bytes += uint64(size)
		},
	}
	err := w.run(ctx, c)
	if isNotFound(err) {
		err = pinset.Wrap(pinset.KindNotFound, err, "size of %s", c)
	}
	if err != nil {
		return pinset.Progress{}, err
	}
	return sum, nil
}

// LocalBlock returns a block that is on disk. KindNotFound: it is not.
func (n *Node) LocalBlock(ctx context.Context, c cid.Cid) ([]byte, error) {
	if err := checkHash(c); err != nil {
		return nil, err
	}
	data, err := n.store.Get(ctx, c)
	if isNotFound(err) {
		err = pinset.Wrap(pinset.KindNotFound, err, "block %s", c)
	}
	return data, err
}
