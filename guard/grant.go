package guard

import (
	"context"
	"slices"

	"github.com/pinfold/pinfold/pinset"
)

// Grant is what a token allows, the same at all doors.
type Grant struct {
	User       string // for messages; not secret
	Scopes     []pinset.Scope
	Owner      string // whose pins it acts for; only ScopeAdmin acts for others
	NamePrefix string // of the pins it may touch
}

// Has says whether the grant covers a scope; admin covers all.
func (g Grant) Has(s pinset.Scope) bool {
	return slices.Contains(g.Scopes, s) || slices.Contains(g.Scopes, pinset.ScopeAdmin)
}

// Authorise returns what a token allows, or an error that says why it allows
// nothing. It must take the same time for each wrong token.
type Authorise func(ctx context.Context, token string) (Grant, error)
