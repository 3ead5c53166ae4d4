package pinset

import (
	"bytes"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/canon"
)

// pinRecord is a pin as it is replicated. The CID's v1 form and the owner are in
// the key; V0 says that it was typed as CIDv0. Times are Unix seconds.
type pinRecord struct {
	V0       bool              `cbor:"v0,omitempty"`
	Name     string            `cbor:"name,omitempty"`
	Direct   bool              `cbor:"direct,omitempty"`
	Min      int               `cbor:"min,omitempty"`
	Max      int               `cbor:"max,omitempty"`
	Tags     []string          `cbor:"tags,omitempty"`
	Include  [][]byte          `cbor:"include,omitempty"`
	Size     uint64            `cbor:"size,omitempty"`
	Origins  []string          `cbor:"origins,omitempty"`
	Metadata map[string]string `cbor:"meta,omitempty"`
	Priority Priority          `cbor:"prio,omitempty"`
	Created  int64             `cbor:"at,omitempty"`
	ExpireAt int64             `cbor:"expire,omitempty"`
}

// Encode returns the pin's replicated value (its key is p.Key()). It validates
// the pin first.
func (p Pin) Encode() ([]byte, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	r := pinRecord{
		V0: p.CID.Version() == 0, Name: p.Name, Direct: p.Mode == Direct,
		Min: p.Replication.Min, Max: p.Replication.Max,
		Tags: p.Tags, Size: p.Size, Origins: p.Origins, Metadata: p.Metadata, Priority: p.Priority,
		Created: unix(p.Created), ExpireAt: unix(p.ExpireAt),
	}
	for _, id := range p.Include {
		r.Include = append(r.Include, []byte(id))
	}
	b, err := canon.MarshalKeeping(r, p.extra)
	if err != nil {
		return nil, Invalid("pin %s: %v", p.CID, err)
	}
	if len(b) > MaxValue {
		return nil, Invalid("pin %s: %d bytes encoded, at most %d", p.CID, len(b), MaxValue)
	}
	return b, nil
}

// Decode reads a pin from bytes that Check has passed before they were stored. It
// is the fast way, for lists: it forgets the fields that this version does not
// know. Whoever means to write the pin back reads it with Check.
func Decode(key string, value []byte) (Pin, error) { return decode(key, value, false) }

// Check decides whether (key, value) is the one encoding of a valid pin. It is a
// pure function: every peer gives the same answer.
func Check(key string, value []byte) (Pin, error) {
	if len(value) > MaxValue {
		return Pin{}, Invalid("value of %d bytes: at most %d", len(value), MaxValue)
	}
	p, err := decode(key, value, true)
	if err != nil {
		return Pin{}, err
	}
	again, err := p.Encode()
	if err != nil {
		return Pin{}, err
	}
	if !bytes.Equal(again, value) {
		return Pin{}, Invalid("pin %s: a second encoding of the same pin", p.CID)
	}
	return p, nil
}

func decode(key string, value []byte, strict bool) (Pin, error) {
	c, owner, err := ParseKey(key)
	if err != nil {
		return Pin{}, err
	}
	return decodeFor(c, owner, value, strict)
}

// DecodeFor is Decode for who has the parts of the key: a CIDv1 and an owner.
func DecodeFor(c cid.Cid, owner string, value []byte) (Pin, error) {
	return decodeFor(c, owner, value, false)
}

func decodeFor(c cid.Cid, owner string, value []byte, strict bool) (_ Pin, err error) {
	var r pinRecord
	p := Pin{CID: c, Owner: owner}
	if strict {
		p.extra, err = canon.UnmarshalKeeping(value, &r)
	} else {
		err = canon.Unmarshal(value, &r)
	}
	if err != nil {
		return Pin{}, Invalid("pin %s: %v", c, err)
	}
	if r.V0 {
		v0, err := toV0(c)
		if err != nil {
			return Pin{}, err
		}
		p.CID = v0
	}
	if r.Direct {
		p.Mode = Direct
	}
	p.Name, p.Size, p.Tags, p.Origins, p.Metadata = r.Name, r.Size, r.Tags, r.Origins, r.Metadata
	p.Priority = r.Priority
	p.Replication = Replication{Min: r.Min, Max: r.Max}
	for _, raw := range r.Include {
		id, err := peer.IDFromBytes(raw)
		if err != nil {
			return Pin{}, Invalid("pin %s: named member: %v", c, err)
		}
		p.Include = append(p.Include, id)
	}
	p.Created, p.ExpireAt = fromUnix(r.Created), fromUnix(r.ExpireAt)
	return p, nil
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func fromUnix(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}
