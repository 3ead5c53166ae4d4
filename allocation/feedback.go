package allocation

import "math/bits"

// StartPhi is the fill factor with which a member joins that is to fill slowly.
const StartPhi = FullPhi >> 6

// leastPhi keeps a member in line that is full of what names it: at 0 it would
// be given nothing, and could not come back by factors.
const leastPhi = FullPhi >> 10

// Feedback returns the fill factor that a member should ask for, from the one it
// asks for now, the bytes it lends and those that are assigned to it: less above
// 96 %, aiming at 92 %, more below 80 %, aiming at 88 %. A member publishes it at
// most every ten minutes. It is a member's own policy and no part of Allocate.
func Feedback(phi uint32, lent, assigned uint64) uint32 {
	phi = min(phi, FullPhi)
	over, _ := lessProduct(lent, 96, assigned, 100)
	under, _ := lessProduct(assigned, 100, lent, 80)
	switch {
	case over:
		return quantised(max(phi/4, scaled(phi, 92, lent, assigned)))
	case phi < FullPhi && under:
		return quantised(min(max(phi, leastPhi)*6/5, scaled(max(phi, leastPhi), 88, lent, assigned)))
	}
	return phi
}

// SlowStart is Feedback for a member that has just joined, each time when it has
// fetched all that it was given: its share doubles as long as that cannot be too
// much.
func SlowStart(phi uint32, lent, assigned uint64) uint32 {
	if full, _ := lessProduct(lent, 96, assigned, 200); full {
		return Feedback(phi, lent, assigned)
	}
	return quantised(2 * max(phi, StartPhi))
}

// scaled is phi times percent of lent/assigned, at most what one raise may ask.
func scaled(phi uint32, percent, lent, assigned uint64) uint32 {
	hi, lo := bits.Mul64(lent, uint64(phi)*percent)
	if hi >= assigned {
		return 2 * FullPhi
	}
	q, _ := bits.Div64(hi, lo, assigned)
	return uint32(min(q/100, 2*FullPhi))
}

// quantised is the greatest step of 1/64 octave below FullPhi that is not above
// phi, so that small changes of load publish nothing.
func quantised(phi uint32) uint32 {
	phi = max(leastPhi, min(phi, FullPhi))
	const step = 1 << (fracBits - 6)
	k := phiLog(phi) / step
	if down := phiAt(k * step); down <= phi {
		return down
	}
	return max(leastPhi, phiAt((k+1)*step))
}

// phiLog is how many octaves below FullPhi phi is, in units of negLog2.
func phiLog(phi uint32) uint64 { return negLog2(uint64(phi)<<48 - 1) }

// phiAt is the greatest phi that is at least so far below FullPhi.
func phiAt(log uint64) uint32 {
	var phi uint32
	for bit := uint32(FullPhi); bit > 0; bit >>= 1 {
		if phi|bit <= FullPhi && phiLog(phi|bit) >= log {
			phi |= bit
		}
	}
	return phi
}
