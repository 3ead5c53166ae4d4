package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/pinfold/pinfold/guard"
)

const (
	maxHeader  = 32 << 10
	maxBody    = 64 << 10         // of everything but POST /add
	headerTime = 10 * time.Second // for a client to send its headers
	bodyTime   = 30 * time.Second // for a client to send a small body
	stallTime  = 2 * time.Minute  // without a byte of a large one
	idleTime   = 3 * time.Minute  // between two requests
	errorLevel = slog.LevelWarn
)

// Config of a Server.
type Config struct {
	Socket      string      // path of the unix socket; "": none
	Listen      []string    // "host:port" each; port 0 is any
	AllowRemote bool        // plain TCP beyond loopback: tokens travel readable
	TLS         *tls.Config // nil: plain
	Hosts       []string    // further names of this API, for the Host check
	Origins     []string    // pages that may call it: "https://example.org"
	Version     string
	Commit      string
	Log         *slog.Logger
}

// Deps of a Server.
type Deps struct {
	Daemon    Daemon
	Authorise Authorise    // nil: no token is good, so TCP answers little
	Metrics   http.Handler // of GET /metrics; nil: 404
	// Requests is told of each answer; nil: nobody is. Route is a path of the API's
	// table or "".
	Requests func(method, route string, code int, took time.Duration)
}

// Server serves the API on its listeners.
type Server struct {
	cfg       Config
	deps      Deps
	endpoints []endpoint
	doors     guard.Doors
	headers   struct{ server, cache, sniff, json []string }
	now       func() time.Time
}

// New binds every listener, or none. A taken or forbidden address is an error that
// says what to do.
func New(cfg Config, deps Deps) (*Server, error) {
	s := &Server{cfg: cfg, deps: deps, now: time.Now}
	s.endpoints = compile(s.routes())
	s.headers.server, s.headers.cache = []string{"pinfold/" + cfg.Version}, []string{"no-store"}
	s.headers.sniff, s.headers.json = []string{"nosniff"}, []string{"application/json"}
	listen := guard.Listen{Name: "api", AllowRemote: cfg.AllowRemote, TLS: cfg.TLS, Hosts: cfg.Hosts, Origins: cfg.Origins}
	var err error
	if s.doors, err = listen.Open(cfg.Socket, cfg.Listen); err != nil {
		return nil, err
	}
	return s, nil
}

// Addrs are the bound addresses as client.New takes them: the socket's path, then
// http://host:port for each TCP listener.
func (s *Server) Addrs() []string { return s.doors.Addrs() }

// Close gives the listeners back. Run does it by itself; it is for a Server that
// never ran.
func (s *Server) Close() error { return s.doors.Close() }

// Run serves until ctx ends or a listener fails, then ends the answers under way
// and waits for them.
func (s *Server) Run(ctx context.Context) error { return s.doors.Serve(ctx, s.serverFor) }

func (s *Server) serverFor(ctx context.Context, d guard.Door) *http.Server {
	return &http.Server{
		Handler:           handler{s, d.Rules},
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(s.logger().Handler(), errorLevel),
	}
}

func (s *Server) logger() *slog.Logger {
	if s.cfg.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.cfg.Log
}

func (s *Server) observe(c *call, took time.Duration) {
	if s.deps.Requests != nil {
		s.deps.Requests(c.r.Method, c.route.path, c.code, took)
	}
	if log := s.cfg.Log; log != nil && log.Enabled(c.ctx(), slog.LevelDebug) {
		log.Debug("request", "method", c.r.Method, "path", c.r.URL.Path, "code", c.code, "dur", took, "user", c.grant.User)
	}
}

func (s *Server) authorise(ctx context.Context, token string) (Grant, error) {
	if s.deps.Authorise == nil {
		return Grant{}, errors.New("this API knows no tokens")
	}
	return s.deps.Authorise(ctx, token)
}

// limitBody gives the body until then to come. Nothing of a request may read from
// the connection without such a limit, not even net/http after the answer.
func (c *call) limitBody(until time.Time) {
	_ = http.NewResponseController(c.w).SetReadDeadline(until) // a connection that is gone tells itself
}

// readSmall reads a small body. One that did not come whole ends the connection.
func (c *call) readSmall(read func(io.Reader) error) error {
	if err := read(http.MaxBytesReader(c.w, c.r.Body, maxBody)); err != nil {
		c.w.Header().Set("Connection", "close")
		return err
	}
	c.limitBody(time.Time{}) // what follows takes the time it takes
	return nil
}
