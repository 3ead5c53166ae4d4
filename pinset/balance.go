package pinset

import "github.com/libp2p/go-libp2p/core/peer"

// Balance is how evenly the members are filled, and why not more so.
type Balance struct {
	Members []Fill   `json:"members"` // the fullest first
	Spread  Spread   `json:"spread"`
	Usable  []Usable `json:"usable"` // Before and After are one
	Pins    uint64   `json:"pins"`
	Bytes   uint64   `json:"bytes"`
	Unsized uint64   `json:"unsized"` // pins of unknown size, which are counted nowhere
	Limits  []Limit  `json:"limits"`  // the gravest first; none: as even as it can be
}

// Fill is how full a member is.
type Fill struct {
	Peer     peer.ID `json:"peer"`
	Name     string  `json:"name"`
	Site     string  `json:"site,omitempty"`
	Role     string  `json:"role,omitempty"` // where it takes no share: mirror, observer, draining
	Lent     uint64  `json:"lent"`           // bytes
	Assigned Amount  `json:"assigned"`       // what shall be there
	Used     uint64  `json:"used"`           // bytes, as it says
	Fill     float64 `json:"fill"`           // Assigned.Bytes of Lent
	Of       float64 `json:"of_used"`        // Used of Lent
}

// Spread of Fill over the members that take a share.
type Spread struct {
	Least  float64 `json:"least"`
	Mean   float64 `json:"mean"` // all bytes assigned of all bytes lent
	Most   float64 `json:"most"`
	Points float64 `json:"points"` // Most less Least, in percent
}

// Limit is something that keeps the members from being filled evenly.
type Limit struct {
	Code  string `json:"code"` // stable, "site-too-large"
	Title string `json:"title"`
	Do    string `json:"do,omitempty"` // what would help, best a command
}
