package ipfsclient

import (
	"context"
	"iter"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// All roles are safe for concurrent use. Every method returns soon after its
// context ends, with an error that wraps the context's. An iterator does its work
// while it is ranged over, stops when the loop is left, may be ranged over once,
// and yields at most one error, as its last element. Errors of kind
// pinset.KindUnavailable mean that the node is away (it may be back later),
// KindTimeout that what was asked may still have happened; both may be retried:
// every method is idempotent unless it says otherwise.

// Pinner changes and lists the root pins of an IPFS node. Pins are of CIDs as
// they are spelled: version 0 and version 1 of one multihash are two pins.
type Pinner interface {
	// Pin fetches what is missing, for as long as ctx allows, and pins it under
	// opts.Name, replacing the name of an equal pin. A direct pin becomes recursive
	// when asked; a recursive one asked to be direct is KindConflict. Whoever must
	// not touch somebody else's pin looks first. opts.Progress is called from one
	// goroutine, with rising counts of distinct blocks; the last call before a nil
	// return has the whole DAG.
	Pin(ctx context.Context, c cid.Cid, opts pinset.PinOptions) error

	// Unpin removes the pin of c; one that is not there is no error. Mode Recursive
	// removes a pin of either mode, Direct only a direct one (KindConflict for a
	// recursive one). The data stays until garbage is collected.
	Unpin(ctx context.Context, c cid.Cid, mode pinset.Mode) error

	// PinOf returns the root pin of c. KindNotFound: there is none, even if c is
	// pinned indirectly as part of another DAG. It costs no walk over any DAG.
	PinOf(ctx context.Context, c cid.Cid) (pinset.NodePin, error)

	// Pins lists all root pins, direct and recursive, in no order. Pins that change
	// meanwhile may be missing or appear twice.
	Pins(ctx context.Context) iter.Seq2[pinset.NodePin, error]
}

// Adder brings files in.
type Adder interface {
	// Add imports every entry of dir as `ipfs add` does, so that equal options give
	// equal CIDs, and yields entries as they are finished: children before their
	// directory, and with opts.Wrap the wrapping directory last, under the path "".
	// An entry of dir is never hidden, its descendants with a dot are unless
	// opts.Hidden (see Visible). With a pinName each root is pinned recursively under
	// it and its blocks are synced to disk before its element is yielded; a recursive
	// pin of the root that is there already stays as it is, its name included (see
	// PinOf), and a direct one of another name is KindConflict. Without a pinName, or
	// with opts.OnlyHash, nothing is pinned. Add reads dir once and closes it, and
	// returns when it is no longer read, whatever happens to ctx. Leaving the loop
	// early cancels; blocks that came in stay until garbage is collected.
	Add(ctx context.Context, dir files.Directory, opts pinset.AddOptions, pinName string) iter.Seq2[pinset.Added, error]

	// PinAdded pins a root that was brought in by another way, by Add's rules for
	// pins that are there already.
	PinAdded(ctx context.Context, root cid.Cid, pinName string) error
}

// Reader reads data. A path is a CID or /ipfs/CID, with names below it. What is
// not on the node is fetched, for as long as ctx allows.
type Reader interface {
	// Open returns the file, directory or symbolic link at path. Content is read
	// when it is asked for, within ctx; a file is an io.Seeker. The caller closes it.
	// KindNotFound: there is no such name, KindInvalid: no such path.
	Open(ctx context.Context, path string) (files.Node, error)

	// List yields the entries of the directory at path; of a file, nothing. The size
	// of a directory may be 0, not known.
	List(ctx context.Context, path string) iter.Seq2[pinset.Link, error]

	// DAGSize counts the distinct blocks under c that are here, and their bytes;
	// for mode Direct, that of c alone. It asks no network: KindNotFound says that a
	// block is missing. It reads every block.
	DAGSize(ctx context.Context, c cid.Cid, mode pinset.Mode) (pinset.Progress, error)

	// LocalBlock returns the bytes of one block that is here. It asks no network:
	// KindNotFound says that it is not.
	LocalBlock(ctx context.Context, c cid.Cid) ([]byte, error)
}

// Storage is the node's disk.
type Storage interface {
	RepoStat(ctx context.Context) (pinset.RepoStat, error)

	// GC removes all blocks that no pin holds, and yields their CIDs (as the store
	// spells them: version 1, raw codec, whatever they were). It blocks pins and
	// adds for its duration.
	GC(ctx context.Context) iter.Seq2[cid.Cid, error]
}

// Swarm is the node among other IPFS nodes.
type Swarm interface {
	Identity(ctx context.Context) (pinset.NodeID, error)

	// Sign returns the signature of the node's key over data, after the words that
	// `ipfs key sign` puts before it. KindUnavailable and others: it gives none.
	Sign(ctx context.Context, data []byte) ([]byte, error)

	// Connect dials a node at multiaddresses that end in /p2p/ and its id, all of
	// one id. It succeeds when one of them answers.
	Connect(ctx context.Context, addrs ...string) error
}

// Exchanger is a node that knows what came from whom. Not all do.
type Exchanger interface {
	// Exchanged tells how many bytes of blocks were exchanged with the IPFS nodes
	// of friends, and with all others, since the first call or later.
	Exchanged(ctx context.Context, friends []peer.ID) (pinset.Exchange, error)
}

// Node is an IPFS node, in all its roles.
type Node interface {
	Pinner
	Adder
	Reader
	Storage
	Swarm
}
