package cluster

import (
	"github.com/pinfold/pinfold/cluster/internal/typo"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// Typos names the words of this peer's record, of its place and of its tags, that
// look like misspellings of what another member says: copies are spread over
// words, so that a misspelt region counts as another one.
func (c *Cluster) Typos() []string {
	a := c.base.State.Authority()
	me, ok := a.Member(c.self)
	if !ok {
		return nil
	}
	var places, tags []string
	for _, m := range a.Members() {
		if m.Peer != c.self {
			places, tags = append(places, m.Domains...), append(tags, m.Tags...)
		}
	}
	return append(typo.Of("place", me.Domains, places), typo.Of("tag", me.Tags, tags)...)
}

// recordFaults tells of this peer's own record.
func (c *Cluster) recordFaults() []pinset.HealthEntry {
	m, ok := c.base.State.Authority().Member(c.self)
	var out []pinset.HealthEntry
	for _, t := range c.Typos() {
		out = append(out, pinset.HealthEntry{Code: "typo", Severity: pinset.SeverityInfo, Title: t,
			Do: "pinfold set --region, --household or --tag; if it is meant, leave it"})
	}
	if ok && m.State == identity.Draining {
		out = append(out, pinset.HealthEntry{Code: "draining", Severity: pinset.SeverityInfo, Title: "this peer drains: it takes nothing new",
			Do: "pinfold leave, once nothing is used here; pinfold undrain takes it back"})
	}
	return out
}
