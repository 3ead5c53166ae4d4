package pinset

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// SignedReceipt is a document that says who holds a CID and shows it to whoever has
// nothing but the document. Claims are for people: they must be what Signed says.
type SignedReceipt struct {
	Format string `json:"format"` // ReceiptFormat
	Claims Claims `json:"claims"`
	Signed []byte `json:"signed"` // in base64; see docs/protocol.md
}

// ReceiptFormat is what a SignedReceipt calls itself.
const ReceiptFormat = "pinfold-receipt/1"

// Claims are what a receipt says.
type Claims struct {
	CID        string    `json:"cid"`
	Cluster    string    `json:"cluster"` // its id
	Name       string    `json:"name"`    // and its name
	At         time.Time `json:"at"`      // when it was issued, by the issuer's clock
	Issuer     peer.ID   `json:"issuer"`
	IssuerName string    `json:"issuer_name"`
	Membership string    `json:"membership"` // its digest, in hex
	Members    int       `json:"members"`
	Needed     int       `json:"needed"` // copies that the pins ask for
	Pins       []Claimed `json:"pins"`   // in the order of their keys
	Holders    []Holder  `json:"holders"`
}

// Claimed is one owner's pin of the CID, and the change that made it.
type Claimed struct {
	Owner  string  `json:"owner,omitempty"`
	Name   string  `json:"name,omitempty"`
	Mode   string  `json:"mode"` // recursive, direct
	Author peer.ID `json:"author"`
	Seq    uint64  `json:"seq"`
}

// Holder is a member that signed that it holds the CID.
type Holder struct {
	Peer      peer.ID   `json:"peer"`
	Name      string    `json:"name"`
	Since     time.Time `json:"since"`     // of the first of its statements that says so
	Said      time.Time `json:"said"`      // of the latest one
	Statement uint64    `json:"statement"` // its number
}

// ReceiptCheck is what a receipt was found to be worth.
type ReceiptCheck struct {
	Claims Claims   `json:"claims"`
	Valid  bool     `json:"valid"`
	Faults []string `json:"faults"` // what does not hold
	Notes  []string `json:"notes"`  // what rests on somebody's word
}
