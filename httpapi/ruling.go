package httpapi

import (
	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

// setConfig changes settings of the running daemon.
func (s *Server) setConfig(c *call) error {
	var ask map[string]string
	if err := c.body(&ask); err != nil {
		return err
	}
	if len(ask) == 0 {
		return pinset.Invalid("body: no setting").WithHint("as in {\"give\": \"2TB\"}")
	}
	warnings, err := s.deps.Daemon.Set(c.ctx(), ask)
	if err != nil {
		return err
	}
	return c.json(dialect.NewChanged(warnings))
}
