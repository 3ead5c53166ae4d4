package roster

import (
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/cluster/internal/twins"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// ClassSize is from where an item's size changes who may hold it, in bytes.
const ClassSize = 1 << 30

// Of returns what of the membership decides who holds what.
func Of(a *identity.Authority) ([]allocation.Member, allocation.Policy) {
	var out []allocation.Member
	shared := twins.Of(a)
	for _, r := range a.Members() {
		m := allocation.Member{
			ID: r.Peer, Cap: r.Lent >> 20, Phi: r.Phi, Domains: r.Domains, Tags: r.Tags,
			Mirror: slices.Contains(r.Mirrors, pinset.MirrorAll), Mirrors: Mirrored(r.Mirrors), Incarnation: r.Incarnation, Seat: r.Seat,
		}
		if r.InPerDay > 0 {
			m.InCap = max(1, r.InPerDay>>20) // 0 would be no limit
		}
		if r.State == identity.Draining {
			m.State = allocation.Draining
		}
		if _, second := shared.Counted[r.Peer]; second {
			m.Cap, m.Mirror, m.Mirrors = 0, false, nil // one disk counts once
		}
		if a.Role(r.Peer) == identity.RoleObserver {
			m.Cap, m.Mirror, m.Mirrors = 0, false, nil
		}
		out = append(out, m)
	}
	p := a.Policy()
	return out, allocation.Policy{
		Algo: p.Algo, FillDays: p.FillDays, MirrorsCount: p.MirrorsCount, StrictShare: p.StrictShare,
		Replication: pinset.Replication{Min: p.Min, Max: p.Max},
	}
}

// Mirrored returns the members that a record's wishes name.
func Mirrored(wishes []string) []peer.ID {
	var out []peer.ID
	for _, w := range wishes {
		if id, err := peer.Decode(w); err == nil {
			out = append(out, id)
		}
	}
	return out
}

// Item is a pin as the allocation sees it; size is what members published, in bytes.
func Item(p pinset.Pin, size uint64) allocation.Item {
	return allocation.Item{Hash: p.CID.Hash(), Want: p.Replication, Tags: p.Tags, Include: p.Include, Size: max(p.Size, size)}
}
