package roster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// Named finds the member that people mean by a name or an id. KindNotFound:
// there is none; KindInvalid: there are several.
func Named(a *identity.Authority, text string) (identity.Record, error) {
	if id, err := peer.Decode(text); err == nil {
		if r, ok := a.Member(id); ok {
			return r, nil
		}
		return identity.Record{}, pinset.NotFound("%s is no member", id).WithHint("pinfold peers")
	}
	var found []identity.Record
	var names []string
	for _, r := range a.Members() {
		if r.Name == text {
			found = append(found, r)
		}
		names = append(names, r.Name)
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		e := pinset.NotFound("%q: no member has this name or id", text).WithHint("pinfold peers")
		slices.Sort(names)
		if near := pinset.Nearest(text, names); near != "" {
			e = e.WithHint("did you mean %s?", near)
		}
		return identity.Record{}, e
	}
	return identity.Record{}, pinset.Invalid("%q: the name of %d members: want an id", text, len(found)).WithHint("pinfold peers")
}

// Names lists members for people.
func Names(a *identity.Authority, ids []peer.ID) string {
	var out []string
	for _, id := range ids {
		if m, ok := a.Member(id); ok {
			out = append(out, m.Name)
		}
	}
	slices.SortFunc(out, strings.Compare)
	if len(out) > 10 {
		return strings.Join(out[:10], ", ") + fmt.Sprintf(" and %d more", len(out)-10)
	}
	return strings.Join(out, ", ")
}

// HasAdmin says whether anybody can rule.
func HasAdmin(a *identity.Authority) bool {
	for _, m := range a.Members() {
		if a.Role(m.Peer) == identity.RoleAdmin {
			return true
		}
	}
	return false
}
