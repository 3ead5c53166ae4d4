package ipfsnode

import (
	"context"
	"errors"
	"sync"

	ipld "github.com/ipfs/go-ipld-format"

	"github.com/pinfold/pinfold/ipfsnode/store"
	"github.com/pinfold/pinfold/pinset"
)

// Writing is slower than chunking and hashing, so several blocks are written at a
// time; a few more wait, of at most 2 MiB each.
const (
	writers     = 8
	writerQueue = 8
)

// writer takes the nodes of one root, as the importer makes them, and stores them
// in a session of their own.
type writer struct {
	ipld.DAGService // to read back, for what may ask
	ctx             context.Context
	session         *store.Session
	nodes           chan<- ipld.Node // nil: only to be hashed, or finished
	wg              sync.WaitGroup

	mu   sync.Mutex
	err  error
	size pinset.Progress // distinct blocks so far; complete after finish
}

func newWriter(ctx context.Context, n *Node, onlyHash bool) *writer {
	w := &writer{DAGService: n.dag, ctx: ctx}
	if onlyHash {
		return w
	}
	w.session = n.store.Begin()
	nodes := make(chan ipld.Node, writerQueue)
	w.nodes = nodes
	for range writers {
		w.wg.Go(func() { w.write(nodes) })
	}
	return w
}

func (w *writer) write(nodes <-chan ipld.Node) {
	for nd := range nodes {
		fresh, err := w.session.Put(w.ctx, nd)
		w.mu.Lock()
		if fresh {
			w.size.Blocks++
			w.size.Bytes += uint64(len(nd.RawData()))
		}
		if w.err == nil {
			w.err = err
		}
		w.mu.Unlock()
	}
}

func (w *writer) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Add takes a node. It may report that an earlier one could not be written.
func (w *writer) Add(_ context.Context, nd ipld.Node) error {
	if w.nodes == nil {
		return nil
	}
	if err := w.failed(); err != nil {
		return err
	}
	nd.RawData() // a node encodes itself at first use, which must not happen twice at a time
	select {
	case w.nodes <- nd:
		return nil
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}

// AddMany takes nodes, as Add does.
func (w *writer) AddMany(ctx context.Context, nds []ipld.Node) error {
	for _, nd := range nds {
		if err := w.Add(ctx, nd); err != nil {
			return err
		}
	}
	return nil
}

// finish returns when all nodes are stored. No Add may follow.
func (w *writer) finish() error {
	if w.nodes == nil {
		return nil
	}
	close(w.nodes)
	w.nodes = nil
	w.wg.Wait()
	return errors.Join(w.failed(), w.ctx.Err())
}

// close ends the session; what it stored may be collected unless it was pinned.
func (w *writer) close() {
	// An error has been returned by then, or is that of the call that failed.
	_ = w.finish()
	if w.session != nil {
		w.session.End()
	}
}
