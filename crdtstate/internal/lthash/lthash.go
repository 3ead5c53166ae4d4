// Package lthash is a set hash that does not depend on order: elements are added
// and removed one by one, and two equal sets have equal sums.
//
// It is LtHash16 with 1,024 lanes (Bellare and Micciancio 1997; Lewi, Kim,
// Maykov, Weis 2019, https://eprint.iacr.org/2019/227), over BLAKE3's extendable
// output of an element's SHA-256: collisions are infeasible even for who chooses
// the elements.
package lthash

import (
	"crypto/sha256"
	"encoding/binary"

	"lukechampine.com/blake3/guts"
)

// Size of a Sum, in bytes.
const Size = 2048

// Seed stands for one element.
type Seed [32]byte

// Sum is the hash of a set. The zero Sum is that of the empty set.
type Sum [Size]byte

// Of returns the seed of the element (key, value).
func Of(key string, value []byte) Seed {
	b := make([]byte, 0, 512)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(key)))
	b = append(b, key...)
	b = append(b, value...)
	return sha256.Sum256(b)
}

// Add puts elements into the set.
func (s *Sum) Add(elements ...Seed) {
	var lanes [Size]byte
	for _, e := range elements {
		expand(e, &lanes)
		for i := 0; i < Size; i += 8 {
			a, b := binary.LittleEndian.Uint64(s[i:]), binary.LittleEndian.Uint64(lanes[i:])
			binary.LittleEndian.PutUint64(s[i:], ((a&low)+(b&low))^((a^b)&high))
		}
	}
}

// Remove takes elements out of the set.
func (s *Sum) Remove(elements ...Seed) {
	var lanes [Size]byte
	for _, e := range elements {
		expand(e, &lanes)
		for i := 0; i < Size; i += 8 {
			a, b := binary.LittleEndian.Uint64(s[i:]), binary.LittleEndian.Uint64(lanes[i:])
			binary.LittleEndian.PutUint64(s[i:], ((a|high)-(b&low))^((a^^b)&high))
		}
	}
}

// Digest is a short name for the sum.
func (s *Sum) Digest() [32]byte { return sha256.Sum256(s[:]) }

// Four 16-bit lanes are added in one 64-bit word: the top bit of each lane is
// kept out of the addition, so that no carry crosses into the next.
const (
	high = 0x8000_8000_8000_8000
	low  = ^uint64(high)
)

// expand is BLAKE3 in its extendable mode over the seed. The seed fits in one
// chunk, so the output's blocks come straight from the root node.
func expand(e Seed, out *[Size]byte) {
	n := guts.CompressChunk(e[:], &guts.IV, 0, 0)
	n.Flags |= guts.FlagRoot
	const step = guts.MaxSIMD * guts.BlockSize
	for i := 0; i < Size; i += step {
		n.Counter = uint64(i / guts.BlockSize)
		guts.CompressBlocks((*[step]byte)(out[i:]), n)
	}
}
