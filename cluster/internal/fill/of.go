package fill

import (
	"slices"

	"github.com/pinfold/pinfold/cluster/internal/roster"
	"github.com/pinfold/pinfold/cluster/internal/whatif"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// Of is how full a member is, and why it takes no share where it takes none.
func Of(a *identity.Authority, m identity.Record, assigned pinset.Amount, used uint64) pinset.Fill {
	f := pinset.Fill{Peer: m.Peer, Name: m.Name, Site: whatif.Site(m.Domains), Lent: m.Lent, Assigned: assigned, Used: used}
	switch {
	case a.Role(m.Peer) == identity.RoleObserver:
		f.Role = "observer"
	case m.State == identity.Draining:
		f.Role = "draining"
	case slices.Contains(m.Mirrors, pinset.MirrorAll) || len(roster.Mirrored(m.Mirrors)) > 0:
		f.Role = "mirror"
	}
	f.Fill, f.Of = Share(assigned.Bytes, m.Lent), Share(used, m.Lent)
	return f
}
