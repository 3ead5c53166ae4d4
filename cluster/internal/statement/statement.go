package statement

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/canon"
	"github.com/pinfold/pinfold/identity"
)

// MaxAuthors bounds the vector of a statement, MaxBytes the whole of it.
const (
	MaxAuthors = 8192
	MaxBytes   = 512 << 10

	kind    = "statement"
	maxUnix = 253402300799 // year 9999
)

// Statement is what a member says it holds.
type Statement struct {
	Author  peer.ID
	Seq     uint64
	At      time.Time          // when it was made, by its author's clock, whole seconds
	View    [32]byte           // digest of the membership it was computed under
	Vector  map[peer.ID]uint64 // of each author, the highest seq that was looked at
	Items   uint64             // assigned and held
	Bytes   uint64             // of them
	Missing uint64             // number of exceptions
	Except  Exceptions         // assigned and not held
	Refused uint64             // of the exceptions those for which there is no room, or that an owner's pin keeps out
	Since   time.Time          // nothing was missing since; zero: something is
	Count   uint64             // live pins, if Digest is there
	Digest  []byte             // of the pinset at exactly Vector, 32 bytes, or none
	Prev    []byte             // hash of the author's statement before, 32 bytes; none: it is the first, or of an older version
}

type record struct {
	Seq     uint64  `cbor:"seq"`
	At      uint64  `cbor:"at"`
	View    []byte  `cbor:"view"`
	Vector  []heard `cbor:"vector"`
	Items   uint64  `cbor:"items"`
	Bytes   uint64  `cbor:"bytes"`
	Missing uint64  `cbor:"missing,omitempty"`
	Bits    uint64  `cbor:"bits,omitempty"`
	Except  []byte  `cbor:"except,omitempty"`
	Refused uint64  `cbor:"refused,omitempty"`
	Since   uint64  `cbor:"since,omitempty"`
	Count   uint64  `cbor:"count,omitempty"`
	Digest  []byte  `cbor:"digest,omitempty"`
	Prev    []byte  `cbor:"prev,omitempty"`
}

type heard struct {
	Author []byte `cbor:"a"`
	Seq    uint64 `cbor:"s"`
}

// Covers says whether the statement knew an author's change.
func (s *Statement) Covers(author peer.ID, seq uint64) bool { return s.Vector[author] >= seq }

// Seal signs the statement with its author's key.
func (s *Statement) Seal(k identity.Key, c identity.ClusterID) ([]byte, error) {
	r := record{
		Seq: s.Seq, At: unix(s.At), View: s.View[:], Items: s.Items, Bytes: s.Bytes, Missing: s.Missing,
		Bits: uint64(s.Except.bits), Except: s.Except.bytes(), Since: unix(s.Since), Count: s.Count, Digest: s.Digest, Prev: s.Prev, Refused: s.Refused,
	}
	for _, id := range slices.Sorted(maps.Keys(s.Vector)) {
		r.Vector = append(r.Vector, heard{[]byte(id), s.Vector[id]})
	}
	payload, err := canon.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("sign statement: %w", err)
	}
	raw, err := identity.Seal(k, kind, c, payload)
	if err == nil && len(raw) > MaxBytes {
		err = fmt.Errorf("sign statement: %d bytes, at most %d", len(raw), MaxBytes)
	}
	return raw, err
}

// Open verifies what Seal wrote. Fields of a newer version are passed over: the
// bytes are kept and handed on as they are.
func Open(c identity.ClusterID, raw []byte) (*Statement, error) {
	if len(raw) > MaxBytes {
		return nil, fmt.Errorf("open statement: %d bytes, at most %d", len(raw), MaxBytes)
	}
	author, payload, err := identity.Unseal(kind, c, raw)
	if err != nil {
		return nil, err
	}
	var r record
	if _, err := canon.UnmarshalKeeping(payload, &r); err != nil {
		return nil, fmt.Errorf("open statement of %s: %w", author, err)
	}
	s, err := r.open()
	if err != nil {
		return nil, fmt.Errorf("open statement of %s: %w", author, err)
	}
	s.Author = author
	return s, nil
}

func (r record) open() (*Statement, error) {
	s := &Statement{
		Seq: r.Seq, At: fromUnix(r.At), Items: r.Items, Bytes: r.Bytes, Missing: r.Missing,
		Since: fromUnix(r.Since), Count: r.Count, Digest: r.Digest, Prev: r.Prev, Refused: r.Refused, Vector: make(map[peer.ID]uint64, len(r.Vector)),
	}
	if r.Seq == 0 || r.At > maxUnix || r.Since > maxUnix {
		return nil, fmt.Errorf("seq %d, times %d, %d", r.Seq, r.At, r.Since)
	}
	if len(r.View) != len(s.View) || len(r.Digest) != 0 && len(r.Digest) != 32 || len(r.Vector) > MaxAuthors {
		return nil, fmt.Errorf("digests of %d and %d bytes, %d authors", len(r.View), len(r.Digest), len(r.Vector))
	}
	if n := len(r.Prev); n != 0 && (n != 32 || r.Seq == 1) {
		return nil, fmt.Errorf("%d bytes of a statement before seq %d", n, r.Seq)
	}
	s.View = [32]byte(r.View)
	last := ""
	for _, h := range r.Vector {
		if string(h.Author) <= last {
			return nil, fmt.Errorf("vector is not sorted")
		}
		last = string(h.Author)
		s.Vector[peer.ID(last)] = h.Seq
	}
	var err error
	s.Except, err = parseExceptions(r.Bits, r.Except)
	return s, err
}

func unix(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(min(max(t.Unix(), 0), maxUnix))
}

func fromUnix(s uint64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}
