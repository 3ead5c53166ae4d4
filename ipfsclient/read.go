package ipfsclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/boxo/path"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// ParsePath reads a CID, /ipfs/CID, or one of these with names below it, and
// returns it as /ipfs/….
func ParsePath(s string) (string, error) {
	p, err := path.NewPath(s)
	if err != nil {
		p, err = path.NewPath("/ipfs/" + s)
	}
	if err != nil {
		return "", pinset.Invalid("path %q: %v", s, err)
	}
	if p.Namespace() != path.IPFSNamespace {
		return "", pinset.Invalid("path %q: want a CID or /ipfs/CID", s)
	}
	return p.String(), nil
}

// Open implements Reader.
func (c *Client) Open(ctx context.Context, at string) (files.Node, error) {
	p, err := ParsePath(at)
	if err != nil {
		return nil, err
	}
	s, err := c.stat(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", at, err)
	}
	remote := remote{client: c, ctx: ctx, path: p}
	switch {
	case s.isSymlink():
		return remote.symlink()
	case s.Type == "file":
		return &remoteFile{remote: remote, size: int64(s.Size)}, nil
	case s.Type == "directory":
		return &remoteDir{remote: remote}, nil
	}
	return nil, pinset.Errorf(pinset.KindInvalid, "open %s: %q is neither file, directory nor link", at, s.Type)
}

type statMessage struct {
	Type, Mode           string
	Size, CumulativeSize uint64
}

// isSymlink reads the mode, Go's in octal: by type, a link is a file to Kubo.
func (m statMessage) isSymlink() bool {
	mode, err := strconv.ParseUint(m.Mode, 8, 32)
	return err == nil && os.FileMode(mode)&os.ModeSymlink != 0
}

func (c *Client) stat(ctx context.Context, p string) (statMessage, error) {
	var m statMessage
	err := c.one(ctx, call{name: "files/stat", args: args("arg", p), wait: c.cfg.Patience}, &m)
	return m, err
}

// remote is a file, directory or link at the node, opened within ctx.
type remote struct {
	client *Client
	ctx    context.Context // of Open, to which reading belongs
	path   string
}

func (remote) Mode() os.FileMode  { return 0 }
func (remote) ModTime() time.Time { return time.Time{} }

func (r remote) symlink() (files.Node, error) {
	f := &remoteFile{remote: r, size: -1}
	defer f.Close()
	target, err := io.ReadAll(io.LimitReader(f, maxMessage))
	if err != nil {
		return nil, fmt.Errorf("read link %s: %w", r.path, err)
	}
	return files.NewSymlinkFile(string(target), time.Time{}), nil
}

// remoteFile reads a file by one or more calls of cat.
type remoteFile struct {
	remote
	size int64 // -1: not known
	at   int64
	r    *reply
}

func (f *remoteFile) Size() (int64, error) { return f.size, nil }

func (f *remoteFile) Read(p []byte) (int, error) {
	if f.size >= 0 && f.at >= f.size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if f.r == nil {
		q := args("arg", f.path, "progress", "false")
		if f.at > 0 {
			q.Set("offset", strconv.FormatInt(f.at, 10))
		}
		r, err := f.client.start(f.ctx, call{name: "cat", args: q, wait: f.client.cfg.Patience})
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", f.path, err)
		}
		f.r = r
	}
	n, err := f.r.Read(p)
	f.at += int64(n)
	switch {
	case errors.Is(err, io.EOF) && f.at < f.size:
		err = unusable(ErrTorn, f.client.cfg.API, fmt.Sprintf("read %s: %d of %d bytes", f.path, f.at, f.size))
	case err != nil && !errors.Is(err, io.EOF):
		err = fmt.Errorf("read %s: %w", f.path, err)
	}
	return n, err
}

// Seek moves to another offset; the next Read asks the node anew.
func (f *remoteFile) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		if f.size < 0 {
			return 0, pinset.Invalid("seek %s: its size is not known", f.path)
		}
		offset += f.size
	}
	if offset < 0 {
		return 0, pinset.Invalid("seek %s: offset %d", f.path, offset)
	}
	if offset != f.at {
		f.drop()
		f.at = offset
	}
	return offset, nil
}

func (f *remoteFile) drop() {
	if f.r != nil {
		f.r.close()
		f.r = nil
	}
}

func (f *remoteFile) Close() error {
	f.drop()
	return nil
}

// remoteDir lists a directory as it is walked over.
type remoteDir struct {
	remote
	mu   sync.Mutex
	open []*reply
}

// Size returns the size of the directory's whole DAG, for which it asks the node.
func (d *remoteDir) Size() (int64, error) {
	s, err := d.client.stat(d.ctx, d.path)
	return int64(s.CumulativeSize), err
}

// Entries starts a walk, which ends with Close if it is not walked to its end.
func (d *remoteDir) Entries() files.DirIterator { return &remoteEntries{dir: d} }

func (d *remoteDir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.open {
		r.close()
	}
	d.open = nil
	return nil
}

type remoteEntries struct {
	dir  *remoteDir
	ls   *listing
	cur  linkMessage
	node files.Node
	err  error
}

func (it *remoteEntries) Name() string     { return it.cur.Name }
func (it *remoteEntries) Node() files.Node { return it.node }
func (it *remoteEntries) Err() error       { return it.err }

func (it *remoteEntries) Next() bool {
	if it.err != nil {
		return false
	}
	if it.ls == nil {
		ls, err := it.dir.client.list(it.dir.ctx, it.dir.path)
		if err != nil {
			it.err = err
			return false
		}
		it.dir.mu.Lock()
		it.dir.open = append(it.dir.open, ls.r)
		it.dir.mu.Unlock()
		it.ls = ls
	}
	m, err := it.ls.next()
	if err != nil {
		if !errors.Is(err, io.EOF) {
			it.err = fmt.Errorf("list %s: %w", it.dir.path, err)
		}
		it.ls.r.close()
		return false
	}
	it.cur = m
	at := remote{client: it.dir.client, ctx: it.dir.ctx, path: "/ipfs/" + m.Hash}
	switch m.Type {
	case unixfsSymlink:
		it.node = files.NewSymlinkFile(m.Target, time.Time{})
	case unixfsDirectory, unixfsShard:
		it.node = &remoteDir{remote: at}
	default:
		it.node = &remoteFile{remote: at, size: int64(m.Size)}
	}
	return true
}

// listing reads the entries of a directory.
type listing struct {
	r    *reply
	left []linkMessage
}

func (c *Client) list(ctx context.Context, p string) (*listing, error) {
	q := args("arg", p, "stream", "true", "resolve-type", "true", "size", "true")
	r, err := c.start(ctx, call{name: "ls", args: q, wait: c.cfg.Patience})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", p, err)
	}
	return &listing{r: r}, nil
}

// next returns the next entry that has a name: the links of a file have none.
func (l *listing) next() (linkMessage, error) {
	for {
		for len(l.left) == 0 {
			var m lsMessage
			if err := l.r.next(&m); err != nil {
				return linkMessage{}, err
			}
			for _, o := range m.Objects {
				l.left = append(l.left, o.Links...)
			}
		}
		m := l.left[0]
		l.left = l.left[1:]
		if _, err := m.link(); err != nil {
			return m, unusable(ErrNotIPFS, l.r.client.cfg.API, err.Error())
		}
		if m.Name != "" {
			return m, nil
		}
	}
}

// List implements Reader.
func (c *Client) List(ctx context.Context, at string) iter.Seq2[pinset.Link, error] {
	return func(yield func(pinset.Link, error) bool) {
		p, err := ParsePath(at)
		if err != nil {
			yield(pinset.Link{}, err)
			return
		}
		ls, err := c.list(ctx, p)
		if err != nil {
			yield(pinset.Link{}, err)
			return
		}
		defer ls.r.close()
		for {
			m, err := ls.next()
			if errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				yield(pinset.Link{}, fmt.Errorf("list %s: %w", at, err))
				return
			}
			link, _ := m.link() // next has seen to it
			if !yield(link, nil) {
				return
			}
		}
	}
}

// DAGSize implements Reader by dag/stat, which visits each block once.
func (c *Client) DAGSize(ctx context.Context, k cid.Cid, mode pinset.Mode) (pinset.Progress, error) {
	if mode == pinset.Direct {
		var m struct{ Size uint64 }
		q := args("arg", k.String(), "offline", "true")
		if err := c.one(ctx, call{name: "block/stat", args: q, wait: c.cfg.Silence}, &m); err != nil {
			return pinset.Progress{}, about("size of", k, err)
		}
		return pinset.Progress{Blocks: 1, Bytes: m.Size}, nil
	}
	var m struct{ UniqueBlocks, TotalSize uint64 }
	q := args("arg", k.String(), "progress", "false", "offline", "true")
	if err := c.one(ctx, call{name: "dag/stat", args: q, wait: c.cfg.Patience}, &m); err != nil {
		return pinset.Progress{}, about("size of", k, err)
	}
	return pinset.Progress{Blocks: m.UniqueBlocks, Bytes: m.TotalSize}, nil
}

// maxBlock is more than any block that IPFS nodes exchange.
const maxBlock = 4 << 20

// LocalBlock implements Reader by block/get.
func (c *Client) LocalBlock(ctx context.Context, k cid.Cid) ([]byte, error) {
	r, err := c.start(ctx, call{name: "block/get", args: args("arg", k.String(), "offline", "true"), wait: c.cfg.Silence})
	if err != nil {
		return nil, about("block", k, err)
	}
	defer r.close()
	b, err := io.ReadAll(io.LimitReader(r, maxBlock+1))
	if err == nil && len(b) > maxBlock {
		err = pinset.Invalid("more than %d bytes", maxBlock)
	}
	if err != nil {
		return nil, about("block", k, err)
	}
	return b, nil
}
