package httpproxy

import (
	"context"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/guard"
	"github.com/pinfold/pinfold/pinset"
)

// call is one request on its way.
type call struct {
	s      *Server
	w      http.ResponseWriter
	rc     *http.ResponseController
	r      *http.Request
	ctx    context.Context // of the request, with its timeout
	cmd    *command
	grant  guard.Grant
	args   []string
	opts   map[string]string // by the option's first name
	body   *body
	status int // answered, 0 when not yet
}

// handler serves one listener.
type handler struct {
	server *Server
	rules  guard.Rules
}

const prefix = "/api/v0/"

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	c := &call{s: h.server, w: w, rc: http.NewResponseController(w), r: r, ctx: r.Context()}
	c.body = newBody(c)
	defer c.body.finish()
	w.Header()["Server"] = []string{"pinfold/" + h.server.cfg.Version}
	w.Header()["Vary"] = []string{"Origin"}
	if err := c.serve(h.rules); err != nil {
		c.fail(err)
	}
	h.server.log.Debug("request", "path", r.URL.Path, "code", c.status, "dur", time.Since(start), "user", c.grant.User)
}

// serve keeps Kubo's order: method, origin, path, arguments. Who may is asked in
// between, before anything is looked at.
func (c *call) serve(rules guard.Rules) error {
	if c.r.Method == http.MethodOptions {
		return c.options(rules)
	}
	if c.r.Method != http.MethodPost {
		c.w.Header().Set("Allow", "OPTIONS, POST")
		return &textError{http.StatusMethodNotAllowed, "405 - Method Not Allowed"}
	}
	if err := rules.Check(c.r); err != nil {
		return &textError{http.StatusForbidden, "403 - Forbidden: " + err.Error()}
	}
	if origin := c.r.Header.Get("Origin"); rules.Configured(origin) {
		c.w.Header().Set("Access-Control-Allow-Origin", origin)
	}
	tail, err := c.find()
	if err != nil {
		return err
	}
	if err := c.authorise(rules); err != nil {
		return err
	}
	if err := c.notALoop(); err != nil {
		return err
	}
	if err := c.parse(tail); err != nil {
		return err
	}
	if wait := c.opts["timeout"]; wait != "" && !c.cmd.sent {
		d, err := time.ParseDuration(wait)
		if err != nil {
			return badRequest("%v", err)
		}
		ctx, cancel := context.WithTimeout(c.ctx, d)
		defer cancel()
		c.ctx = ctx
	}
	return c.cmd.run(c)
}

// options answers a preflight as Kubo does; no token is asked for.
func (c *call) options(rules guard.Rules) error {
	h, origin := c.w.Header(), c.r.Header.Get("Origin")
	h.Set("Allow", "OPTIONS, POST")
	if c.r.Header.Get("Access-Control-Request-Method") != "" && rules.Configured(origin) {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Methods", "POST")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Stream-Output, X-Chunked-Output, X-Content-Length")
	}
	c.status = http.StatusNoContent
	c.w.WriteHeader(c.status)
	return nil
}

// find looks the command up. The path is cleaned once, and what is matched is what
// is used from then on. One more segment is an argument, as Kubo takes it.
func (c *call) find() (tail []string, err error) {
	at := c.r.URL.Path
	clean := path.Clean("/" + at)
	if strings.HasSuffix(at, "/") {
		clean += "/"
	}
	name, ok := strings.CutPrefix(clean, prefix)
	if !ok {
		return nil, forbidden("there is nothing at %s: this door has %s only", c.r.URL.Path, prefix)
	}
	if c.cmd = c.s.commands[name]; c.cmd != nil {
		return nil, nil
	}
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		if c.cmd = c.s.commands[name[:i]]; c.cmd != nil {
			return []string{name[i+1:]}, nil
		}
	}
	c.cmd = c.s.foreign(name)
	return nil, nil
}

// authorise finds out who asks and whether they may.
func (c *call) authorise(rules guard.Rules) error {
	token, given, err := guard.Token(c.r)
	switch {
	case rules.Socket && !given:
		c.grant = guard.Grant{User: "this machine's user", Scopes: []pinset.Scope{pinset.ScopeAdmin}}
	case err == nil && given && c.s.deps.Authorise == nil:
		err = pinset.Errorf(pinset.KindUnauthorised, "this door knows no tokens")
	case err == nil && given:
		c.grant, err = c.s.deps.Authorise(c.ctx, token)
	case err == nil && rules.Peers:
		c.grant, err = c.peer()
	case err == nil && !rules.Remote:
		c.grant = guard.Grant{User: "who asks without a token", Scopes: c.s.cfg.Anonymous}
	}
	switch {
	case err != nil:
		return pinset.Wrap(pinset.KindUnauthorised, err, "authorise")
	case c.grant.Has(c.cmd.scope):
		return nil
	case !given && len(c.grant.Scopes) == 0:
		return pinset.Errorf(pinset.KindUnauthorised, "%s needs a token with scope %s", c.cmd.name, c.cmd.scope).
			WithHint("ipfs --api-auth bearer:TOKEN; the daemon keeps an admin token in its directory")
	case c.cmd.unknown:
		return forbidden("%s is not offered here without scope %s: %s has %v", c.cmd.name, c.cmd.scope, user(c.grant), c.grant.Scopes)
	}
	return forbidden("%s needs scope %s: %s has %v", c.cmd.name, c.cmd.scope, user(c.grant), c.grant.Scopes)
}

// peer is what the member may do whose line this is.
func (c *call) peer() (guard.Grant, error) {
	id, err := peer.Decode(c.r.RemoteAddr)
	if err != nil {
		return guard.Grant{}, err
	}
	g, err := c.s.deps.AuthorisePeer(c.ctx, id)
	if err != nil {
		return g, pinset.Errorf(pinset.KindUnauthorised, "peer %s has no rights here: %v", id, err).
			WithHint("at the member that offers it: pinfold token add NOTE --peer NAME --scope read")
	}
	return g, nil
}

func user(g guard.Grant) string {
	if g.User == "" {
		return "this token"
	}
	return g.User
}

func forbidden(format string, args ...any) *pinset.Error {
	return pinset.Errorf(pinset.KindForbidden, format, args...)
}

// pathHeader names the clusters that a call came through, so that a cluster that
// is attached to itself finds out.
const pathHeader = "Pinfold-Path"

// deepest is how many clusters a call may pass.
const deepest = 4

func (c *call) notALoop() error {
	var passed []string
	for _, line := range c.r.Header[pathHeader] {
		for id := range strings.SplitSeq(line, ",") {
			passed = append(passed, strings.TrimSpace(id))
		}
	}
	switch {
	case c.s.cfg.Cluster != "" && slices.Contains(passed, c.s.cfg.Cluster):
		return &statusError{http.StatusLoopDetected, pinset.Errorf(pinset.KindConflict,
			"loop: this request already passed cluster %s; a peer may not be attached to its own cluster", c.s.cfg.Cluster)}
	case len(passed) >= deepest:
		return &statusError{http.StatusLoopDetected, pinset.Errorf(pinset.KindConflict, "this request passed %d clusters: at most %d", len(passed), deepest)}
	}
	return nil
}

// mayName refuses a pin's name outside of the token's prefix.
func (c *call) mayName(name string) error {
	if !strings.HasPrefix(name, c.grant.NamePrefix) {
		return forbidden("%s may only touch pins whose name starts with %q, not %q", user(c.grant), c.grant.NamePrefix, name)
	}
	return nil
}
