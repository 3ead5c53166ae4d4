package pinset

import (
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Status is the state of one CID at one peer. The names are those that users of
// ipfs-cluster know, and a few that tell more.
type Status uint8

const (
	StatusUndefined    Status = iota
	StatusPinned              // the IPFS node confirmed that it holds it
	StatusPinning             // being fetched
	StatusQueued              // waits for its turn to be fetched
	StatusWaiting             // nobody was found who provides it; tried again, slowly
	StatusPinError            // fetching failed; tried again
	StatusRefused             // over this peer's lent disk or traffic, or an owner's pin is in the way
	StatusUnpinning           // being let go
	StatusUnpinQueued         // waits for its turn to be let go
	StatusUnpinError          // letting go failed; tried again
	StatusUnexpected          // was pinned here, and the IPFS node no longer has it
	StatusRemote              // other members hold it
	StatusUnpinned            // not in the pinset and not here
	StatusClusterError        // the peer did not answer
)

// Name returns the status as it stands in the API.
func (s Status) String() string {
	switch s {
	case StatusPinned:
		return "pinned"
	case StatusPinning:
		return "pinning"
	case StatusQueued:
		return "pin_queued"
	case StatusWaiting:
		return "waiting_for_provider"
	case StatusPinError:
		return "pin_error"
	case StatusRefused:
		return "refused"
	case StatusUnpinning:
		return "unpinning"
	case StatusUnpinQueued:
		return "unpin_queued"
	case StatusUnpinError:
		return "unpin_error"
	case StatusUnexpected:
		return "unexpectedly_unpinned"
	case StatusRemote:
		return "remote"
	case StatusUnpinned:
		return "unpinned"
	case StatusClusterError:
		return "cluster_error"
	}
	return "undefined"
}

// ParseStatus reads what String wrote.
func ParseStatus(name string) (Status, error) {
	for s := StatusUndefined; s <= StatusClusterError; s++ {
		if s.String() == name {
			return s, nil
		}
	}
	return 0, Invalid("status %q: want one of pinned, pinning, pin_queued, waiting_for_provider, pin_error, refused, "+
		"unpinning, unpin_queued, unpin_error, unexpectedly_unpinned, remote, unpinned, cluster_error", name)
}

// Progress of one pin: what the IPFS node has fetched so far.
type Progress struct {
	Blocks uint64
	Bytes  uint64
}

// Local is what one peer knows of one CID at itself.
type Local struct {
	CID      cid.Cid
	Mode     Mode
	Status   Status
	Since    time.Time // when this status began
	Progress Progress
	Size     uint64 // bytes of the distinct blocks, 0: not known yet
	Attempts int    // failed ones since the last success
	Retry    time.Time
	Error    string // why, where Status is an error, a refusal or a wait
	Interim  bool   // held only until the assigned members have it
	Borrowed bool   // it is the pin of the IPFS node's owner, which serves us too
}

// Holding is a Local at a named peer, as others see it.
type Holding struct {
	Local
	Peer     peer.ID
	Name     string        // the member's display name
	IPFS     peer.ID       // its IPFS node
	Age      time.Duration // of this knowledge: 0 when the peer itself answered just now
	Assigned bool          // allocation names this peer for the CID
	Binding  bool          // and its copy counts towards the minimum
}

// Summary is everything known of one CID in the cluster.
type Summary struct {
	CID        cid.Cid
	Pins       []Pin     // every owner's
	Allocation []peer.ID // in rank order
	Holdings   []Holding // one for each member asked
	Want       Replication
	Copies     int       // members at which it is pinned, as far as known
	Short      int       // copies missing to the minimum
	Reason     string    // why those meant to have one cannot make some at all, also where others stand in; "" where they only take time
	Since      time.Time // since when Short is not 0, where that is known
}

// Receipt says what an acknowledged change became: durable on this peer's disk
// and merged here when it is returned.
type Receipt struct {
	Author peer.ID
	Seq    uint64  // the author's, strictly rising by one
	Head   cid.Cid // the delta
}
