package pinset

import "github.com/libp2p/go-libp2p/core/peer"

// Explanation is why a CID's pins are where they are.
type Explanation struct {
	CID  string         `json:"cid"`
	Pins []PinExplained `json:"pins"` // one of each owner
}

// PinExplained is the placement of one pin, and what it makes of each member.
type PinExplained struct {
	Owner   string     `json:"owner"`
	Name    string     `json:"name"`
	Min     int        `json:"replication_min"` // in force: the pin's own, or the cluster's
	Max     int        `json:"replication_max"`
	Size    uint64     `json:"size"` // bytes, 0: not known
	Tags    []string   `json:"tags,omitempty"`
	Short   int        `json:"short"`            // copies missing to the minimum
	Reason  string     `json:"reason,omitempty"` // why
	Members []RankedAt `json:"members"`          // in rank order, then those out of it
}

// RankedAt is what a member is to a pin.
type RankedAt struct {
	Rank  int     `json:"rank,omitempty"` // from 1; 0: not in line
	Peer  peer.ID `json:"peer"`
	Name  string  `json:"name"`
	Role  string  `json:"role"`            // named, binding, best effort, spare, mirror, out
	Score uint64  `json:"score,omitempty"` // what the line is ordered by, the smallest first; 0: nothing was drawn
	Lent  uint64  `json:"lent"`            // bytes
	Share float64 `json:"share"`           // of what the members in line ask for, 0..1
	Site  string  `json:"site,omitempty"`  // where one copy lies at most, region/household; "": the member alone
	Rule  string  `json:"rule"`
}
