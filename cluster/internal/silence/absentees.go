package silence

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/identity"
)

// Absentees are the members of whom self should say that they are absent: now for
// the first time, or again since with it more than half of the active ones do.
func Absentees(a *identity.Authority, self peer.ID, silent func(peer.ID) time.Duration) []peer.ID {
	me, ok := a.Member(self)
	limit := a.Policy().Absent
	if !ok || me.State != identity.Active || limit == 0 {
		return nil
	}
	var out []peer.ID
	for _, m := range a.Members() {
		if m.Peer == self || silent(m.Peer) < limit {
			continue
		}
		if have, active, mine := a.Attested(m.Peer, self); !mine || 2*have > active {
			out = append(out, m.Peer)
		}
	}
	return out
}
