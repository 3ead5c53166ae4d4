package tracker

import (
	"context"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/pinset"
)

// Config of a tracker. A zero duration or number takes the default named with it.
type Config struct {
	Self    peer.ID
	Cluster string // id of the cluster: its own part of the ledger
	Mark    string // 16 characters of this daemon's peer id: all its clusters share them

	Lent    func() uint64 // bytes this cluster may use, asked again and again
	Reserve uint64        // bytes of the file system that stay free

	Concurrency int           // fetches that move data at one time, about; 16
	Patience    time.Duration // without progress, then a fetch leaves its slot; 3s, spread by a quarter
	Waiting     int           // slots for fetches that wait for a provider; 32
	WaitingTime time.Duration // without progress in such a slot, then it is tried again later; 1m, a sixth of it when more wait than there are slots
	Sweep       time.Duration // between comparisons with the IPFS node; 1h
	Recheck     time.Duration // between looks at whether others cover a copy; 1m
	CallTime    time.Duration // for a call that moves no data; 30s

	Grace func() time.Duration // that a copy outlives its cover, asked again and again; nil: 24h

	Log *slog.Logger
}

// State is the replicated pinset. Reading it is safe from many goroutines.
type State interface {
	// PinsOf returns all owners' pins of c, whatever version it is spelled in.
	PinsOf(ctx context.Context, c cid.Cid) ([]pinset.Pin, error)
	// Pins streams all pins after a key, in the order of their keys.
	Pins(ctx context.Context, after string) iter.Seq2[pinset.Pin, error]
	// Size returns the bytes of c's distinct blocks as members found them, 0: not known.
	Size(ctx context.Context, c cid.Cid) (uint64, error)
	// Vector returns, for each author, up to which of its changes the state has them.
	Vector() map[peer.ID]uint64
}

// Changes of the state since the last ones: the CIDs whose pins changed, or Rescan
// when they are too many to name. With them the state is at Vector or later.
type Changes struct {
	CIDs   []cid.Cid
	Rescan bool
	Vector map[peer.ID]uint64
}

// Feed waits for changes. It coalesces, keeps what nobody asked for, and loses
// nothing. An error while ctx lives ends the tracker.
type Feed interface {
	Next(ctx context.Context) (Changes, error)
}

// Views is the allocation under the present membership.
type Views interface {
	// View returns the same view as long as neither members nor policy change, and
	// is never behind what State.Vector or a Feed told before the call.
	View() *allocation.View
	// Changed returns a channel that delivers or closes when View may have changed
	// since the call. It is asked for anew each time.
	Changed() <-chan struct{}
}

// Coverage is what other members say.
type Coverage interface {
	// Covered says whether the latest statement of a member covers the pin: it was
	// made with the pin known and does not except it.
	Covered(ctx context.Context, p pinset.Pin, by peer.ID) bool
	// Said says whether it does so but for the membership, which may have been
	// another when it was made.
	Said(ctx context.Context, p pinset.Pin, by peer.ID) bool
}

// Absence is who cannot be reached. It has no part in who shall hold what.
type Absence interface {
	// Away returns the members that were not heard for longer than an outage that
	// moves nothing, and those of them that are away for so long that it counts also
	// for what they hold. The maps do not change; changed is closed when they are no
	// longer right.
	Away() (away, long map[peer.ID]bool, changed <-chan struct{})
}

// allHere is the absence of nobody.
type allHere struct{}

func (allHere) Away() (away, long map[peer.ID]bool, changed <-chan struct{}) { return nil, nil, nil }

// Pinner is the IPFS node's role of that name; see ipfsclient.Pinner.
type Pinner interface {
	Pin(ctx context.Context, c cid.Cid, opts pinset.PinOptions) error
	Unpin(ctx context.Context, c cid.Cid, mode pinset.Mode) error
	PinOf(ctx context.Context, c cid.Cid) (pinset.NodePin, error)
	Pins(ctx context.Context) iter.Seq2[pinset.NodePin, error]
}

// Disk is what the tracker asks about space; see ipfsclient.Reader and Storage.
type Disk interface {
	DAGSize(ctx context.Context, c cid.Cid, mode pinset.Mode) (pinset.Progress, error)
	RepoStat(ctx context.Context) (pinset.RepoStat, error)
}

// Node is the IPFS node.
type Node interface {
	Pinner
	Disk
}

// Connector brings the IPFS node into contact with others before a fetch. It is
// called beside the fetch, may take as long as the fetch does, and keeps its own
// errors.
type Connector interface {
	ConnectHolders(ctx context.Context, c cid.Cid, holders []peer.ID)
}

// Sizes takes the size of a DAG that was found here: bytes of its distinct
// blocks. Rank is this member's place in the allocation (0 is the first) as far as
// is known now. It must not block.
type Sizes interface {
	Found(c cid.Cid, bytes uint64, rank int)
}

// Turns lets the clusters of one daemon look and act at one CID of their IPFS
// node one after the other. The zero value is ready; all trackers of a daemon
// share one.
type Turns struct {
	stripes  [1024]sync.Mutex
	mu       sync.Mutex
	clusters []string // that have a ledger, sorted
}

func (t *Turns) take(k key) (release func()) {
	m := &t.stripes[k.stripe()]
	m.Lock()
	return m.Unlock
}

// meet makes clusters known to all that share t.
func (t *Turns) meet(clusters ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := append(slices.Clone(t.clusters), clusters...)
	slices.Sort(all)
	t.clusters = slices.Compact(all)
}

// known returns the clusters that have a ledger. The slice is not changed.
func (t *Turns) known() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.clusters
}

// Deps are the tracker's neighbours. Absence, Connector, Sizes, Turns, Traffic and
// Caught may be nil.
type Deps struct {
	State     State
	Feed      Feed
	Views     Views
	Node      Node
	Coverage  Coverage
	Absence   Absence
	Connector Connector
	Sizes     Sizes
	Turns     *Turns
	Traffic   *Traffic    // shared by the daemon's clusters
	Ledger    ds.Batching // shared by the daemon's clusters

	// Caught is closed when State has all that it ever had here. A member that comes
	// back has a ledger already, and at first no pins.
	Caught <-chan struct{}
}

func (c Config) withDefaults() Config {
	num := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	dur := func(v *time.Duration, def time.Duration) {
		if *v <= 0 {
			*v = def
		}
	}
	num(&c.Concurrency, 16)
	num(&c.Waiting, 32)
	dur(&c.Patience, 3*time.Second)
	dur(&c.WaitingTime, time.Minute)
	dur(&c.Sweep, time.Hour)
	dur(&c.Recheck, time.Minute)
	dur(&c.CallTime, 30*time.Second)
	if c.Grace == nil {
		c.Grace = func() time.Duration { return 24 * time.Hour }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Log = c.Log.With("component", "tracker")
	return c
}

// Validate says what is missing or impossible.
func (c Config) Validate() error {
	switch {
	case c.Self == "":
		return pinset.Invalid("tracker: no peer id")
	case c.Cluster == "":
		return pinset.Invalid("tracker: no cluster id")
	case len(c.Mark) != markLen:
		return pinset.Invalid("tracker: mark %q: want %d characters", c.Mark, markLen)
	case c.Lent == nil:
		return pinset.Invalid("tracker: no limit on the lent bytes")
	}
	return nil
}
