package pinset

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Audit is what members promised under their signature, and whether they keep it,
// as far as their kept statements tell.
type Audit struct {
	From    time.Time     `json:"from"`
	At      time.Time     `json:"at"`
	Pins    uint64        `json:"pins"`
	Broken  int           `json:"broken"` // members that break a promise, or are proven to lie
	Members []AuditedPeer `json:"members"`
	Lost    []LostPromise `json:"lost"` // the first of them
	Tests   []Challenge   `json:"challenges"`
}

// AuditedPeer is one member's account. Pins are counted, of each CID those of all
// its owners.
type AuditedPeer struct {
	Peer     peer.ID     `json:"peer"`
	Name     string      `json:"name"`
	Heard    bool        `json:"heard"`    // lately
	Said     time.Time   `json:"said"`     // its latest statement; zero: none
	Kept     int         `json:"kept"`     // statements kept here
	Since    time.Time   `json:"since"`    // of the first of them
	Assigned uint64      `json:"assigned"` // by the allocation in force
	Promised uint64      `json:"promised"` // of them it said once that it holds them
	Held     uint64      `json:"held"`     // and says so now
	Bytes    uint64      `json:"bytes"`    // of these, where sizes are known
	Lost     uint64      `json:"lost"`     // and says now that it does not
	Repaired uint64      `json:"repaired"` // lost in the time looked at, and held again
	Missing  uint64      `json:"missing"`  // it says that it does not have them yet
	Unsaid   uint64      `json:"unsaid"`   // it has not spoken since they were pinned or the membership changed
	Refused  uint64      `json:"refused"`  // of what it misses: no room, or an owner's pin is in the way
	Lacking  time.Time   `json:"lacking"`  // since when it has not had everything; zero: it has
	Failed   int         `json:"failed"`   // challenges that it could not meet
	Flaws    []ChainFlaw `json:"flaws"`    // of its chain of statements
}

// Broken says whether it breaks a promise or is proven to lie.
func (p *AuditedPeer) Broken() bool {
	for _, f := range p.Flaws {
		if f.Proof {
			return true
		}
	}
	return p.Lost > 0 || p.Failed > 0
}

// ChainFlaw is what is wrong with a chain of statements.
type ChainFlaw struct {
	Kind   string    `json:"kind"` // fork, broken, gap, clock
	Seq    uint64    `json:"seq"`
	At     time.Time `json:"at"`
	Proof  bool      `json:"proof"` // of a lie, or of a directory that was put back
	Detail string    `json:"detail"`
}

// LostPromise is a pin that a member said it holds, and holds no more.
type LostPromise struct {
	CID      string    `json:"cid"`
	Pin      string    `json:"pin,omitempty"` // its name
	Owner    string    `json:"owner,omitempty"`
	Peer     peer.ID   `json:"peer"`
	Name     string    `json:"name"`
	Promised time.Time `json:"promised"`
	Lost     time.Time `json:"lost"`
}

// Challenge is a test whether a member has blocks of what it says it holds.
type Challenge struct {
	CID    string  `json:"cid"`
	Peer   peer.ID `json:"peer"`
	Name   string  `json:"name"`
	Blocks int     `json:"blocks"` // asked about
	Met    bool    `json:"met"`
	Away   bool    `json:"away,omitempty"` // not answered: proves nothing
	Error  string  `json:"error,omitempty"`
}
