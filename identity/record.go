package identity

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/canon"
)

// MemberState is a member's wish about its own part.
type MemberState uint8

const (
	Active   MemberState = iota
	Draining             // keeps serving, takes nothing new
)

func (s MemberState) String() string {
	if s == Draining {
		return "draining"
	}
	return "active"
}

// FullPhi is a fill factor of 1.
const FullPhi = 65536

// LastIncarnation in a removal bars a key for good: no record can have it.
const LastIncarnation = math.MaxUint64

// OwnLevel is the highest feature level that this version understands.
const OwnLevel = 1

const (
	maxWords = 32 // domains, tags or mirrors of one record
	maxWord  = 64 // bytes of one of them
	maxProof = 256
	maxValue = 16384
)

// Record is what a member says of itself; only it can write it.
type Record struct {
	Peer        peer.ID
	Name        string
	Proof       []byte      // Secret.Proof of this peer
	Lent        uint64      // bytes it lends
	InPerDay    uint64      // bytes a day it takes in, 0: no limit
	Phi         uint32      // fill factor, 0..FullPhi
	Domains     []string    // coarse to fine: region, household
	Tags        []string    // sorted, distinct
	Mirrors     []string    // sorted, distinct: what it mirrors
	State       MemberState //
	Incarnation uint64      // raised to come back after a removal
	IPFSPeer    peer.ID     // its IPFS node, "" when not known
	SecretGen   uint64      // generation of the secret that Proof is under
	Seq         uint64      // from 1, rising with every record of this peer
	Level       uint64      // feature level it understands
	Seat        peer.ID     // whose place it took among the holders, "": its own
	IPFSProof   []byte      // signature by the IPFS node's key over NodeClaim, nil: it gave none

	extra canon.Extra
}

type memberRecord struct {
	Peer        []byte   `cbor:"peer"`
	Name        string   `cbor:"name"`
	Proof       []byte   `cbor:"proof"`
	Lent        uint64   `cbor:"lent"`
	InPerDay    uint64   `cbor:"in,omitempty"`
	Phi         uint32   `cbor:"phi"`
	Domains     []string `cbor:"domains,omitempty"`
	Tags        []string `cbor:"tags,omitempty"`
	Mirrors     []string `cbor:"mirrors,omitempty"`
	State       string   `cbor:"state"`
	Incarnation uint64   `cbor:"inc,omitempty"`
	IPFSPeer    []byte   `cbor:"ipfs,omitempty"`
	SecretGen   uint64   `cbor:"gen,omitempty"`
	Seq         uint64   `cbor:"seq"`
	Level       uint64   `cbor:"level"`
	Seat        []byte   `cbor:"seat,omitempty"`
	IPFSProof   []byte   `cbor:"ipfsproof,omitempty"`
}

// Seal validates and signs the record: the value of MemberKey(r.Peer).
func (r Record) Seal(k Key, c ClusterID) ([]byte, error) {
	if r.Peer != k.ID() {
		return nil, fmt.Errorf("sign member record of %s: this is the key of %s", r.Peer, k.ID())
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	payload, err := canon.MarshalKeeping(memberRecord{
		Peer: []byte(r.Peer), Name: r.Name, Proof: r.Proof, Lent: r.Lent, InPerDay: r.InPerDay, Phi: r.Phi,
		Domains: r.Domains, Tags: r.Tags, Mirrors: r.Mirrors, State: r.State.String(), Incarnation: r.Incarnation,
		IPFSPeer: []byte(r.IPFSPeer), SecretGen: r.SecretGen, Seq: r.Seq, Level: r.Level, Seat: []byte(r.Seat),
		IPFSProof: r.IPFSProof,
	}, r.extra)
	if err != nil {
		return nil, fmt.Errorf("sign member record of %s: %w", r.Peer, err)
	}
	value, err := Seal(k, "member", c, payload)
	if err == nil && len(value) > maxValue {
		err = fmt.Errorf("sign member record of %s: %d bytes, at most %d", r.Peer, len(value), maxValue)
	}
	return value, err
}

// OpenRecord verifies signature and form. It does not check the proof: see
// Authority.CheckRecord.
func OpenRecord(c ClusterID, value []byte) (Record, error) {
	if len(value) > maxValue {
		return Record{}, fmt.Errorf("open member record: %d bytes, at most %d", len(value), maxValue)
	}
	author, payload, err := Unseal("member", c, value)
	if err != nil {
		return Record{}, err
	}
	r, err := decodeRecord(payload)
	if err != nil {
		return Record{}, fmt.Errorf("open member record: %w", err)
	}
	if r.Peer != author {
		return Record{}, fmt.Errorf("open member record of %s, signed by %s: %w", r.Peer, author, ErrForged)
	}
	return r, nil
}

func decodeRecord(payload []byte) (Record, error) {
	var w memberRecord
	extra, err := decodeExact(payload, &w)
	if err != nil {
		return Record{}, err
	}
	r := Record{
		Name: w.Name, Proof: w.Proof, Lent: w.Lent, InPerDay: w.InPerDay, Phi: w.Phi,
		Domains: w.Domains, Tags: w.Tags, Mirrors: w.Mirrors, Incarnation: w.Incarnation,
		SecretGen: w.SecretGen, Seq: w.Seq, Level: w.Level, IPFSProof: w.IPFSProof, extra: extra,
	}
	if r.Peer, err = peer.IDFromBytes(w.Peer); err != nil {
		return Record{}, fmt.Errorf("peer id: %w", err)
	}
	if len(w.IPFSPeer) > 0 {
		if r.IPFSPeer, err = peer.IDFromBytes(w.IPFSPeer); err != nil {
			return Record{}, fmt.Errorf("IPFS node's peer id: %w", err)
		}
	}
	if len(w.Seat) > 0 {
		if r.Seat, err = peer.IDFromBytes(w.Seat); err != nil {
			return Record{}, fmt.Errorf("peer id of its seat: %w", err)
		}
	}
	switch w.State {
	case "active":
	case "draining":
		r.State = Draining
	default:
		return Record{}, fmt.Errorf("state %q: want active or draining", w.State)
	}
	return r, r.Validate()
}

// decodeExact decodes b into the struct that v points at and refuses a second
// spelling of it: a field left out that is always written, or one written that
// is left out when it holds its default.
func decodeExact(b []byte, v any) (canon.Extra, error) {
	extra, err := canon.UnmarshalKeeping(b, v)
	if err != nil {
		return nil, err
	}
	again, err := canon.MarshalKeeping(v, extra)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, b) {
		return nil, fmt.Errorf("a second spelling of the record: %w", canon.ErrNotCanonical)
	}
	return extra, nil
}

// Validate names the field that is wrong and what is possible.
func (r Record) Validate() error {
	if err := checkPeer(r.Peer); err != nil {
		return err
	}
	if err := checkName("member", r.Name); err != nil {
		return err
	}
	if len(r.Proof) != 32 {
		return fmt.Errorf("proof of %d bytes: want 32", len(r.Proof))
	}
	if r.Phi > FullPhi {
		return fmt.Errorf("fill factor %d: at most %d", r.Phi, FullPhi)
	}
	if r.Seq == 0 || r.Level == 0 {
		return fmt.Errorf("seq %d, level %d: want 1 or more", r.Seq, r.Level)
	}
	if len(r.IPFSProof) > maxProof {
		return fmt.Errorf("proof of the IPFS node of %d bytes: at most %d", len(r.IPFSProof), maxProof)
	}
	if r.Incarnation == LastIncarnation {
		return fmt.Errorf("incarnation %d: no member can have it", r.Incarnation)
	}
	if r.State > Draining {
		return fmt.Errorf("state %d: want active or draining", r.State)
	}
	if err := checkWords("domain", r.Domains, false); err != nil {
		return err
	}
	if err := checkWords("tag", r.Tags, true); err != nil {
		return err
	}
	return checkWords("mirror", r.Mirrors, true)
}

func checkWords(what string, words []string, sorted bool) error {
	if len(words) > maxWords {
		return fmt.Errorf("%d %ss: at most %d", len(words), what, maxWords)
	}
	for _, w := range words {
		if w == "" || len(w) > maxWord || !utf8.ValidString(w) || strings.ContainsAny(w, " \t\r\n,") {
			return fmt.Errorf("%s %q: want a word of at most %d bytes without spaces and commas", what, w, maxWord)
		}
	}
	if sorted && (!slices.IsSorted(words) || len(slices.Compact(slices.Clone(words))) != len(words)) {
		return fmt.Errorf("%ss %q: want them sorted and distinct", what, words)
	}
	return nil
}
