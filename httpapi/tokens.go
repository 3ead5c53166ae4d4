package httpapi

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

// Token is what a token allows.
type Token = dialect.Token

// Tokens are the daemon's, the same at all doors. A change is on disk, and in force
// at every door, when it is answered.
type Tokens interface {
	Tokens(ctx context.Context) ([]Token, error)
	// AddToken makes a token and returns its text, "" where secret is that already, or
	// where it is a peer's. KindConflict: there is one with this secret, or peer.
	AddToken(ctx context.Context, t Token, secret string) (text string, made Token, err error)
	// RevokeToken ends a token by its id. KindNotFound: there is none.
	RevokeToken(ctx context.Context, id string) error
}

// maxNote is how long a token's note may be, in bytes.
const maxNote = 200

func (s *Server) tokens(c *call) error {
	all, err := s.deps.Daemon.Tokens(c.ctx())
	if err != nil {
		return err
	}
	for i := range all {
		all[i].Expired = !all[i].Expires.IsZero() && !s.now().Before(all[i].Expires)
	}
	if all == nil {
		all = []Token{}
	}
	return c.json(all)
}

func (s *Server) addToken(c *call) error {
	var ask dialect.NewToken
	if err := c.body(&ask); err != nil {
		return err
	}
	if err := s.checkToken(ask.Token); err != nil {
		return err
	}
	text, made, err := s.deps.Daemon.AddToken(c.ctx(), ask.Token, ask.Secret)
	if err != nil {
		return err
	}
	return c.json(dialect.MadeToken{Token: made, Text: text})
}

// checkToken is strict: what a token allows shall be what was meant.
func (s *Server) checkToken(t Token) error {
	switch {
	case t.ID != "" || !t.Created.IsZero() || t.Expired:
		return pinset.Invalid("body: id, created and expired are the daemon's to say")
	case len(t.Scopes) == 0:
		return pinset.Invalid("body: no scope").WithHint("as in {\"note\": \"cron\", \"scopes\": [\"read\", \"pin\"]}")
	case len(t.Note) > maxNote:
		return pinset.Invalid("note: %d bytes, at most %d", len(t.Note), maxNote)
	case len(t.NamePrefix) > pinset.MaxName:
		return pinset.Invalid("name_prefix: %d bytes, at most %d", len(t.NamePrefix), pinset.MaxName)
	case !t.Expires.IsZero() && !t.Expires.After(s.now()):
		return pinset.Invalid("expires %s: want a time ahead", t.Expires.Format(time.RFC3339))
	}
	for i, name := range t.Scopes {
		if _, err := pinset.ParseScope(name); err != nil {
			return err
		}
		if slices.Contains(t.Scopes[:i], name) {
			return pinset.Invalid("scope %q: given twice", name)
		}
	}
	if t.Peer != "" {
		if id, err := peer.Decode(t.Peer); err != nil || id.String() != t.Peer {
			return pinset.Invalid("peer %q: want a peer id", t.Peer).WithHint("pinfold peers lists them")
		}
	}
	return pinset.ValidateOwner(t.Owner)
}

func (s *Server) revokeToken(c *call) error {
	if err := s.deps.Daemon.RevokeToken(c.ctx(), c.arg); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}
