package cluster

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// Add brings dir's entries in and pins each root as template says. What is yielded
// as a root is protected here and its pin is durable. KindForbidden: this peer may
// not write pins; then nothing is read.
func (c *Cluster) Add(ctx context.Context, dir files.Directory, opts pinset.AddOptions, template pinset.Pin) iter.Seq2[pinset.Added, error] {
	return func(yield func(pinset.Added, error) bool) {
		defer dir.Close()
		if err := c.mayAdd(template); err != nil && !opts.OnlyHash {
			yield(pinset.Added{}, err)
			return
		}
		name := template.Name
		if name == "" {
			name = opts.Name
		}
		template.Name = name
		mark := ""
		if !opts.OnlyHash {
			mark = c.parts.Keeper.MarkName(name)
		}
		a := adding{c: c, opts: opts, template: template, mark: mark, began: c.cfg.Now()}
		for e, err := range c.base.Node.Add(ctx, dir, opts, mark) {
			if err != nil {
				yield(pinset.Added{}, err)
				return
			}
			if !a.take(ctx, e, yield) {
				return
			}
		}
		a.flush(ctx, yield)
	}
}

// mayAdd tells before anything is read whether the pins could be written.
func (c *Cluster) mayAdd(template pinset.Pin) error {
	if err := c.mayWrite(); err != nil {
		return err
	}
	template.CID = placeholder
	template.Normalise()
	return c.checkPin(template, c.cfg.Now())
}

// placeholder is the CID of a pin that is checked before it is known: the empty raw block.
var placeholder = cid.NewCidV1(cid.Raw, []byte{0x00, 0x00})

// adding collects roots, so that many small files share one delta.
type adding struct {
	c        *Cluster
	opts     pinset.AddOptions
	template pinset.Pin
	mark     string
	began    time.Time

	held  []pinset.Added // roots, and what came after the first of them
	ops   []Op
	since time.Time // of the first in held
}

const (
	addGroup = 256                    // roots in one delta
	addWait  = 200 * time.Millisecond // that a root is held back for others
)

// take passes on what is no root, in order, and protects what is. It says whether
// to go on.
func (a *adding) take(ctx context.Context, e pinset.Added, yield func(pinset.Added, error) bool) bool {
	root := a.isRoot(e)
	if root {
		op, err := a.protect(ctx, e)
		if err != nil {
			yield(pinset.Added{}, err)
			return false
		}
		if len(a.held) == 0 {
			a.since = a.c.cfg.Now()
		}
		if op.Value != nil {
			a.ops = append(a.ops, op)
		}
	}
	if !root && len(a.held) == 0 {
		return yield(e, nil)
	}
	a.held = append(a.held, e)
	if len(a.ops) >= addGroup || len(a.held) >= 4*addGroup || a.c.cfg.Now().Sub(a.since) >= addWait {
		return a.flush(ctx, yield)
	}
	return true
}

// isRoot says whether an entry is one that gets a pin.
func (a *adding) isRoot(e pinset.Added) bool {
	switch {
	case !e.CID.Defined() || a.opts.OnlyHash:
		return false
	case a.opts.Wrap:
		return e.Path == ""
	}
	return !strings.Contains(e.Path, "/")
}

// protect makes the copy that the node has just pinned stay, and returns the
// change that pins it in the cluster.
func (a *adding) protect(ctx context.Context, e pinset.Added) (Op, error) {
	p := a.template
	p.CID, p.Mode = e.CID, pinset.Recursive
	// What came without a name has its CID for a path: that is no name.
	if p.Name == "" && len(e.Path) <= pinset.MaxName && e.Path != e.CID.String() {
		p.Name = e.Path
	}
	p.Size = a.measure(ctx, e.CID)
	if err := a.c.parts.Keeper.Protect(ctx, e.CID, a.mark, max(p.Size, e.Size)); err != nil {
		return Op{}, err
	}
	op, _, err := a.c.pinOp(ctx, p)
	return op, err
}

// measure returns the bytes of the distinct blocks if they can be counted in a
// small part of the time that adding took; else 0, and the tracker counts later.
func (a *adding) measure(ctx context.Context, k cid.Cid) uint64 {
	ctx, cancel := context.WithTimeout(ctx, max(50*time.Millisecond, a.c.cfg.Now().Sub(a.began)/20))
	defer cancel()
	p, err := a.c.base.Node.DAGSize(ctx, k, pinset.Recursive)
	if err != nil {
		return 0
	}
	return p.Bytes
}

// flush makes the pins durable and then yields what was held back.
func (a *adding) flush(ctx context.Context, yield func(pinset.Added, error) bool) bool {
	if len(a.ops) > 0 {
		if _, err := a.c.base.State.Commit(ctx, a.ops...); err != nil {
			yield(pinset.Added{}, err)
			return false
		}
	}
	held := a.held
	a.held, a.ops = nil, nil
	for _, e := range held {
		if !yield(e, nil) {
			return false
		}
	}
	return true
}

// Open opens a file or directory at /ipfs/CID with names below it. The IPFS nodes
// of those who hold it are connected meanwhile.
func (c *Cluster) Open(ctx context.Context, path string) (files.Node, error) {
	c.approach(ctx, path)
	return c.base.Node.Open(ctx, path)
}

// List yields the entries of a directory at /ipfs/CID with names below it.
func (c *Cluster) List(ctx context.Context, path string) iter.Seq2[pinset.Link, error] {
	return func(yield func(pinset.Link, error) bool) {
		c.approach(ctx, path)
		for l, err := range c.base.Node.List(ctx, path) {
			if !yield(l, err) {
				return
			}
		}
	}
}

// approach begins to connect the IPFS nodes of those who hold what a path begins
// with, unless it is here. A path that cannot be read is left to the IPFS node,
// which says what is wrong with it.
func (c *Cluster) approach(ctx context.Context, path string) {
	name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(path, "/ipfs"), "/"), "/")
	k, err := cid.Decode(name)
	if err != nil {
		return
	}
	if l, err := c.parts.Tracker.Local(ctx, k); err == nil && l.Status == pinset.StatusPinned && l.Mode == pinset.Recursive {
		return
	}
	c.beside(ctx, func(ctx context.Context) { c.ConnectHolders(ctx, k, c.likely(ctx, k)) })
}

// likely is who shall hold a CID; none for what lies below some pin.
func (c *Cluster) likely(ctx context.Context, k cid.Cid) []peer.ID {
	cl, err := c.claimAt(ctx, k)
	if err != nil {
		return nil // then members that can be reached are tried
	}
	return append(cl.holders, cl.extra...)
}

// GC collects the garbage of this peer's IPFS node and yields what went. What is
// pinned, and so all that the cluster counts on, stays.
func (c *Cluster) GC(ctx context.Context) iter.Seq2[cid.Cid, error] { return c.base.Node.GC(ctx) }
