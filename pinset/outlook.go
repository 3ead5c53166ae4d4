package pinset

import "github.com/libp2p/go-libp2p/core/peer"

// Amount is a number of copies and their bytes, where sizes are known.
type Amount struct {
	Copies uint64 `json:"copies"`
	Bytes  uint64 `json:"bytes"`
}

// Outlook is what a change of the membership or the policy would do to the pinset
// as it is now.
type Outlook struct {
	If       []string    `json:"if"`
	Pins     uint64      `json:"pins"`
	Bytes    uint64      `json:"bytes"`   // of all pins, where sizes are known
	Unsized  uint64      `json:"unsized"` // pins of unknown size
	Moved    Amount      `json:"moved"`   // copies to be made at members that had none
	Least    Amount      `json:"least"`   // the least that any placement would have to move
	Members  []Prospect  `json:"members"`
	Short    BeforeAfter `json:"short"` // pins that can never have their minimum
	Thin     uint64      `json:"thin"`  // pins below their minimum for a while, if who leaves goes at once
	Lost     uint64      `json:"lost"`  // of them those of which no copy would be left
	Below    []BelowMin  `json:"below"` // the first of those
	Usable   []Usable    `json:"usable"`
	Warnings []string    `json:"warnings"`
}

// BeforeAfter is a number before and after a change.
type BeforeAfter struct {
	Before uint64 `json:"before"`
	After  uint64 `json:"after"`
}

// Prospect is what a change means for one member.
type Prospect struct {
	Peer   peer.ID     `json:"peer,omitempty"` // "": would join
	Name   string      `json:"name"`
	Site   string      `json:"site,omitempty"` // region/household
	Lent   BeforeAfter `json:"lent"`           // bytes
	Before Amount      `json:"before"`         // assigned to it
	After  Amount      `json:"after"`
	In     Amount      `json:"in"`             // copies to be made there
	Out    Amount      `json:"out"`            // copies that go from there
	Note   string      `json:"note,omitempty"` // joins, leaves, would be over what it lends
}

// BelowMin is a pin that would lack copies.
type BelowMin struct {
	CID    string `json:"cid"`
	Short  int    `json:"short"` // copies missing for good
	Reason string `json:"reason,omitempty"`
}

// Usable is the most data of which so many copies fit.
type Usable struct {
	Copies int         `json:"copies"`
	Bytes  BeforeAfter `json:"bytes"`
}
