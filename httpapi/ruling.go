package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

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

// peerID is the member that the path names.
func (c *call) peerID() (peer.ID, error) {
	id, err := peer.Decode(c.arg)
	if err != nil {
		return "", pinset.Invalid("peer id %q: %v", c.arg, err).WithHint("pinfold peers lists them")
	}
	return id, nil
}

// rule does something about the member that the path names.
func (c *call) rule(act func(context.Context, Ruling, peer.ID) error) error {
	id, err := c.peerID()
	if err != nil {
		return err
	}
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	if err := act(c.ctx(), cl.Ruling, id); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}

func (s *Server) drain(c *call) error {
	return c.rule(func(ctx context.Context, r Ruling, id peer.ID) error { return r.Drain(ctx, id) })
}

func (s *Server) undrain(c *call) error {
	return c.rule(func(ctx context.Context, r Ruling, id peer.ID) error { return r.Undrain(ctx, id) })
}

func (s *Server) setRole(c *call) error {
	role := c.params.get("role")
	if role == "" {
		c.params.bad("role", "admin, writer, keeper, observer or default")
	}
	if err := c.params.err; err != nil {
		return err
	}
	return c.rule(func(ctx context.Context, r Ruling, id peer.ID) error { return r.SetRole(ctx, id, role) })
}

func (s *Server) policy(c *call) error {
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	rules, err := cl.Policy.Policy(c.ctx())
	if err != nil {
		return err
	}
	return c.json(rules)
}

func (s *Server) setPolicy(c *call) error {
	var ask map[string]string
	if err := c.body(&ask); err != nil {
		return err
	}
	if len(ask) == 0 {
		return pinset.Invalid("body: no rule").WithHint("as in {\"replication\": \"2..3\"}")
	}
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	if err := cl.Policy.SetPolicy(c.ctx(), ask); err != nil {
		return err
	}
	return s.policy(c)
}

// pause begins no fetch for a while, or until resumed.
func (s *Server) pause(c *call) error {
	var d time.Duration
	if text := c.params.get("for"); text != "" {
		var err error
		if d, err = time.ParseDuration(text); err != nil || d <= 0 {
			c.params.bad("for", "a duration, as in 2h")
		}
	}
	if err := c.params.err; err != nil {
		return err
	}
	if err := s.deps.Daemon.Pause(c.ctx(), d); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}

func (s *Server) resume(c *call) error {
	if err := s.deps.Daemon.Resume(c.ctx()); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}

// replace puts the member named by "by" in the place of the one in the path.
func (s *Server) replace(c *call) error {
	by, err := peer.Decode(c.params.get("by"))
	if err != nil {
		c.params.bad("by", "the peer id of a member")
	}
	if err := c.params.err; err != nil {
		return err
	}
	return c.rule(func(ctx context.Context, r Ruling, id peer.ID) error { return r.Replace(ctx, id, by) })
}
