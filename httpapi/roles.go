package httpapi

import (
	"context"
	"iter"
	"net"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/guard"
	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

// The roles below are called from many goroutines at once. A sequence is ranged
// over once; the range ends early when the client goes away. Errors carry a
// pinset.Kind, which becomes the HTTP status.

// Pinset is the replicated set of pins. A change that is answered is durable.
type Pinset interface {
	// Pin adds or replaces one owner's pin. Doing it twice is doing it once.
	Pin(ctx context.Context, p pinset.Pin) (pinset.Pin, pinset.Receipt, error)
	// Unpin removes one owner's pin and returns what it was. KindNotFound: this
	// owner has none. KindRefused: too much would go at once.
	Unpin(ctx context.Context, r pinset.Removal) (pinset.Pin, pinset.Receipt, error)
	PinOf(ctx context.Context, c cid.Cid, owner string) (pinset.Pin, error)
	// Pins yields all owners' pins in the order of their keys.
	Pins(ctx context.Context) iter.Seq2[pinset.Pin, error]
}

// Statuses say where data is. With local, only this peer is asked.
type Statuses interface {
	Status(ctx context.Context, c cid.Cid, local bool) (pinset.Summary, error)
	StatusAll(ctx context.Context, local bool) iter.Seq2[pinset.Summary, error]
	// Recover tries again at once what failed.
	Recover(ctx context.Context, c cid.Cid) (pinset.Summary, error)
	RecoverAll(ctx context.Context) error
	Agreement(ctx context.Context) (pinset.Agreement, error)
}

// Members are the peers of the cluster.
type Members interface {
	Self(ctx context.Context) (pinset.Peer, error)
	Peers(ctx context.Context) iter.Seq2[pinset.Peer, error]
	Invite(ctx context.Context) (pinset.Invite, error)
	Leave(ctx context.Context) error
	// Capacity is what the members together lend, hold and can keep.
	Capacity(ctx context.Context) (pinset.Capacity, error)
}

// Data is what is kept. A path is /ipfs/CID with names below it.
type Data interface {
	// Add brings dir's entries in and pins each as template says. It reads dir
	// while it is ranged over, and nothing of it afterwards.
	Add(ctx context.Context, dir files.Directory, opts pinset.AddOptions, template pinset.Pin) iter.Seq2[pinset.Added, error]
	Open(ctx context.Context, path string) (files.Node, error)
	List(ctx context.Context, path string) iter.Seq2[pinset.Link, error]
	// GC collects the garbage of this peer's IPFS node and yields what went.
	GC(ctx context.Context) iter.Seq2[cid.Cid, error]
}

// Health tells the faults that are present now, the worst first.
type Health interface {
	Health(ctx context.Context) []pinset.HealthEntry
}

// Ruling changes what members do and may do, while they run. KindForbidden: this
// peer is no admin and it is not about itself.
type Ruling interface {
	// Drain has a member hand over what it holds and take nothing new.
	Drain(ctx context.Context, id peer.ID) error
	Undrain(ctx context.Context, id peer.ID) error
	SetRole(ctx context.Context, id peer.ID, role string) error
	// Replace puts a member in the place of another, which drains.
	Replace(ctx context.Context, old, by peer.ID) error
}

// Policy is what the admins rule for everyone.
type Policy interface {
	Policy(ctx context.Context) ([]pinset.Rule, error)
	// SetPolicy changes keys of it, all or none.
	SetPolicy(ctx context.Context, rules map[string]string) error
}

// Past is what the pinset was, and how it came together.
type Past interface {
	// Removed yields removed pins that can be restored, the latest first.
	Removed(ctx context.Context, f pinset.RemovedFilter) iter.Seq2[pinset.Removed, error]
	// Restore pins them again and yields each when it is durable.
	Restore(ctx context.Context, f pinset.RemovedFilter) iter.Seq2[pinset.Pin, error]
	// Merges are what came together after members were apart, the latest first.
	Merges(ctx context.Context) ([]pinset.Merge, error)
}

// Spread tells how far a change has got: the number of members, this one
// included, whose latest word covers it.
type Spread interface {
	Seen(ctx context.Context, r pinset.Receipt) (int, error)
}

// Cluster is one cluster that this daemon is a member of.
type Cluster struct {
	ID, Name string
	Pinset   Pinset
	Statuses Statuses
	Members  Members
	Data     Data
	Health   Health
	Ruling   Ruling
	Policy   Policy
	Past     Past
	Transfer Transfer

	// What a cluster need not offer; nil is answered with KindConflict, but for
	// Allocate: lists then go without allocations.
	Spread    Spread
	Mirrors   Mirrors
	Foresight Foresight
	State     State
	Audit     Audit
	Allocate  func(pinset.Pin) []peer.ID // holders in rank order
	Remove    func(context.Context, peer.ID) error
	Dial      func(context.Context, peer.ID) (net.Conn, error) // to a member's IPFS-shaped door
	// Queue tells what runs and waits at this peer, at most so many of what waits.
	Queue func(ctx context.Context, most int) (pinset.Queue, error)
	// TakeOver makes the pin that the owner of this peer's IPFS node has of a CID the
	// cluster's, if there is one.
	TakeOver func(context.Context, cid.Cid) error
}

// Setting is one key of the daemon's configuration.
type Setting = dialect.Setting

// Daemon is the process behind the API.
type Daemon interface {
	// Cluster is the one in force, which joining replaces. KindUnavailable: it is
	// not up yet, or not any more.
	Cluster(ctx context.Context) (*Cluster, error)
	// Join leaves the present cluster for the invite's, and returns when this peer
	// is a member there. give is in bytes, 0 for what is configured.
	Join(ctx context.Context, invite, name string, give uint64) error
	Settings
	Fetching
	Tokens
}

// Settings are the daemon's configuration.
type Settings interface {
	Config(ctx context.Context) ([]Setting, error)
	// Set puts settings in force that a running daemon takes, all or none, and
	// keeps them; it warns of what is done and may not be meant.
	Set(ctx context.Context, settings map[string]string) (warnings []string, err error)
}

// Fetching is what the daemon begins to fetch for its clusters.
type Fetching interface {
	// Pause begins no fetch for a time, 0: until Resume.
	Pause(ctx context.Context, d time.Duration) error
	Resume(ctx context.Context) error
}

// What a token allows, and who knows it.
type (
	Grant     = guard.Grant
	Authorise = guard.Authorise
)
