package ipfsclienttest

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	unixfile "github.com/ipfs/boxo/ipld/unixfs/file"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/pinfold/pinfold/pinset"
)

// Open implements ipfsclient.Reader.
func (f *Fake) Open(ctx context.Context, at string) (node files.Node, err error) {
	err = f.do(ctx, Call{Op: OpOpen, Path: at}, func() error {
		n, err := f.resolve(ctx, at)
		if err != nil {
			return err
		}
		node, err = unixfile.NewUnixfsFile(ctx, f.dag().online, n)
		return err
	})
	return node, err
}

// resolve walks from a CID along the names of a path.
func (f *Fake) resolve(ctx context.Context, at string) (ipld.Node, error) {
	names := strings.FieldsFunc(strings.TrimPrefix(at, "/ipfs/"), func(r rune) bool { return r == '/' })
	if len(names) == 0 {
		return nil, pinset.Invalid("path %q (fake): no CID", at)
	}
	c, err := cid.Decode(names[0])
	if err != nil {
		return nil, pinset.Invalid("path %q (fake): %v", at, err)
	}
	n, err := f.dag().online.Get(ctx, c)
	for _, name := range names[1:] {
		if err != nil {
			break
		}
		var d uio.Directory
		if d, err = uio.NewDirectoryFromNode(f.dag().online, n); err == nil {
			n, err = d.Find(ctx, name)
		}
		if err != nil && context.Cause(ctx) == nil {
			return nil, pinset.NotFound("path %q (fake): no %q: %w", at, name, err)
		}
	}
	if e := context.Cause(ctx); e != nil {
		return nil, ended(Call{Op: "resolve"}, e)
	}
	return n, err
}

// List implements ipfsclient.Reader.
func (f *Fake) List(ctx context.Context, at string) iter.Seq2[pinset.Link, error] {
	return func(yield func(pinset.Link, error) bool) {
		err := f.do(ctx, Call{Op: OpList, Path: at}, func() error {
			n, err := f.resolve(ctx, at)
			if err != nil {
				return err
			}
			d, err := uio.NewDirectoryFromNode(f.dag().online, n)
			if errors.Is(err, uio.ErrNotADir) {
				return nil
			} else if err != nil {
				return err
			}
			return d.ForEachLink(ctx, func(l *ipld.Link) error {
				entry, err := f.entry(ctx, l)
				if err == nil && !yield(entry, nil) {
					err = errLeft
				}
				return err
			})
		})
		if err != nil && !errors.Is(err, errLeft) {
			yield(pinset.Link{}, err)
		}
	}
}

func (f *Fake) entry(ctx context.Context, l *ipld.Link) (pinset.Link, error) {
	out := pinset.Link{Name: l.Name, CID: l.Cid, Size: l.Size}
	n, err := f.dag().online.Get(ctx, l.Cid)
	if err != nil {
		return out, err
	}
	p, ok := n.(*merkledag.ProtoNode)
	if !ok {
		out.Size = uint64(len(n.RawData()))
		return out, nil
	}
	u, err := unixfs.FSNodeFromBytes(p.Data())
	if err != nil {
		return out, err
	}
	out.Dir = u.IsDir()
	if !out.Dir {
		out.Size = u.FileSize()
	}
	return out, nil
}

// DAGSize implements ipfsclient.Reader.
func (f *Fake) DAGSize(ctx context.Context, c cid.Cid, mode pinset.Mode) (size pinset.Progress, err error) {
	err = f.do(ctx, Call{Op: OpDAGSize, CID: c, Mode: mode}, func() (err error) {
		size, err = f.dagSize(ctx, c, mode)
		return err
	})
	return size, err
}

func (f *Fake) dagSize(ctx context.Context, c cid.Cid, mode pinset.Mode) (pinset.Progress, error) {
	f.mu.Lock()
	p, ok := f.pins[c]
	f.mu.Unlock()
	if ok && p.imagined && !p.lost {
		return pinset.Progress{Blocks: uint64(p.count), Bytes: p.bytes}, nil
	}
	here := f.dag().here
	var size pinset.Progress
	count := func(n ipld.Node) {
		size.Blocks++
		size.Bytes += uint64(len(n.RawData()))
	}
	links := func(ctx context.Context, c cid.Cid) ([]*ipld.Link, error) {
		n, err := here.Get(ctx, c)
		if err != nil {
			return nil, err
		}
		count(n)
		if mode == pinset.Direct {
			return nil, nil
		}
		return n.Links(), nil
	}
	err := merkledag.Walk(ctx, links, c, cid.NewSet().Visit)
	switch {
	case ipld.IsNotFound(err):
		return size, pinset.NotFound("size of %s (fake): %w", c, err)
	case err != nil && context.Cause(ctx) != nil:
		return size, ended(Call{Op: OpDAGSize}, context.Cause(ctx))
	}
	return size, err
}

// LocalBlock implements ipfsclient.Reader. What is imagined has no bytes.
func (f *Fake) LocalBlock(ctx context.Context, c cid.Cid) (data []byte, err error) {
	err = f.do(ctx, Call{Op: OpBlock, CID: c}, func() error {
		b, err := f.local(c)
		if ipld.IsNotFound(err) {
			return pinset.NotFound("block %s (fake): %w", c, err)
		}
		if err == nil {
			data = b.RawData()
		}
		return err
	})
	return data, err
}

// errLeft says inside an iterator that its loop was left.
var errLeft = errors.New("loop left")

// RepoStat implements ipfsclient.Storage.
func (f *Fake) RepoStat(ctx context.Context) (stat pinset.RepoStat, err error) {
	err = f.do(ctx, Call{Op: OpRepoStat}, func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		stat = pinset.RepoStat{Used: f.usedLocked(), Max: f.cfg.Max}
		if taken := stat.Used + f.others.Load(); f.cfg.Disk > taken {
			stat.Free = f.cfg.Disk - taken
		}
		return nil
	})
	return stat, err
}

// GC implements ipfsclient.Storage. Imagined DAGs come out as one CID each.
func (f *Fake) GC(ctx context.Context) iter.Seq2[cid.Cid, error] {
	return func(yield func(cid.Cid, error) bool) {
		var removed []cid.Cid
		err := f.do(ctx, Call{Op: OpGC}, func() (err error) {
			removed, err = f.sweep(ctx)
			return err
		})
		for _, c := range removed {
			if !yield(c, nil) {
				return
			}
		}
		if err != nil {
			yield(cid.Undef, err)
		}
	}
}

func (f *Fake) sweep(ctx context.Context) ([]cid.Cid, error) {
	if err := f.storage.enter(ctx, alone); err != nil {
		return nil, ended(Call{Op: OpGC}, err)
	}
	defer f.storage.leave()
	var removed []cid.Cid
	f.mu.Lock()
	for c, n := range f.waste {
		f.weight.Add(-n)
		removed = append(removed, c)
	}
	clear(f.waste)
	b := f.blocks
	f.mu.Unlock()
	if b == nil {
		return removed, nil
	}
	keep, err := f.mark(ctx, b)
	if err != nil {
		return removed, err
	}
	all, err := b.store.AllKeysChan(ctx)
	if err != nil {
		return removed, err
	}
	var doomed []cid.Cid
	for c := range all {
		if !keep[string(c.Hash())] {
			doomed = append(doomed, c)
		}
	}
	for _, c := range doomed {
		if err := b.store.DeleteBlock(ctx, c); err != nil {
			return removed, err
		}
		removed = append(removed, c)
	}
	return removed, nil
}

// mark returns the multihashes of all blocks that a pin holds.
func (f *Fake) mark(ctx context.Context, b *content) (map[string]bool, error) {
	keep := map[string]bool{}
	links := merkledag.GetLinksDirect(b.here)
	for _, c := range f.pinnedCIDs() {
		f.mu.Lock()
		p := f.pins[c]
		f.mu.Unlock()
		if p.imagined || p.lost {
			continue
		}
		if p.mode == pinset.Direct {
			keep[string(c.Hash())] = true
			continue
		}
		set := cid.NewSet()
		if err := merkledag.Walk(ctx, links, c, set.Visit); err != nil {
			return nil, err
		}
		for _, k := range set.Keys() {
			keep[string(k.Hash())] = true
		}
	}
	return keep, nil
}

// gate lets many in together or one alone, like a sync.RWMutex, but waits by
// channel: within a context, and so that a synctest bubble's time goes on.
type gate struct {
	mu     sync.Mutex
	inside int
	alone  bool
	left   chan struct{} // closed when someone leaves; nil when nobody waits
}

const (
	together = false
	alone    = true
)

func (g *gate) enter(ctx context.Context, alone bool) error {
	for {
		g.mu.Lock()
		if g.inside == 0 || !g.alone && !alone {
			g.inside++
			g.alone = alone
			g.mu.Unlock()
			return nil
		}
		if g.left == nil {
			g.left = make(chan struct{})
		}
		left := g.left
		g.mu.Unlock()
		select {
		case <-left:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.left != nil {
		close(g.left)
		g.left = nil
	}
}
