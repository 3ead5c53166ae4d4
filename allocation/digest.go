package allocation

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// digestDomain separates M from every other hash of pinfold.
const digestDomain = "pinfold/members/1"

// tuple is the one encoding of the fields of a record that decide who holds what.
// Its parts, in order, without separators:
//
//	id            uvarint length, bytes
//	cap, inCap    8 bytes each, big-endian, MiB and MiB per day
//	phi           4 bytes, big-endian
//	domains       uvarint count, then of each: uvarint length, bytes; as recorded
//	tags          the same; sorted bytewise, without repeats
//	mirror        1 byte: 1 of everything, plus 2 of members; 0 no mirror. With 2:
//	              uvarint count, then of each id: uvarint length, bytes; sorted
//	state         1 byte: 0 active, 1 draining, 2 left
//	incarnation   8 bytes, big-endian
//	seat          where it is another's: uvarint length, bytes; else nothing
//
// m is normalised: its tags and mirrors are sorted.
func (m *Member) tuple() []byte {
	b := make([]byte, 0, 128)
	b = appendText(b, string(m.ID))
	b = binary.BigEndian.AppendUint64(b, m.Cap)
	b = binary.BigEndian.AppendUint64(b, m.InCap)
	b = binary.BigEndian.AppendUint32(b, m.Phi)
	b = appendTexts(b, m.Domains)
	b = appendTexts(b, m.Tags)
	mirror := byte(0)
	if m.Mirror {
		mirror = 1
	}
	if len(m.Mirrors) > 0 {
		b = appendTexts(append(b, mirror|2), m.Mirrors)
	} else {
		b = append(b, mirror)
	}
	b = append(b, byte(m.State))
	b = binary.BigEndian.AppendUint64(b, m.Incarnation)
	if m.seat() != m.ID {
		b = appendText(b, string(m.Seat))
	}
	return b
}

func appendTexts[T ~string](b []byte, list []T) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendText(b, string(s))
	}
	return b
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// digest is M: SHA-256 over digestDomain, the number of records as uvarint, and
// the tuples in bytewise order, each after its length as uvarint.
func digest(members []Member) [sha256.Size]byte {
	tuples := make([][]byte, len(members))
	for i := range members {
		tuples[i] = members[i].tuple()
	}
	slices.SortFunc(tuples, bytes.Compare)
	h := sha256.New()
	h.Write([]byte(digestDomain))
	h.Write(binary.AppendUvarint(nil, uint64(len(tuples))))
	for _, t := range tuples {
		h.Write(binary.AppendUvarint(nil, uint64(len(t))))
		h.Write(t)
	}
	return [sha256.Size]byte(h.Sum(nil))
}
