package statement

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"

	"github.com/multiformats/go-multihash"
)

// MaxExceptions is how many hashes or ranges of hashes a statement names.
const MaxExceptions = 4096

// Hash is the name of an item among exceptions: two items with one name only make
// the statement claim less.
func Hash(h multihash.Multihash) uint64 {
	sum := sha256.Sum256(append([]byte("pinfold/exception/1"), h...))
	return binary.BigEndian.Uint64(sum[:])
}

// Exceptions are prefixes of hashes, all of the same number of bits.
type Exceptions struct {
	bits     uint // 64: whole hashes; 0: none is excepted
	prefixes []uint64
}

// Except collects hashes. When they are too many it shortens their prefixes until
// MaxExceptions are enough.
func Except(hashes iter.Seq[uint64]) Exceptions {
	x := Exceptions{bits: 64}
	tidy := func() {
		slices.Sort(x.prefixes)
		x.prefixes = slices.Compact(x.prefixes)
		for len(x.prefixes) > MaxExceptions {
			x.bits--
			for i := range x.prefixes {
				x.prefixes[i] &= x.mask()
			}
			x.prefixes = slices.Compact(x.prefixes)
		}
	}
	for h := range hashes {
		if x.prefixes = append(x.prefixes, h&x.mask()); len(x.prefixes) >= 4*MaxExceptions {
			tidy()
		}
	}
	tidy()
	if len(x.prefixes) == 0 {
		return Exceptions{}
	}
	return x
}

func (x Exceptions) mask() uint64 { return ^uint64(0) << (64 - x.bits) }

// Has says whether an item is excepted.
func (x Exceptions) Has(hash uint64) bool {
	if x.bits == 0 {
		return false
	}
	_, found := slices.BinarySearch(x.prefixes, hash&x.mask())
	return found
}

// Exact says whether single items are excepted, and no ranges.
func (x Exceptions) Exact() bool { return x.bits == 0 || x.bits == 64 }

// Equal says whether both except the same hashes.
func (x Exceptions) Equal(y Exceptions) bool {
	return x.bits == y.bits && slices.Equal(x.prefixes, y.prefixes)
}

// News says whether these except anything that before did not and that is not
// known. Ranges that changed may.
func (x Exceptions) News(before Exceptions, known func(hash uint64) bool) bool {
	if x.Equal(before) {
		return false
	}
	for _, p := range x.prefixes {
		if x.bits < 64 || !before.Has(p) && !known(p) {
			return true
		}
	}
	return false
}

func (x Exceptions) bytes() []byte {
	b := make([]byte, 0, 8*len(x.prefixes))
	for _, p := range x.prefixes {
		b = binary.BigEndian.AppendUint64(b, p)
	}
	return b
}

func parseExceptions(bits uint64, b []byte) (Exceptions, error) {
	if bits > 64 || len(b)%8 != 0 || len(b) > 8*MaxExceptions || (bits == 0) != (len(b) == 0) {
		return Exceptions{}, fmt.Errorf("exceptions: %d bytes of %d-bit prefixes", len(b), bits)
	}
	x := Exceptions{bits: uint(bits)}
	for i := 0; i < len(b); i += 8 {
		p := binary.BigEndian.Uint64(b[i:])
		if p&^x.mask() != 0 || i > 0 && p <= x.prefixes[len(x.prefixes)-1] {
			return Exceptions{}, fmt.Errorf("exceptions: not sorted, or longer than %d bits", bits)
		}
		x.prefixes = append(x.prefixes, p)
	}
	return x, nil
}
