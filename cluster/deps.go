package cluster

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// The roles below are called from many goroutines at once. Calls with a context
// end with it.

// Pins reads the replicated pinset. Errors have a pinset.Kind; KindNotFound where
// one pin was asked for that is not there.
type Pins interface {
	Pin(ctx context.Context, c cid.Cid, owner string) (pinset.Pin, error)
	PinsOf(ctx context.Context, c cid.Cid) ([]pinset.Pin, error)
	// Pins yields the pins after a key, in the order of keys.
	Pins(ctx context.Context, after string) iter.Seq2[pinset.Pin, error]
	// Size returns what members published as the size of a CID in bytes, 0: nothing.
	Size(ctx context.Context, c cid.Cid) (uint64, error)
}

// Op is a change of the replicated state: a nil Value removes the key.
type Op struct {
	Key   string
	Value []byte
}

// Deltas writes the replicated state and knows who wrote what.
type Deltas interface {
	// Commit returns when the change is durable and merged here. After an error it
	// may still happen; repeating it is harmless.
	Commit(ctx context.Context, ops ...Op) (pinset.Receipt, error)
	// Origin names the delta that a key's value is from.
	Origin(ctx context.Context, key string) (author peer.ID, seq uint64, err error)
	Vector() map[peer.ID]uint64
	// Sync returns when all that Vector names has reached the disk.
	Sync(ctx context.Context) error
	// SizeOp is the change that publishes the size of a CID.
	SizeOp(c cid.Cid, bytes uint64) Op
}

// Standing is what the replicated state says of the cluster as a whole.
type Standing interface {
	Authority() *identity.Authority // cheap
	Summary() Summary
}

// Summary of the state here.
type Summary struct {
	Count  uint64   // live pins
	Digest [32]byte // of all live keys
}

// State is the replicated state.
type State interface {
	Pins
	Deltas
	Standing
	History
}

// Changes of the state since the last ones.
type Changes struct {
	CIDs      []cid.Cid // whose pins changed
	Rescan    bool      // too many to name
	Authority bool      // members, roles or policy changed
}

// Feed waits for changes; it coalesces and loses nothing. An error while ctx
// lives ends the cluster.
type Feed interface {
	Next(ctx context.Context) (Changes, error)
}

// Network connects the members.
type Network interface {
	Addrs() []ma.Multiaddr
	Peers() []PeerState
	// Ask sends a question to a connected member and yields the frames of its
	// answer. An error ends it.
	Ask(ctx context.Context, to peer.ID, question []byte) iter.Seq2[[]byte, error]
	// Share tells the others this peer's new statement. It never waits.
	Share(statement []byte)
}

// PeerState is what the network knows of a member.
type PeerState struct {
	ID        peer.ID
	Connected bool
	LastHeard time.Time // zero: not since the start
	Addrs     []ma.Multiaddr
	Heads     []cid.Cid // of its state, as it said last
	Count     uint64
	Digest    [32]byte
	Statement uint64 // seq of its latest statement, as it says
	Error     string // of the last attempt to reach it
	Sync      string // a transfer of deltas that runs now, for people, or ""
}

// Tracker keeps this peer's IPFS node at its allocation.
type Tracker interface {
	Local(ctx context.Context, c cid.Cid) (pinset.Local, error)
	// All yields what is, shall be or was to be here, in the order of the pinset's keys.
	All(ctx context.Context) iter.Seq2[pinset.Local, error]
	Recover(ctx context.Context, c cid.Cid) error
	RecoverAll(ctx context.Context) error
}

// Keeper protects what is added and reports what is held.
type Keeper interface {
	// Protect makes a copy that was just pinned here under MarkName stay until the
	// statements of enough holders cover it.
	Protect(ctx context.Context, c cid.Cid, pinName string, size uint64) error
	MarkName(name string) string
	Report() Report
	Usage() Usage
}

// Report is what this peer can put its name to.
type Report struct {
	Ready      bool               // the rest means something
	Version    uint64             // rises with every change of the report
	View       [32]byte           // digest of the membership it is about
	Vector     map[peer.ID]uint64 // of each author, the changes that were looked at
	Items      uint64             // assigned and held
	Bytes      uint64             // of them
	Missing    int                // assigned and not held
	Need       uint64             // bytes of those, as far as known
	Exceptions iter.Seq[cid.Cid]  // the missing ones
	Refused    uint64             // of them those that are refused
}

// Usage of this peer's IPFS node.
type Usage struct {
	Used, Queued uint64 // bytes of what pinfold placed; items that wait
	Traffic      string // how the limits of its line stand; "": there are none
}

// Adder is the IPFS node's role of that name; see ipfsclient.Adder.
type Adder interface {
	Add(ctx context.Context, dir files.Directory, opts pinset.AddOptions, pinName string) iter.Seq2[pinset.Added, error]
	PinAdded(ctx context.Context, root cid.Cid, pinName string) error
}

// Reader is the IPFS node's role of that name; see ipfsclient.Reader.
type Reader interface {
	Open(ctx context.Context, path string) (files.Node, error)
	List(ctx context.Context, path string) iter.Seq2[pinset.Link, error]
	DAGSize(ctx context.Context, c cid.Cid, mode pinset.Mode) (pinset.Progress, error)
	LocalBlock(ctx context.Context, c cid.Cid) ([]byte, error)
	GC(ctx context.Context) iter.Seq2[cid.Cid, error]
}

// Swarm is the IPFS node's role of that name; see ipfsclient.Swarm.
type Swarm interface {
	Identity(ctx context.Context) (pinset.NodeID, error)
	Connect(ctx context.Context, addrs ...string) error
}

// Node is this peer's IPFS node.
type Node interface {
	Adder
	Reader
	Swarm
}

// Health is a neighbour that knows of faults.
type Health interface{ Health() []pinset.HealthEntry }

// Config of a cluster. Zero durations take the default named with them.
type Config struct {
	Key      identity.Key
	Secret   identity.Secret
	Founding *identity.Founding
	Version  string // of the program, told to other members

	AskTime    time.Duration // for a short question to a member; 5s
	StreamTime time.Duration // for a long answer; 10m
	NodeTime   time.Duration // for a call to the IPFS node that moves no data; 15s
	Lately     time.Duration // within which a member counts as heard; 90s
	Outage     time.Duration // of a member, that moves nothing; at least Lately; 10m
	SayEvery   time.Duration // at most one statement in this time; 2s
	SizeEvery  time.Duration // at most one delta of sizes in this time; 5s
	ExpirySlot time.Duration // between the turns of members to unpin what expired; 10m

	Now func() time.Time // nil: time.Now

	Log *slog.Logger
}

// Base is what Members needs.
type Base struct {
	State State
	Node  Node
	Store ds.Datastore // small: the others' latest statements and addresses
}

// Parts are what Cluster joins.
type Parts struct {
	Network Network
	Tracker Tracker
	Keeper  Keeper
	Feed    Feed
	Faults  []Health // of state, network, tracker, IPFS node

	Exchange func() *pinset.Exchange // of the IPFS node, as it was last known; nil: it does not know
}

func (c Config) withDefaults() Config {
	dur := func(v *time.Duration, def time.Duration) {
		if *v <= 0 {
			*v = def
		}
	}
	dur(&c.AskTime, 5*time.Second)
	dur(&c.StreamTime, 10*time.Minute)
	dur(&c.NodeTime, 15*time.Second)
	dur(&c.Lately, 90*time.Second)
	dur(&c.Outage, 10*time.Minute)
	c.Outage = max(c.Outage, c.Lately)
	dur(&c.SayEvery, 2*time.Second)
	dur(&c.SizeEvery, 5*time.Second)
	dur(&c.ExpirySlot, 10*time.Minute)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Log = c.Log.With("component", "cluster")
	return c
}
