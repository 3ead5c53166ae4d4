package cluster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// shortWord is up to which length words that differ in a letter are two words:
// de and be are two countries.
const shortWord = 3

// meant returns the known word that given may be a misspelling of, or "": words
// that differ only in their digits are meant (home1, home2).
func meant(given string, known []string) string {
	var others []string
	for _, w := range known {
		switch {
		case w == given:
			return ""
		case withoutDigits(w) != withoutDigits(given):
			others = append(others, w)
		}
	}
	for _, w := range others {
		if strings.EqualFold(w, given) {
			return w
		}
	}
	if len(given) <= shortWord {
		return ""
	}
	return pinset.Nearest(given, others)
}

func withoutDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, s)
}

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
	return append(typos("place", me.Domains, places), typos("tag", me.Tags, tags)...)
}

func typos(what string, words, known []string) []string {
	slices.Sort(known)
	var out []string
	for _, w := range words {
		if near := meant(w, slices.Compact(known)); near != "" {
			out = append(out, fmt.Sprintf("%s %q: no other member says so, and %q is said: did you mean that?", what, w, near))
		}
	}
	return out
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
