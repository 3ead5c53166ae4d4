package allocation

import "github.com/libp2p/go-libp2p/core/peer"

// StandIns returns who holds an item for a while in place of members that cannot
// be reached: the reachable ones next in line, until as many as the minimum can be
// reached, with the holders among them. It changes nothing about Allocate: these
// copies are local, and go when the holders have theirs. Peers that differ about
// who is away make some copies too many and lose none.
//
// When an outage calls for them is up to the caller: for pins that were added
// after it began, and for older ones after 72 hours.
func (v *View) StandIns(it Item, away map[peer.ID]bool) []peer.ID {
	if len(away) == 0 || !v.known() {
		return nil
	}
	q := v.query(&it)
	if q.every {
		return nil // nobody is left to stand in
	}
	missing := q.min
	if v.policy.MirrorsCount {
		missing -= v.near(q.mirrors, away)
	}
	missing -= v.near(q.include, away)
	p := v.plan(&q)
	copies := q.copies()
	var out []peer.ID
	done := 0
	for k := 2*copies + 2; missing > 0 && done < len(p.member); k *= 2 {
		line := p.order(key(itemDomain, it.Hash), k)
		for ; done < len(line) && missing > 0; done++ {
			if id := v.members[line[done]].ID; !away[id] {
				missing--
				if done >= copies {
					out = append(out, id)
				}
			}
		}
	}
	return out
}

// near counts those who are not away.
func (v *View) near(members []int32, away map[peer.ID]bool) int {
	n := 0
	for _, i := range members {
		if !away[v.members[i].ID] {
			n++
		}
	}
	return n
}
