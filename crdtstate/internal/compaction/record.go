package compaction

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/canon"
	"github.com/pinfold/pinfold/identity"
)

const (
	sealKind = "seal"
	ackKind  = "ack"

	// MaxSealHeads bounds a seal; who has more heads writes a delta first.
	MaxSealHeads = 256
	MaxRecord    = 16 << 10 // bytes of a signed record
)

// Seal says that its author has on its disk everything below these heads, and that
// whatever else it signs is above all of the epoch before. The first seal for an
// epoch asks the others for theirs.
type Seal struct {
	Author  peer.ID
	Epoch   uint64   // the one to begin
	Seq     uint64   // of this author's seals and for this epoch, from 1: the highest counts
	Members [32]byte // MembersDigest of those who must seal
	Heads   []cid.Cid
	Raw     []byte
}

// Ack says that its author has everything below the cut that its seal is part of,
// and computed this genesis.
type Ack struct {
	Author peer.ID
	Epoch  uint64
	Seal   uint64   // Seq of the author's seal in the cut
	Root   [32]byte // hash of the genesis's root
	Raw    []byte
}

type sealRecord struct {
	Epoch   uint64   `cbor:"epoch"`
	Seq     uint64   `cbor:"seq"`
	Members []byte   `cbor:"members"`
	Heads   [][]byte `cbor:"heads"` // sha2-256 of each, rising
}

type ackRecord struct {
	Epoch uint64 `cbor:"epoch"`
	Seal  uint64 `cbor:"seal"`
	Root  []byte `cbor:"root"`
}

// MembersDigest names a set of members.
func MembersDigest(members []peer.ID) [32]byte {
	ids := slices.Clone(members)
	slices.Sort(ids)
	h := sha256.New()
	h.Write([]byte("pinfold/seal-members/1"))
	for _, id := range ids {
		h.Write([]byte{byte(len(id))})
		h.Write([]byte(id))
	}
	return [32]byte(h.Sum(nil))
}

// Sign signs a seal.
func (s Seal) Sign(k identity.Key, c identity.ClusterID) (*Seal, error) {
	r := sealRecord{Epoch: s.Epoch, Seq: s.Seq, Members: s.Members[:]}
	for _, h := range s.Heads {
		r.Heads = append(r.Heads, hashOf(h))
	}
	slices.SortFunc(r.Heads, bytes.Compare)
	raw, err := sign(k, c, sealKind, r)
	if err != nil {
		return nil, err
	}
	seal, _, err := Open(c, raw)
	return seal, err
}

// Sign signs an acknowledgement.
func (a Ack) Sign(k identity.Key, c identity.ClusterID) (*Ack, error) {
	raw, err := sign(k, c, ackKind, ackRecord{a.Epoch, a.Seal, a.Root[:]})
	if err != nil {
		return nil, err
	}
	_, ack, err := Open(c, raw)
	return ack, err
}

func sign(k identity.Key, c identity.ClusterID, kind string, v any) ([]byte, error) {
	payload, err := canon.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", kind, err)
	}
	return identity.Seal(k, kind, c, payload)
}

// Open verifies a signed record: a seal or an acknowledgement.
func Open(c identity.ClusterID, raw []byte) (*Seal, *Ack, error) {
	if len(raw) > MaxRecord {
		return nil, nil, fmt.Errorf("open seal: %d bytes, at most %d", len(raw), MaxRecord)
	}
	author, payload, err := identity.Unseal(ackKind, c, raw)
	if err == nil {
		a, err := openAck(payload)
		if err != nil {
			return nil, nil, fmt.Errorf("open ack of %s: %w", author, err)
		}
		a.Author, a.Raw = author, raw
		return nil, a, nil
	}
	if author, payload, err = identity.Unseal(sealKind, c, raw); err != nil {
		return nil, nil, err
	}
	s, err := openSeal(payload)
	if err != nil {
		return nil, nil, fmt.Errorf("open seal of %s: %w", author, err)
	}
	s.Author, s.Raw = author, raw
	return s, nil, nil
}

func openSeal(payload []byte) (*Seal, error) {
	var r sealRecord
	if _, err := canon.UnmarshalKeeping(payload, &r); err != nil {
		return nil, err
	}
	if r.Epoch == 0 || r.Seq == 0 || len(r.Members) != 32 || len(r.Heads) == 0 || len(r.Heads) > MaxSealHeads {
		return nil, errors.New("not of the form of a seal")
	}
	s := &Seal{Epoch: r.Epoch, Seq: r.Seq, Members: [32]byte(r.Members)}
	for i, h := range r.Heads {
		if len(h) != 32 || i > 0 && bytes.Compare(h, r.Heads[i-1]) <= 0 {
			return nil, errors.New("heads of a seal out of order")
		}
		s.Heads = append(s.Heads, BlockCID(h))
	}
	return s, nil
}

func openAck(payload []byte) (*Ack, error) {
	var r ackRecord
	if _, err := canon.UnmarshalKeeping(payload, &r); err != nil {
		return nil, err
	}
	if r.Epoch == 0 || r.Seal == 0 || len(r.Root) != 32 {
		return nil, errors.New("not of the form of an acknowledgement")
	}
	return &Ack{Epoch: r.Epoch, Seal: r.Seal, Root: [32]byte(r.Root)}, nil
}

func hashOf(c cid.Cid) []byte {
	h := c.Hash()
	return h[len(h)-32:]
}

// BlockCID is the CID of the block with a hash.
func BlockCID(h []byte) cid.Cid {
	mh, err := multihash.Encode(h, multihash.SHA2_256)
	if err != nil {
		panic(err) // 32 bytes of sha2-256
	}
	return cid.NewCidV1(cid.DagProtobuf, mh)
}
