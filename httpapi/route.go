package httpapi

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pinfold/pinfold/guard"
	"github.com/pinfold/pinfold/pinset"
)

// route is an endpoint. In path, {x} stands for one segment, a last {x...} for the
// rest. scope "" answers without a token. query are the parameters it knows; a
// last "*" of one stands for any ending.
type route struct {
	method, path string
	scope        pinset.Scope
	query        []string
	handle       func(*call) error
	body         body
}

// body is who reads a request's body.
type body bool

const (
	none body = false // it means nothing, and is taken away beforehand
	own  body = true  // the handler
)

// The parameters that several endpoints know.
var (
	pinQuery = []string{"name", "mode", "replication", "replication-min", "replication-max", "shard-size", "user-allocations",
		"expire-at", "expire-in", "meta-*", "origins", "owner", "tags", "priority", "wait", "wait-timeout"}
	unpinQuery   = []string{"owner", "together", "force"}
	removedQuery = []string{"cids", "name", "since", "owner"}
	addQuery     = []string{"layout", "chunker", "raw-leaves", "progress", "cid-version", "hash", "nocopy", "local", "recursive", "hidden",
		"wrap-with-directory", "shard", "stream-channels", "format", "no-pin", "pin", "pin-name", "only-hash", "quiet", "quieter", "silent", "encoding"}
)

// changes are the parameters of a pin request.
func changes() []string { return slices.Concat(pinQuery, []string{"pin-update", "unpin", "adopt"}) }

// routes is the API's table.
func (s *Server) routes() []route {
	read, pin, admin := pinset.ScopeRead, pinset.ScopePin, pinset.ScopeAdmin
	return []route{
		{"GET", "/health", "", []string{"ready"}, s.health, none},
		{"GET", "/version", "", nil, s.version, none},
		{"GET", "/metrics", "", nil, s.metrics, none},
		{"GET", "/id", read, nil, s.id, none},
		{"GET", "/health/graph", read, nil, s.graph, none},
		{"GET", "/health/alerts", read, nil, s.alerts, none},
		{"GET", "/monitor/metrics", read, nil, s.metricNames, none},
		{"GET", "/monitor/metrics/{name}", read, nil, s.metricValues, none},
		{"GET", "/agreement", read, nil, s.agreement, none},
		{"GET", "/peers", read, nil, s.peers, none},
		{"DELETE", "/peers/{id}", admin, nil, s.removePeer, none},
		{"POST", "/peers/{id}/drain", admin, nil, s.drain, none},
		{"POST", "/peers/{id}/undrain", admin, nil, s.undrain, none},
		{"POST", "/peers/{id}/role", admin, []string{"role"}, s.setRole, none},
		{"GET", "/capacity", read, nil, s.capacity, none},
		{"GET", "/policy", read, nil, s.policy, none},
		{"POST", "/policy", admin, nil, s.setPolicy, own},
		{"GET", "/pins", read, []string{"filter", "local", "cids"}, s.statuses, none},
		{"GET", "/pins/{cid}", read, []string{"local"}, s.status, none},
		{"POST", "/pins/{cid}", pin, changes(), s.pin, none},
		{"DELETE", "/pins/{cid}", pin, unpinQuery, s.unpin, none},
		{"POST", "/pins/ipfs/{path...}", pin, changes(), s.pinPath, none},
		{"DELETE", "/pins/ipfs/{path...}", pin, unpinQuery, s.unpinPath, none},
		{"POST", "/pins/{cid}/recover", pin, []string{"local"}, s.recover, none},
		{"POST", "/pins/recover", pin, []string{"local"}, s.recoverAll, none},
		{"GET", "/removed", read, removedQuery, s.removed, none},
		{"POST", "/removed/restore", pin, append([]string{"all"}, removedQuery...), s.restore, none},
		{"GET", "/state/export", admin, nil, s.export, none},
		{"POST", "/state/import", admin, []string{"dry-run", "replace"}, s.importPins, own},
		{"GET", "/merges", read, nil, s.merges, none},
		{"GET", "/allocations", read, []string{"filter", "owner", "allocations"}, s.allocations, none},
		{"GET", "/allocations/{cid}", read, []string{"owner"}, s.allocation, none},
		{"POST", "/add", pinset.ScopeAdd, slices.Concat(addQuery, pinQuery), s.add, own},
		{"GET", "/data/{path...}", read, []string{"format"}, s.data, none},
		{"POST", "/ipfs/gc", pinset.ScopeGC, []string{"local"}, s.gc, none},
		{"GET", "/allocations/{cid}/explain", read, nil, s.explain, none},
		{"GET", "/allocations/{cid}/receipt", read, nil, s.receipt, none},
		{"GET", "/plan", read, []string{"if"}, s.plan, none},
		{"GET", "/balance", read, nil, s.balance, none},
		{"GET", "/state", read, nil, s.stateInfo, none},
		{"POST", "/state/compact", admin, nil, s.compact, none},
		{"GET", "/audit", read, []string{"since", "challenge"}, s.auditAll, none},
		{"GET", "/deficit", read, nil, s.deficit, none},
		{"GET", "/mirrors", read, nil, s.mirrors, none},
		{"POST", "/mirrors/{of...}", admin, nil, s.addMirror, none},
		{"DELETE", "/mirrors/{of...}", admin, nil, s.removeMirror, none},
		{"POST", "/cluster/join", admin, nil, s.join, own},
		{"POST", "/cluster/invite", admin, nil, s.invite, none},
		{"POST", "/cluster/leave", admin, nil, s.leave, none},
		{"POST", "/peers/{id}/replace", admin, []string{"by"}, s.replace, none},
		{"POST", "/peers/{id}/line", admin, nil, s.line, none},
		{"GET", "/queue", read, []string{"limit"}, s.queue, none},
		{"POST", "/pause", admin, []string{"for"}, s.pause, none},
		{"POST", "/resume", admin, nil, s.resume, none},
		{"GET", "/tokens", admin, nil, s.tokens, none},
		{"POST", "/tokens", admin, nil, s.addToken, own},
		{"DELETE", "/tokens/{id}", admin, nil, s.revokeToken, none},
		{"GET", "/config", admin, nil, s.config, none},
		{"POST", "/config", admin, nil, s.setConfig, own},
	}
}

// endpoint is a path and what its methods do.
type endpoint struct {
	path    string
	parts   []string // "" for one segment
	rest    bool     // the last part takes all that follows
	methods map[string]route
	allow   string // for the Allow header
}

// compile groups routes by path, the literal ones first.
func compile(routes []route) []endpoint {
	var out []endpoint
	for _, r := range routes {
		i := slices.IndexFunc(out, func(e endpoint) bool { return e.path == r.path })
		if i < 0 {
			i = len(out)
			out = append(out, newEndpoint(r.path))
		}
		out[i].methods[r.method] = r
	}
	for i := range out {
		allow := []string{"OPTIONS"}
		for m := range out[i].methods {
			allow = append(allow, m)
		}
		slices.Sort(allow)
		out[i].allow = strings.Join(allow, ", ")
	}
	slices.SortStableFunc(out, func(a, b endpoint) int { return cmp.Compare(strings.Count(a.path, "{"), strings.Count(b.path, "{")) })
	return out
}

func newEndpoint(path string) endpoint {
	e := endpoint{path: path, methods: map[string]route{}}
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		e.rest = strings.HasSuffix(part, "...}")
		if strings.HasPrefix(part, "{") {
			part = ""
		}
		e.parts = append(e.parts, part)
	}
	return e
}

// match returns what stands for the path's variable; no path has two.
func (e *endpoint) match(path string) (value string, ok bool) {
	rest, more := strings.TrimPrefix(path, "/"), true
	for i, part := range e.parts {
		if !more {
			return "", false
		}
		if e.rest && i == len(e.parts)-1 {
			return rest, rest != ""
		}
		var head string
		head, rest, more = strings.Cut(rest, "/")
		switch {
		case part == "" && head != "":
			value = head
		case part != head:
			return "", false
		}
	}
	return value, !more
}

// call is one request on its way.
type call struct {
	w      http.ResponseWriter
	r      *http.Request
	s      *Server
	guard  guard.Rules
	grant  Grant
	known  bool // the grant is somebody's
	route  route
	arg    string // what stands for the path's variable
	params params
	code   int // answered, 0 when not yet
}

func (c *call) ctx() context.Context { return c.r.Context() }

// handler serves one listener.
type handler struct {
	server *Server
	guard  guard.Rules
}

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	c := &call{w: w, r: r, s: h.server, guard: h.guard}
	defer func() { h.server.observe(c, time.Since(start)) }()
	if err := c.serve(); err != nil {
		c.fail(err)
	}
}

func (c *call) serve() error {
	if c.r.ContentLength != 0 {
		c.limitBody(c.s.now().Add(bodyTime)) // also of those who are refused before anybody reads it
	}
	header := c.w.Header()
	header["Server"] = c.s.headers.server
	header["Cache-Control"] = c.s.headers.cache
	header["X-Content-Type-Options"] = c.s.headers.sniff
	if err := c.guard.Check(c.r); err != nil {
		return err
	}
	c.guard.Share(c.w, c.r)
	path, err := cleanPath(c.r.URL.Path)
	if err != nil {
		return err
	}
	e, arg := c.s.find(path)
	if c.r.Method == http.MethodOptions {
		return c.options(e)
	}
	method := c.r.Method
	if method == http.MethodHead && e != nil && e.methods["GET"].scope == "" {
		method = http.MethodGet // small and public: for those who watch
	}
	var known bool
	if e != nil {
		c.route, known = e.methods[method]
	}
	if e != nil && !known {
		header.Set("Allow", e.allow)
		return &statusError{http.StatusMethodNotAllowed, pinset.Invalid("%s %s: this path takes %s", c.r.Method, path, e.allow)}
	}
	if err := c.authorise(known); err != nil {
		return err
	}
	if !known {
		return pinset.NotFound("there is no %s", path).WithHint("the paths are in docs/openapi.json")
	}
	c.arg = arg
	if c.params, err = parseParams(c.r.URL.RawQuery, c.route.query); err != nil {
		return err
	}
	if c.route.body == none {
		if err := c.skipBody(); err != nil {
			return err
		}
	}
	return c.route.handle(c)
}

// cleanPath refuses spellings that two readers could read differently, and
// forgives one slash at the end.
func cleanPath(path string) (string, error) {
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	if !strings.HasPrefix(path, "/") || len(path) > 1 && path[len(path)-1] == '/' || strings.Contains(path, "//") || strings.ContainsRune(path, 0) {
		return "", pinset.Invalid("path %q: empty names are not possible in it", path)
	}
	if strings.Contains(path, "/.") {
		for part := range strings.SplitSeq(path, "/") {
			if part == "." || part == ".." {
				return "", pinset.Invalid("path %q: %q is not possible in it", path, part)
			}
		}
	}
	return path, nil
}

func (s *Server) find(path string) (*endpoint, string) {
	for i := range s.endpoints {
		if arg, ok := s.endpoints[i].match(path); ok {
			return &s.endpoints[i], arg
		}
	}
	return nil, ""
}

// options answers a preflight: guard has let it pass, no token is asked for.
func (c *call) options(e *endpoint) error {
	if e == nil {
		return pinset.NotFound("there is no %s", c.r.URL.Path)
	}
	h := c.w.Header()
	h.Set("Allow", e.allow)
	if c.guard.Configured(c.r.Header.Get("Origin")) {
		h.Set("Access-Control-Allow-Methods", e.allow)
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
		h.Set("Access-Control-Max-Age", "600")
	}
	return c.empty(http.StatusNoContent)
}

// authorise finds out who asks and whether they may. Paths that do not exist ask
// for a token as well, so that nobody learns from them.
func (c *call) authorise(known bool) error {
	if c.guard.Socket {
		c.grant, c.known = Grant{User: "this machine's user", Scopes: []pinset.Scope{pinset.ScopeAdmin}}, true
		return nil
	}
	public := known && c.route.scope == ""
	token, given, err := guard.Token(c.r)
	if err == nil && given {
		c.grant, err = c.s.authorise(c.ctx(), token)
		c.known = err == nil
	}
	switch {
	case err != nil:
		return pinset.Wrap(pinset.KindUnauthorised, err, "authorise")
	case !given && !public:
		return pinset.Errorf(pinset.KindUnauthorised, "%s %s needs a token", c.r.Method, c.r.URL.Path).
			WithHint("send Authorization: Bearer TOKEN (pinfold --token TOKEN); the daemon keeps an admin token in its directory")
	case known && !public && !c.grant.Has(c.route.scope):
		return forbidden("%s may not %s %s: it needs scope %s, and has %v", user(c.grant), c.route.method, c.route.path, c.route.scope, c.grant.Scopes).
			WithHint("use a token with scope %s", c.route.scope)
	}
	return nil
}

func forbidden(format string, args ...any) *pinset.Error {
	return pinset.Errorf(pinset.KindForbidden, format, args...)
}

func user(g Grant) string {
	if g.User == "" {
		return "this token"
	}
	return g.User
}

// actsFor returns the owner whose pins a request is about: the one it names, which
// must be the token's own but for admins, or else the token's.
func (c *call) actsFor() (string, error) {
	owner, given := c.params.optional("owner")
	switch {
	case !given:
		return c.grant.Owner, nil
	case owner != c.grant.Owner && !c.grant.Has(pinset.ScopeAdmin):
		return "", forbidden("%s acts for owner %q, not for %q", user(c.grant), c.grant.Owner, owner)
	}
	return owner, pinset.ValidateOwner(owner)
}

// mayName refuses a name outside of the token's prefix.
func (c *call) mayName(name string) error {
	if !strings.HasPrefix(name, c.grant.NamePrefix) {
		return forbidden("%s may only touch pins whose name starts with %q, not %q", user(c.grant), c.grant.NamePrefix, name)
	}
	return nil
}
