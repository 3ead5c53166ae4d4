package roster

import (
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// IdleMirror says why a wish has no effect, or "".
func IdleMirror(a *identity.Authority, r identity.Record, word string) string {
	of, err := peer.Decode(word)
	switch {
	case a.Role(r.Peer) == identity.RoleObserver:
		return "an observer stores nothing"
	case r.State == identity.Draining:
		return "it is draining"
	case r.Lent>>20 == 0:
		return "it lends nothing"
	case word == pinset.MirrorAll:
		return ""
	case err != nil:
		return "from a newer version: update pinfold"
	case !a.Is(of):
		return "no member any more"
	}
	return ""
}

// WishMeant finds a wish by what it is of: a member's name, an id (also of who is
// no member any more), or everything.
func WishMeant(a *identity.Authority, wishes []string, of string) (string, error) {
	if slices.Contains(wishes, of) {
		return of, nil
	}
	if m, err := Named(a, of); err == nil && slices.Contains(wishes, m.Peer.String()) {
		return m.Peer.String(), nil
	}
	e := pinset.NotFound("mirror %q: this peer has no such wish", of).WithHint("pinfold mirror ls")
	if len(wishes) == 0 {
		e = pinset.NotFound("mirror %q: this peer mirrors nobody", of).WithHint("pinfold mirror add NAME")
	}
	return "", e
}
