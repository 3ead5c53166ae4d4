package identity

import (
	"bytes"
	"cmp"
	"crypto/subtle"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/canon"
)

// ClusterID is the CIDv1 (dag-cbor, sha2-256, base32 text) of a founding record.
type ClusterID string

// ParseClusterID refuses what cannot be a cluster's id.
func ParseClusterID(text string) (ClusterID, error) {
	c, err := cid.Decode(text)
	if err != nil || c.Version() != 1 || c.Type() != cid.DagCBOR || c.String() != text {
		return "", fmt.Errorf("cluster id %q: want the CID of a founding record (bafyrei…)", text)
	}
	return ClusterID(text), nil
}

// MaxName is the greatest length of a cluster's or member's name in bytes.
const MaxName = 64

const foundingContext = "pinfold/founding/1\x00"

// Founding is the record that a cluster begins with. It never changes; its hash
// is the cluster's id.
type Founding struct {
	id        ClusterID
	founder   peer.ID
	name      string
	created   time.Time
	policy    Policy
	admission []byte // hash of the derived admission key
	signature []byte
	payload   []byte
}

type foundingRecord struct {
	V         uint64          `cbor:"v"`
	Name      string          `cbor:"name"`
	Created   uint64          `cbor:"created"`
	Founder   []byte          `cbor:"founder"`
	Admission []byte          `cbor:"admission"`
	Policy    cbor.RawMessage `cbor:"policy"`
}

// foundingFile is the founding record with its signature beside it.
type foundingFile struct {
	Record    []byte `cbor:"record"`
	Signature []byte `cbor:"sig"`
}

// Found begins a cluster: its policy at the start, in force until an admin
// writes another; now is cut to seconds.
func Found(k Key, name string, s Secret, p Policy, now time.Time) (*Founding, error) {
	if err := checkName("cluster", name); err != nil {
		return nil, fmt.Errorf("found cluster: %w", err)
	}
	policy, err := p.Encode()
	if err != nil {
		return nil, fmt.Errorf("found cluster: %w", err)
	}
	payload, err := canon.Marshal(foundingRecord{
		V: 1, Name: name, Created: uint64(max(now.Unix(), 0)), Founder: []byte(k.ID()),
		Admission: s.admissionHash(), Policy: policy,
	})
	if err != nil {
		return nil, fmt.Errorf("found cluster: %w", err)
	}
	id, err := clusterID(payload)
	if err != nil {
		return nil, err
	}
	sig, err := k.private.Sign([]byte(foundingContext + string(id)))
	if err != nil {
		return nil, fmt.Errorf("found cluster: %w", err)
	}
	return openFounding(payload, sig)
}

// ParseFounding verifies what Marshal wrote: form and the founder's signature.
// Whoever expects a certain cluster compares ID.
func ParseFounding(raw []byte) (*Founding, error) {
	var file foundingFile
	if extra, err := decodeExact(raw, &file); err != nil || len(extra) > 0 {
		return nil, fmt.Errorf("read founding record: %w", cmp.Or(err, canon.ErrNotCanonical))
	}
	return openFounding(file.Record, file.Signature)
}

func openFounding(payload, sig []byte) (*Founding, error) {
	var r foundingRecord
	// Fields of a newer version need not be kept apart: payload is kept as it is.
	if _, err := decodeExact(payload, &r); err != nil {
		return nil, fmt.Errorf("read founding record: %w", err)
	}
	if r.V != 1 {
		return nil, fmt.Errorf("read founding record: version %d: %w", r.V, ErrNewer)
	}
	if err := checkName("cluster", r.Name); err != nil {
		return nil, fmt.Errorf("read founding record: %w", err)
	}
	policy, err := DecodePolicy(r.Policy)
	if err != nil {
		return nil, fmt.Errorf("read founding record: %w", err)
	}
	founder, err := peer.IDFromBytes(r.Founder)
	if err == nil {
		err = checkPeer(founder)
	}
	if err != nil || len(r.Admission) != 32 || r.Created > maxUnix {
		return nil, fmt.Errorf("read founding record: bad founder, admission hash or time")
	}
	id, err := clusterID(payload)
	if err != nil {
		return nil, err
	}
	public, err := founder.ExtractPublicKey()
	if err != nil {
		return nil, fmt.Errorf("read founding record: %w", err)
	}
	if ok, err := public.Verify([]byte(foundingContext+string(id)), sig); err != nil || !ok {
		return nil, fmt.Errorf("read founding record of %s: %w", id, ErrForged)
	}
	return &Founding{
		id: id, founder: founder, name: r.Name, created: time.Unix(int64(r.Created), 0).UTC(), policy: policy,
		admission: r.Admission, signature: bytes.Clone(sig), payload: bytes.Clone(payload),
	}, nil
}

// ID is the cluster's id.
func (f *Founding) ID() ClusterID { return f.id }

// Founder is the first member and, until roles say otherwise, the only admin.
func (f *Founding) Founder() peer.ID { return f.founder }

// Name is the cluster's name, for people.
func (f *Founding) Name() string { return f.name }

// Created is when, by the founder's clock, in whole seconds, UTC.
func (f *Founding) Created() time.Time { return f.created }

// Policy is the policy until an admin writes another.
func (f *Founding) Policy() Policy { return f.policy }

// CheckSecret returns ErrSecret unless s is this cluster's.
func (f *Founding) CheckSecret(s Secret) error {
	if subtle.ConstantTimeCompare(s.admissionHash(), f.admission) != 1 {
		return ErrSecret
	}
	return nil
}

// Marshal returns the record and its signature, for ParseFounding.
func (f *Founding) Marshal() []byte {
	b, err := canon.Marshal(foundingFile{Record: f.payload, Signature: f.signature})
	if err != nil {
		panic(err) // two byte strings always encode
	}
	return b
}

func clusterID(payload []byte) (ClusterID, error) {
	h, err := multihash.Sum(payload, multihash.SHA2_256, -1)
	if err != nil {
		return "", fmt.Errorf("hash founding record: %w", err)
	}
	return ClusterID(cid.NewCidV1(cid.DagCBOR, h).String()), nil
}

func checkName(what, name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("%s name of %d bytes: want 1 to %d", what, len(name), MaxName)
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) || strings.TrimSpace(name) != name {
		return fmt.Errorf("%s name %q: want text without control characters, no space at its ends", what, name)
	}
	return nil
}
