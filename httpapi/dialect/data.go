package dialect

import (
	"time"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// Added is a file brought in, or progress on one (cid null): ipfs-cluster's
// AddedOutput.
type Added struct {
	Name  string  `json:"name"`
	CID   *string `json:"cid"`
	Bytes uint64  `json:"bytes,omitempty"`
	Size  uint64  `json:"size,omitempty"`
}

// NewAdded gives an Added its JSON form.
func NewAdded(a pinset.Added) Added {
	o := Added{Name: a.Path, Bytes: a.Bytes, Size: a.Size}
	if a.CID.Defined() {
		s := a.CID.String()
		o.CID = &s
	}
	return o
}

// Value is the inverse of NewAdded.
func (o Added) Value() (pinset.Added, error) {
	a := pinset.Added{Path: o.Name, Bytes: o.Bytes, Size: o.Size}
	if o.CID == nil {
		return a, nil
	}
	var err error
	a.CID, err = cid.Decode(*o.CID)
	return a, pinset.Wrap(pinset.KindInternal, err, "read what was added")
}

// Link is a directory's entry.
type Link struct {
	Name string `json:"name"`
	CID  string `json:"cid"`
	Size uint64 `json:"size"`
	Dir  bool   `json:"dir,omitempty"`
}

// NewLink gives a Link its JSON form.
func NewLink(l pinset.Link) Link {
	return Link{Name: l.Name, CID: l.CID.String(), Size: l.Size, Dir: l.Dir}
}

// Value is the inverse of NewLink.
func (o Link) Value() (pinset.Link, error) {
	c, err := cid.Decode(o.CID)
	return pinset.Link{Name: o.Name, CID: c, Size: o.Size, Dir: o.Dir}, pinset.Wrap(pinset.KindInternal, err, "read a directory's entry")
}

// Collected is a block that garbage collection removed: an entry of
// ipfs-cluster's RepoGC.
type Collected struct {
	Key   string `json:"key,omitempty"`
	Error string `json:"error,omitempty"`
}

// Invite is an invitation; it is a secret.
type Invite struct {
	Text      string          `json:"invite"`
	Addresses []TestedAddress `json:"addresses"`
}

// TestedAddress is an address of an invitation and what a connection to it found.
type TestedAddress struct {
	Address string `json:"address"`
	Public  bool   `json:"public"`
	Error   string `json:"error,omitempty"`
}

// NewInvite gives an invite its JSON form.
func NewInvite(i pinset.Invite) Invite {
	o := Invite{Text: i.Text, Addresses: []TestedAddress{}}
	for _, a := range i.Addresses {
		o.Addresses = append(o.Addresses, TestedAddress(a))
	}
	return o
}

// Value is the inverse of NewInvite.
func (o Invite) Value() pinset.Invite {
	i := pinset.Invite{Text: o.Text}
	for _, a := range o.Addresses {
		i.Addresses = append(i.Addresses, pinset.TestedAddress(a))
	}
	return i
}

// Join is the body of POST /cluster/join.
type Join struct {
	Invite string `json:"invite"`
	Name   string `json:"name"`
	Give   uint64 `json:"give"` // bytes; 0: as it is configured
}

// Version is what this peer runs.
type Version struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Software string `json:"software,omitempty"`
}

// Metric is a figure of one member: ipfs-cluster's Metric. Times are Unix
// nanoseconds.
type Metric struct {
	Name          string `json:"name"`
	Peer          string `json:"peer"`
	Value         string `json:"value"`
	Expire        int64  `json:"expire"`
	Valid         bool   `json:"valid"`
	Weight        int64  `json:"weight"`
	Partitionable bool   `json:"partitionable"`
	ReceivedAt    int64  `json:"received_at"`
}

// Alert is a fault that is present now: ipfs-cluster's Alert, and its title.
type Alert struct {
	Metric
	Triggered time.Time `json:"triggered_at"`
	Severity  string    `json:"severity"`
	Title     string    `json:"title"`
	Do        string    `json:"do,omitempty"`
}

// Health is the answer of GET /health.
type Health struct {
	OK      bool                 `json:"ok"` // no entry is an error
	Entries []pinset.HealthEntry `json:"entries"`
}

// Setting is one key of the daemon's configuration; a secret's Value is hidden.
type Setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Source string `json:"source"` // default, file, environment, flag
	Doc    string `json:"doc,omitempty"`
}
