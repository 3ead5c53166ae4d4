package pinset

import (
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// NodePin is a root pin that an IPFS node reports: never an indirect one.
type NodePin struct {
	CID  cid.Cid
	Mode Mode
	Name string // the IPFS node's own name for the pin; carries pinfold's mark
}

// RepoStat is the disk of an IPFS node, in bytes.
type RepoStat struct {
	Used uint64 // by its blocks
	Max  uint64 // its own configured limit, 0: none
	Free uint64 // on the file system it lies on, 0: not known (another machine)
}

// NodeID is who an IPFS node is.
type NodeID struct {
	Peer      peer.ID
	Addresses []string // multiaddresses, with or without /p2p/
	Agent     string   // "kubo/0.42.0/…"
}

// AddOptions of bringing files in. They default to Kubo's, and the same options
// give the same CID as `ipfs add`.
type AddOptions struct {
	CIDVersion int    // 0 or 1
	RawLeaves  *bool  // nil: Kubo's default (true for version 1)
	Chunker    string // "" is size-262144
	Wrap       bool   // in a directory
	Hidden     bool
	Progress   bool   // report bytes read of each file
	Name       string // of the pin
	OnlyHash   bool
}

// Added is one file or directory brought in, or progress on it (CID undefined,
// Bytes read so far).
type Added struct {
	Path  string
	CID   cid.Cid
	Size  uint64 // cumulative size of its DAG as UnixFS counts it
	Bytes uint64
}

// Peer is what is known of one member.
type Peer struct {
	ID         peer.ID
	Name       string
	Self       bool
	Connected  bool
	Addresses  []string
	IPFS       NodeID
	IPFSError  string
	Version    string
	State      string // active, draining
	Role       string // admin, writer, keeper, observer
	Tags       []string
	Domains    []string // coarse to fine
	Lent       uint64   // bytes
	InPerDay   uint64   // bytes a day that it takes in, 0: no limit
	Traffic    string   // how the limits of its line stand, as it says; "": there are none
	Used       uint64   // bytes, as it says
	Phi        uint32   // 0..65536
	LastHeard  time.Time
	Pins       uint64    // live pins it knows
	Agrees     bool      // its digest of the pinset is ours
	Queued     uint64    // items waiting at it
	Share      uint32    // of what all lend, in hundredths of a percent
	Behind     uint64    // changes that it has not said it knows; 0 where it agrees, or has never spoken
	Twins      []peer.ID // other members on its IPFS node: their copies are one
	Error      string
	JoinedSync string // progress of a first sync under way, or ""

	Exchange *Exchange // of its IPFS node; only of this peer, nil: not known
}

// PinOptions of a pin at an IPFS node.
type PinOptions struct {
	Mode     Mode
	Name     string         // the IPFS node's name for the pin
	Progress func(Progress) // called as blocks arrive; may be nil

	// Received is called before Progress with the bytes that came from other nodes
	// since the call; may be nil. A node that cannot tell them from what it had takes
	// all that is beyond Had for them.
	Received func(bytes uint64)
	Had      uint64 // bytes of the DAG that came here before, as far as the caller knows
}

// Link is an entry of a directory, as `ls` shows it.
type Link struct {
	Name string
	CID  cid.Cid
	Size uint64 // of the file's content; of a directory's DAG
	Dir  bool
}

// Invite is what `pinfold invite` gives out. It is a secret.
type Invite struct {
	Text      string
	Addresses []TestedAddress
}

// TestedAddress is an address of an invite and what a connection to it found.
type TestedAddress struct {
	Address string
	Public  bool   // not private, loopback or link-local
	Error   string // "" when it answered
}

// Severity of a health entry.
type Severity string

const (
	SeverityInfo    Severity = "info"
	SeverityWarning Severity = "warning" // degraded, heals itself or can wait
	SeverityError   Severity = "error"   // someone must act
)

// HealthEntry is a fault that is present now: visible until it is over.
type HealthEntry struct {
	Code     string    `json:"code"` // stable, "ipfs-away"
	Severity Severity  `json:"severity"`
	Title    string    `json:"title"` // one line
	Detail   string    `json:"detail,omitempty"`
	Do       string    `json:"do,omitempty"` // what to do, best a command
	Since    time.Time `json:"since,omitzero"`
}

// Agreement is how far the members whose word was heard agree on the pinset.
type Agreement struct {
	Members int       // in the membership set
	Heard   int       // of them lately, this peer included
	Agree   int       // of them with this peer's digest
	Behind  []peer.ID // heard, with another digest
	Silent  []peer.ID // not heard lately
	Count   uint64    // live pins here
	Digest  string    // of the live pinset here, hex
	Sides   []Side    // the first is this peer's, and stands alone where all are heard and agree
	Sync    string    // progress of changes that are being fetched now, for people, or ""
}

// Side is members that say the same of the pinset, or that are not heard.
type Side struct {
	Members []peer.ID
	Heard   bool      // lately; if not, what follows is what they said last
	Since   time.Time // from when on they differ, or were not heard; zero for this peer's side
	Count   uint64    // live pins
	Digest  string    // hex; "" where they are not heard
	Lacks   uint64    // changes known to this peer that one of them has not said it knows
	Unknown uint64    // changes at their end that have not come to this peer, each with what is below it
}

// Rule is one key of a cluster's policy, as people read and write it.
type Rule struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	Doc   string `json:"doc"`
}

// Capacity is what the members together lend, hold and can keep, in bytes. Members
// on one IPFS node are counted once.
type Capacity struct {
	Members int
	Lent    uint64 // by active members
	Used    uint64 // as they said last
	Usable  []Fit
	Shared  [][]peer.ID // members on one IPFS node; the one that counts first
}

// Fit is how much data fits with so many copies, on distinct homes or regions
// where there are enough.
type Fit struct {
	Replication int    `json:"replication"`
	Bytes       uint64 `json:"bytes"`
}

// Exchange is the bytes of blocks that an IPFS node got from others and gave to
// them, since this process began.
type Exchange struct {
	FromMembers uint64 `json:"from_members"` // of their IPFS nodes
	FromOthers  uint64 `json:"from_others"`
	ToMembers   uint64 `json:"to_members"`
	ToOthers    uint64 `json:"to_others"`
}
