package fill

import (
	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/identity"
)

// Held is what is assigned to a member, as far as it is Known.
type Held struct {
	Known    bool
	Assigned uint64 // bytes
	Missing  int    // items of it that are not there yet
}

// NextPhi is the fill factor that a member should have. Settled: the last change was
// a while ago.
func NextPhi(m identity.Record, h Held, crowd uint32, settled bool) uint32 {
	own := allocation.Filling{Lent: m.Lent, Held: h.Assigned}
	switch {
	case !h.Known:
		return m.Phi
	case Growing(m.Phi) && (h.Missing == 0 || settled): // what nobody provides stays missing
		return allocation.SlowStart(m.Phi, own, crowd)
	case settled && !Growing(m.Phi):
		return allocation.Feedback(m.Phi, own, crowd)
	}
	return m.Phi
}

// Growing says whether phi is one of the steps from allocation.StartPhi to the whole
// share. What feedback makes of phi is rarely one of them; then there is room for
// a doubling, or feedback decides.
func Growing(phi uint32) bool {
	return phi >= allocation.StartPhi && phi < allocation.FullPhi && phi&(phi-1) == 0
}
