package httpproxy

import (
	"context"
	"io"
	"iter"
	"net/http"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// The roles below are called from many goroutines at once. A sequence is ranged
// over once, and ends early when the client goes away.

// Pinset is the replicated set of pins. A change that is answered is durable;
// doing it twice is doing it once.
type Pinset interface {
	Pin(ctx context.Context, p pinset.Pin) (pinset.Pin, pinset.Receipt, error)
	// Unpin and PinOf: KindNotFound when this owner has no such pin. Unpin:
	// KindRefused when too much would go at once.
	Unpin(ctx context.Context, r pinset.Removal) (pinset.Pin, pinset.Receipt, error)
	PinOf(ctx context.Context, c cid.Cid, owner string) (pinset.Pin, error)
}

// Statuses say where data is. With local, only this peer is asked.
type Statuses interface {
	Status(ctx context.Context, c cid.Cid, local bool) (pinset.Summary, error)
	StatusAll(ctx context.Context, local bool) iter.Seq2[pinset.Summary, error]
}

// Members are what the peers of the cluster are together, as they last said: nobody
// is asked, so that clusters attached to each other do not ask in circles.
type Members interface {
	Capacity(ctx context.Context) (pinset.Capacity, error)
	Agreement(ctx context.Context) (pinset.Agreement, error)
}

// Data is what is kept. A path is /ipfs/CID with names below it.
type Data interface {
	// Add brings dir's entries in and pins each as template says, while it is
	// ranged over.
	Add(ctx context.Context, dir files.Directory, opts pinset.AddOptions, template pinset.Pin) iter.Seq2[pinset.Added, error]
	// Adopt keeps DAGs that this peer's IPFS node has just taken in, and pins each
	// as template says: they are protected here, and their pins durable, when it
	// returns.
	Adopt(ctx context.Context, template pinset.Pin, roots ...pinset.Added) error
	Open(ctx context.Context, path string) (files.Node, error)
	List(ctx context.Context, path string) iter.Seq2[pinset.Link, error]
	GC(ctx context.Context) iter.Seq2[cid.Cid, error]
}

// Node is this peer's IPFS node, Kubo or embedded.
type Node interface {
	Identity(ctx context.Context) (pinset.NodeID, error)
	// DAGSize counts what is here of a DAG: KindNotFound says that a block is missing.
	DAGSize(ctx context.Context, c cid.Cid, mode pinset.Mode) (pinset.Progress, error)
	Connect(ctx context.Context, addrs ...string) error
}

// Kubo takes calls as they are.
type Kubo interface {
	// Forward sends a call to the node and returns its answer, whatever its status;
	// the caller closes it. The body is read until the answer is closed.
	Forward(ctx context.Context, call Forward) (*http.Response, error)
}

// Forward is a call to send on.
type Forward struct {
	Name   string // "block/get"
	Query  string
	Header http.Header
	Body   io.Reader // nil: none
}

// Blocks are those of the embedded node.
type Blocks interface {
	// Block returns a block, which is fetched if it is not here.
	Block(ctx context.Context, c cid.Cid) ([]byte, error)
	// Resolve returns the CID of the last block on a path.
	Resolve(ctx context.Context, path string) (cid.Cid, error)
	// PutBlock keeps a block, unless garbage is collected before it is pinned.
	PutBlock(ctx context.Context, c cid.Cid, data []byte) error
	// Connected are the nodes it is connected to: addresses that end in /p2p/.
	Connected(ctx context.Context) []string
	// Links are the CIDs that a block links to, with their names and sizes.
	Links(ctx context.Context, c cid.Cid) ([]pinset.Link, error)
}
