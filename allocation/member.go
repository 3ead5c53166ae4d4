package allocation

import (
	"bytes"
	"cmp"
	"math/bits"
	"slices"
	"strconv"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// Algorithm is the version of the function that this package computes.
const Algorithm = 1

// FullPhi is the fill factor of a member that takes its whole share.
const FullPhi = 1 << 16

// maxCap bounds what one record can claim, in MiB: all that a 64-bit count of
// bytes can say. It keeps every sum over members within 64 bits.
const maxCap = 1 << 44

// State of a member, as its record says.
type State uint8

const (
	Active   State = iota
	Draining       // gets nothing new; holds only what names it
	Left           // holds nothing
)

func (s State) String() string {
	switch s {
	case Active:
		return "active"
	case Draining:
		return "draining"
	case Left:
		return "left"
	}
	return "state " + strconv.Itoa(int(s))
}

// Member is what of a member's record decides who holds what.
type Member struct {
	ID          peer.ID
	Cap         uint64    // MiB it lends: configured, never measured
	InCap       uint64    // MiB per day it takes in, 0: no limit
	Phi         uint32    // its fill factor in 1/65536; more counts as FullPhi
	Domains     []string  // where it stands, coarse to fine: region, household
	Tags        []string  // in any order
	Mirror      bool      // holds everything beside the others
	Mirrors     []peer.ID // holds what these hold, beside the others; in any order
	State       State
	Incarnation uint64  // raised when it comes back
	Seat        peer.ID // whose draws it has: the member's that it replaced; "": its own
}

// seat is whose draws the member has.
func (m *Member) seat() peer.ID {
	if m.Seat != "" {
		return m.Seat
	}
	return m.ID
}

// effective is E(m): the share of the cluster's data that m asks for, in MiB.
func (m *Member) effective(fillDays uint64) uint64 {
	lent := min(m.Cap, maxCap)
	if m.InCap > 0 {
		if hi, lo := bits.Mul64(m.InCap, fillDays); hi == 0 {
			lent = min(lent, lo)
		}
	}
	return lent * uint64(min(m.Phi, FullPhi)) >> 16
}

// in says whether m stands in the domain that path names.
func (m *Member) in(path []string) bool {
	return len(m.Domains) >= len(path) && slices.Equal(m.Domains[:len(path)], path)
}

func (m *Member) hasTags(tags []string) bool {
	for _, t := range tags {
		if _, ok := slices.BinarySearch(m.Tags, t); !ok {
			return false
		}
	}
	return true
}

// Policy is what of the cluster's policy record decides who holds what. The zero
// value stands for the defaults.
type Policy struct {
	Algo         uint32             // 0 and 1: Algorithm; an unknown one places nothing
	FillDays     uint64             // days a member's InCap has to fill its share; 0: 30
	StrictShare  uint64             // percent of the capacity that copies in distinct domains must leave usable; 0: 50
	MirrorsCount bool               // copies of mirrors of everything count towards the numbers of a pin
	SoftSpread   bool               // where finer domains are kept apart, prefer distinct coarse ones as well
	Replication  pinset.Replication // of pins that leave it to the cluster; zero: 2..3
}

func (p Policy) withDefaults() Policy {
	if p.Algo == 0 {
		p.Algo = Algorithm
	}
	if p.FillDays == 0 {
		p.FillDays = 30
	}
	if p.StrictShare == 0 {
		p.StrictShare = 50
	}
	p.Replication = p.Replication.Or(pinset.Replication{Min: 2, Max: 3})
	return p
}

// normalised returns sorted copies of the records, one for each id, with their
// tags sorted. Of two records of one id the greater incarnation counts, then the
// smaller encoding: callers resolve that by their own rules first, but the result
// must not depend on who came first.
func normalised(in []Member) []Member {
	out := make([]Member, len(in))
	for i, m := range in {
		m.Domains = slices.Clone(m.Domains)
		m.Tags, m.Mirrors = sortedSet(m.Tags), sortedSet(m.Mirrors)
		out[i] = m
	}
	slices.SortFunc(out, func(a, b Member) int {
		switch {
		case a.ID < b.ID:
			return -1
		case a.ID > b.ID:
			return 1
		case a.Incarnation != b.Incarnation:
			if a.Incarnation > b.Incarnation {
				return -1
			}
			return 1
		}
		return bytes.Compare(a.tuple(), b.tuple())
	})
	return slices.CompactFunc(out, func(a, b Member) bool { return a.ID == b.ID })
}

func sortedSet[T cmp.Ordered](in []T) []T {
	out := slices.Clone(in)
	slices.Sort(out)
	return slices.Compact(out)
}
