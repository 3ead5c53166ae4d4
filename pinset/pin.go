package pinset

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/canon"
)

// Limits of a pin's fields, in bytes of UTF-8 unless said otherwise. They are
// part of the protocol: every peer refuses a value beyond them.
const (
	MaxName     = 200
	MaxOwner    = 64
	MaxTags     = 32    // tags a pin may require
	MaxTag      = 64    // one tag
	MaxInclude  = 64    // members a pin may name
	MaxOrigins  = 16    // addresses a pin may name
	MaxMetadata = 64    // entries
	MaxValue    = 16384 // one encoded value
	MaxCopies   = 65536
)

// Everywhere as a replication factor asks for a copy at every eligible member.
const Everywhere = -1

// Mode says how much of a DAG a pin keeps.
type Mode uint8

const (
	Recursive Mode = iota // the whole DAG
	Direct                // one block
)

func (m Mode) String() string {
	if m == Direct {
		return "direct"
	}
	return "recursive"
}

// ParseMode reads a Mode as Kubo and ipfs-cluster spell it; "" is recursive.
func ParseMode(s string) (Mode, error) {
	switch s {
	case "", "recursive":
		return Recursive, nil
	case "direct":
		return Direct, nil
	}
	return 0, Invalid("mode %q: want recursive or direct", s)
}

// Replication is how many copies a pin wants: Max are made, fewer than Min are
// reported as short. Both 0 stand for the cluster's default, both Everywhere for
// all eligible members.
type Replication struct{ Min, Max int }

// IsDefault says whether the cluster's own numbers apply.
func (r Replication) IsDefault() bool { return r == Replication{} }

// Or returns r, or def where r leaves it to the cluster.
func (r Replication) Or(def Replication) Replication {
	if r.IsDefault() {
		return def
	}
	return r
}

// Validate refuses numbers that no cluster can mean.
func (r Replication) Validate() error {
	switch {
	case r.IsDefault(), r.Min == Everywhere && r.Max == Everywhere:
		return nil
	case r.Min < 1 || r.Max < 1:
		if r.Min == r.Max {
			return Invalid("replication %d: want at least 1, or -1 for every member", r.Min)
		}
		return Invalid("replication %d..%d: want at least 1, or -1 for every member", r.Min, r.Max)
	case r.Min > r.Max:
		return Invalid("replication %d..%d: the minimum is above the maximum", r.Min, r.Max)
	case r.Max > MaxCopies:
		return Invalid("replication %d..%d: at most %d copies", r.Min, r.Max, MaxCopies)
	}
	return nil
}

// Pin is one owner's claim that a CID be kept.
type Pin struct {
	CID         cid.Cid // as it was typed: v0 or v1
	Owner       string  // "" is the default owner
	Name        string
	Mode        Mode
	Replication Replication
	Tags        []string  // a holder must have all of them
	Include     []peer.ID // members that must hold it, whatever their rank
	Size        uint64    // bytes of the distinct blocks of its DAG, 0: not known
	Origins     []string  // multiaddresses (with /p2p/) that are known to have it
	Metadata    map[string]string
	Priority    Priority
	Created     time.Time // whole seconds, UTC
	ExpireAt    time.Time // whole seconds, UTC; zero: never

	extra canon.Extra
}

// Key returns the key under which the pin is replicated.
func (p Pin) Key() string { return Key(p.CID, p.Owner) }

// Moved returns the wish of p for another CID: whose it is, how it is kept and called,
// but nothing that is true of its data alone.
func (p Pin) Moved(to cid.Cid) Pin {
	p.CID, p.Size, p.Created = to, 0, time.Time{}
	return p
}

// Over returns p in place of old: what this version does not know of a newer
// member's pin stays.
func (p Pin) Over(old Pin) Pin {
	p.extra = old.extra
	return p
}

// Expired says whether the pin's time is over at now.
func (p Pin) Expired(now time.Time) bool {
	return !p.ExpireAt.IsZero() && !now.Before(p.ExpireAt)
}

// Validate says what is wrong with a pin, naming the field, the value and what
// is possible. Errors are of kind KindInvalid.
func (p Pin) Validate() error {
	if !p.CID.Defined() {
		return Invalid("cid: missing")
	}
	if err := ValidateOwner(p.Owner); err != nil {
		return err
	}
	if err := text("name", p.Name, MaxName); err != nil {
		return err
	}
	if p.Mode > Direct {
		return Invalid("mode %d: want recursive or direct", p.Mode)
	}
	if p.Priority > PriorityBulk {
		return Invalid("priority %d: want high, normal or bulk", p.Priority)
	}
	if err := p.Replication.Validate(); err != nil {
		return err
	}
	if err := ValidateTags(p.Tags); err != nil {
		return err
	}
	if len(p.Include) > MaxInclude || len(p.Origins) > MaxOrigins || len(p.Metadata) > MaxMetadata {
		return Invalid("pin %s: %d named members, %d origins, %d metadata entries: at most %d, %d, %d",
			p.CID, len(p.Include), len(p.Origins), len(p.Metadata), MaxInclude, MaxOrigins, MaxMetadata)
	}
	if !slices.IsSorted(p.Include) || hasRepeats(p.Include) {
		return Invalid("pin %s: named members must be sorted and distinct", p.CID)
	}
	for k, v := range p.Metadata {
		if err := text("metadata key", k, MaxName); err != nil {
			return err
		}
		if !utf8.ValidString(v) {
			return Invalid("metadata %q: not UTF-8", k)
		}
	}
	for _, o := range p.Origins {
		if err := text("origin", o, 512); err != nil {
			return err
		}
	}
	return nil
}

// Normalise sorts and trims what a person may give in any order, so that equal
// wishes are equal values. Call it before Validate on input from outside.
func (p *Pin) Normalise() {
	p.Tags = sortedSet(p.Tags)
	p.Include = sortedSet(p.Include)
	p.Created = p.Created.UTC().Truncate(time.Second)
	p.ExpireAt = p.ExpireAt.UTC().Truncate(time.Second)
}

// ValidateTags refuses tags that are empty, too long, unsorted or repeated.
func ValidateTags(tags []string) error {
	if len(tags) > MaxTags {
		return Invalid("%d tags: at most %d", len(tags), MaxTags)
	}
	for _, t := range tags {
		if err := text("tag", t, MaxTag); err != nil {
			return err
		}
		if t == "" || strings.ContainsAny(t, " \t\n,") {
			return Invalid("tag %q: want a word without spaces and commas", t)
		}
	}
	if !slices.IsSorted(tags) || hasRepeats(tags) {
		return Invalid("tags %q: must be sorted and distinct", tags)
	}
	return nil
}

func text(field, s string, limit int) error {
	if len(s) > limit {
		return Invalid("%s of %d bytes: at most %d", field, len(s), limit)
	}
	if !utf8.ValidString(s) {
		return Invalid("%s %q: not UTF-8", field, s)
	}
	return nil
}

func sortedSet[T ~string](in []T) []T {
	if len(in) == 0 {
		return nil
	}
	out := slices.Clone(in)
	slices.Sort(out)
	return slices.Compact(out)
}

func hasRepeats[T comparable](sorted []T) bool {
	return len(slices.Compact(slices.Clone(sorted))) != len(sorted)
}
