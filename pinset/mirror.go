package pinset

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// MirrorAll as what is mirrored is the whole pinset.
const MirrorAll = "*"

// Mirror is a member's wish to hold, beside its holders, what another member
// holds, and how far it has got.
type Mirror struct {
	Peer   peer.ID `json:"peer"` // who mirrors
	Name   string  `json:"name"`
	Self   bool    `json:"self,omitempty"`
	Of     string  `json:"of"`             // the mirrored member's id, or MirrorAll
	OfName string  `json:"of_name"`        // "" of MirrorAll and of who is no member any more
	Idle   string  `json:"idle,omitempty"` // why it gets nothing by the wish, or ""

	Pins    uint64    `json:"pins"`              // that the wish is about
	Bytes   uint64    `json:"bytes"`             // of them, where the size is known
	Unsized uint64    `json:"unsized,omitempty"` // pins of unknown size
	Behind  uint64    `json:"behind"`            // pins that are not there, as far as Heard tells
	Missing uint64    `json:"missing_bytes"`     // of those
	Changed time.Time `json:"changed,omitzero"`  // when the newest of the pins was made
	Heard   time.Time `json:"heard,omitzero"`    // how new Behind is; zero: it has never said what it holds
}
