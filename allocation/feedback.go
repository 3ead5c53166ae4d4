package allocation

import "math/bits"

// StartPhi is the fill factor with which a member joins that is to fill slowly.
const StartPhi = FullPhi >> 6

// leastPhi keeps a member in line that is full of what names it: at 0 it would
// be given nothing, and could not come back by factors.
const leastPhi = FullPhi >> 10

// Filling is what a member lends and what it holds of it, or is to hold, in bytes.
type Filling struct{ Lent, Held uint64 }

// Crowd says how full the members are that are filled to 80 % or more, in
// thousandths of what they lend. The others have reasons to be empty that no fill
// factor changes, or they take what these give away.
func Crowd(all []Filling) uint32 {
	var lent, held float64
	for _, l := range all {
		if low, _ := lessProduct(l.Held, 100, l.Lent, 80); !low && l.Lent > 0 {
			lent, held = lent+float64(l.Lent), held+float64(min(l.Held, 2*l.Lent))
		}
	}
	return uint32(1000 * held / max(lent, 1))
}

const (
	leastAim = 920 // thousandths
	noRoom   = 980 // where a crowd is this full, nobody takes what others give away
)

// Feedback returns the fill factor that a member should ask for, from the one it
// asks for now, what it lends and what is assigned to it, and how full the crowd is:
// less where it is above the middle between the crowd's fill (92 % at least) and
// all of it, aiming at the crowd's; more below 80 %, aiming at 88 %. Who aims
// lower than where the others are is filled again by those who do the same. A
// member publishes it at most every ten minutes. It is a member's own policy and no
// part of Allocate: peers need not know the same crowd.
func Feedback(phi uint32, own Filling, crowd uint32) uint32 {
	phi = min(phi, FullPhi)
	aim := uint64(max(crowd, leastAim))
	over, _ := lessProduct(own.Lent, 1000+aim, own.Held, 2000)
	under, _ := lessProduct(own.Held, 100, own.Lent, 80)
	switch {
	case over && crowd < noRoom:
		return quantised(max(phi/4, scaled(phi, aim, own)))
	case phi < FullPhi && under:
		return quantised(min(max(phi, leastPhi)*6/5, scaled(max(phi, leastPhi), 880, own)))
	}
	return phi
}

// SlowStart is Feedback for a member that has just joined, each time when it has
// fetched all that it was given: its share doubles as long as that cannot be too
// much.
func SlowStart(phi uint32, own Filling, crowd uint32) uint32 {
	if full, _ := lessProduct(own.Lent, 96, own.Held, 200); full {
		return Feedback(phi, own, crowd)
	}
	return quantised(2 * max(phi, StartPhi))
}

// scaled is phi times so many thousandths of lent/held, at most what one raise may
// ask.
func scaled(phi uint32, thousandths uint64, own Filling) uint32 {
	hi, lo := bits.Mul64(own.Lent, uint64(phi)*thousandths)
	if hi >= own.Held {
		return 2 * FullPhi
	}
	q, _ := bits.Div64(hi, lo, own.Held)
	return uint32(min(q/1000, 2*FullPhi))
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
