package allocation

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

const (
	itemDomain   = "pinfold/item/1"
	memberDomain = "pinfold/member/1"
)

// key is the first eight bytes of SHA-256(domain || b).
func key[T ~string | ~[]byte](domain string, b T) uint64 {
	var buf [128]byte
	sum := sha256.Sum256(append(append(buf[:0], domain...), b...))
	return binary.BigEndian.Uint64(sum[:])
}

// draw mixes an item's key and a member's key into that pair's uniform number.
func draw(item, member uint64) uint64 {
	x := item ^ member
	x *= 0xff51afd7ed558ccd
	x ^= x >> 32
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 32
	return x
}

// fracBits is the number of binary places of negLog2.
const fracBits = 57

// negLog2 is -log2((h+1)/2^64) with 57 binary places, never below the true value
// and less than two units above it; it falls as h rises. It squares the mantissa
// 57 times, each time gaining one bit of the logarithm, in integers only.
func negLog2(h uint64) uint64 {
	if h == 1<<64-1 {
		return 0
	}
	h++
	z := bits.LeadingZeros64(h)
	m := h << z
	var frac uint64
	for range fracBits {
		hi, lo := bits.Mul64(m, m)
		frac <<= 1
		if hi>>63 == 1 {
			frac |= 1
			m = hi
		} else {
			m = hi<<1 | lo>>63
		}
	}
	return 64<<fracBits - (uint64(63-z)<<fracBits | frac)
}

// lessProduct says whether a*b < c*d, in 128 bits; equal tells that they are the
// same.
func lessProduct(a, b, c, d uint64) (less, equal bool) {
	hi1, lo1 := bits.Mul64(a, b)
	hi2, lo2 := bits.Mul64(c, d)
	if hi1 != hi2 {
		return hi1 < hi2, false
	}
	return lo1 < lo2, lo1 == lo2
}

// sizeClass of an item: 0 below 1 GiB or unknown, then one more for each doubling.
func sizeClass(bytes uint64) int { return bits.Len64(bytes >> 30) }

// classCap is what a member must lend to be given items of a class, in MiB: four
// times the class's upper end.
func classCap(class int) uint64 {
	if class == 0 {
		return 0
	}
	return 4 << class << 10
}
