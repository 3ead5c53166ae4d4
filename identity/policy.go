package identity

import (
	"fmt"
	"time"

	"github.com/pinfold/pinfold/canon"
)

// maxUnix bounds times and durations in seconds (year 9999), so that they fit
// every clock.
const maxUnix = 253402300799

// Writers says who may write pins.
type Writers uint8

const (
	AllMembers    Writers = iota // every member whose role says nothing else
	ListedWriters                // those with the role writer or admin; the rest are keepers
)

func (w Writers) String() string {
	if w == ListedWriters {
		return "list"
	}
	return "members"
}

// Policy is what the cluster's admins have ruled, for everyone.
type Policy struct {
	Writers      Writers
	Min, Max     int           // default replication; both -1: every eligible member
	Algo         uint32        // allocation function
	FillDays     uint64        // days of traffic that count as capacity
	StrictShare  uint64        // percent of the capacity a domain level must keep usable to be used
	MirrorsCount bool          // mirrors' copies count towards the minimum
	Absent       time.Duration // silence before others may attest that a member is gone
	Grace        time.Duration // an old copy is kept this long after the new ones are there
	MassRemoval  uint64        // percent of the pinset that one request may remove without force
	Retention    time.Duration // removed pins can be restored this long

	extra canon.Extra
}

// DefaultPolicy is for a group whose members trust each other.
func DefaultPolicy() Policy {
	return Policy{
		Min: 2, Max: 3, Algo: 1, FillDays: 30, StrictShare: 50,
		Absent: 72 * time.Hour, Grace: 24 * time.Hour, MassRemoval: 20, Retention: 30 * 24 * time.Hour,
	}
}

// policyRecord is a Policy as it is replicated; durations are seconds.
type policyRecord struct {
	Writers      string `cbor:"writers"`
	Min          int    `cbor:"min"`
	Max          int    `cbor:"max"`
	Algo         uint32 `cbor:"algo"`
	FillDays     uint64 `cbor:"fill"`
	StrictShare  uint64 `cbor:"strict"`
	MirrorsCount bool   `cbor:"mirrors"`
	Absent       uint64 `cbor:"absent"`
	Grace        uint64 `cbor:"grace"`
	MassRemoval  uint64 `cbor:"mass"`
	Retention    uint64 `cbor:"retain"`
}

// Encode returns the value of PolicyKey.
func (p Policy) Encode() ([]byte, error) {
	r, err := p.wire()
	if err != nil {
		return nil, err
	}
	return canon.MarshalKeeping(r, p.extra)
}

// DecodePolicy reads what Encode wrote.
func DecodePolicy(value []byte) (Policy, error) {
	var r policyRecord
	extra, err := decodeExact(value, &r)
	if err != nil {
		return Policy{}, fmt.Errorf("read policy: %w", err)
	}
	return r.open(extra)
}

// Validate names the field that no cluster can mean.
func (p Policy) Validate() error {
	_, err := p.wire()
	return err
}

func (p Policy) wire() (policyRecord, error) {
	r := policyRecord{
		Writers: p.Writers.String(), Min: p.Min, Max: p.Max, Algo: p.Algo, FillDays: p.FillDays,
		StrictShare: p.StrictShare, MirrorsCount: p.MirrorsCount,
		Absent: seconds(p.Absent), Grace: seconds(p.Grace), MassRemoval: p.MassRemoval, Retention: seconds(p.Retention),
	}
	if p.Absent < 0 || p.Grace < 0 || p.Retention < 0 {
		return r, fmt.Errorf("policy: a negative time")
	}
	if _, err := r.open(nil); err != nil {
		return r, err
	}
	return r, nil
}

func (r policyRecord) open(extra canon.Extra) (Policy, error) {
	p := Policy{
		Min: r.Min, Max: r.Max, Algo: r.Algo, FillDays: r.FillDays, StrictShare: r.StrictShare,
		MirrorsCount: r.MirrorsCount, MassRemoval: r.MassRemoval, extra: extra,
	}
	switch r.Writers {
	case "members":
	case "list":
		p.Writers = ListedWriters
	default:
		return p, fmt.Errorf("policy: writers %q: want members or list", r.Writers)
	}
	everywhere := r.Min == -1 && r.Max == -1
	if !everywhere && (r.Min < 1 || r.Max < r.Min || r.Max > 65536) {
		return p, fmt.Errorf("policy: replication %d..%d: want 1 or more, the minimum first, or -1..-1", r.Min, r.Max)
	}
	if r.Algo == 0 || r.FillDays == 0 || r.FillDays > 36500 || r.StrictShare > 100 || r.MassRemoval > 100 {
		return p, fmt.Errorf("policy: algo %d, fill days %d, strict share %d %%, mass removal %d %%: "+
			"want algo from 1, days 1 to 36500, shares up to 100", r.Algo, r.FillDays, r.StrictShare, r.MassRemoval)
	}
	const longest = 100 * 365 * 24 * 3600
	if r.Absent > longest || r.Grace > longest || r.Retention > longest {
		return p, fmt.Errorf("policy: a time above 100 years")
	}
	p.Absent, p.Grace = time.Duration(r.Absent)*time.Second, time.Duration(r.Grace)*time.Second
	p.Retention = time.Duration(r.Retention) * time.Second
	return p, nil
}

func seconds(d time.Duration) uint64 { return uint64(d / time.Second) }
