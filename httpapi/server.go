package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pinfold/pinfold/httpapi/guard"
	"github.com/pinfold/pinfold/pinset"
)

const (
	maxHeader  = 32 << 10
	maxBody    = 64 << 10         // of everything but POST /add
	headerTime = 10 * time.Second // for a client to send its headers
	bodyTime   = 30 * time.Second // for a client to send a small body
	stallTime  = 2 * time.Minute  // without a byte of a large one
	idleTime   = 3 * time.Minute  // between two requests
	stopTime   = 5 * time.Second  // for answers under way when stopping
	maxSocket  = 100              // bytes of a unix socket's path: what every system takes
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
	doors     []door
	headers   struct{ server, cache, sniff, json []string }
	now       func() time.Time
}

// door is a listener and who may come in by it.
type door struct {
	net.Listener
	guard guard.Rules
	addr  string // as Addrs says it
}

// New binds every listener, or none. A taken or forbidden address is an error that
// says what to do.
func New(cfg Config, deps Deps) (*Server, error) {
	s := &Server{cfg: cfg, deps: deps, now: time.Now}
	s.endpoints = compile(s.routes())
	s.headers.server, s.headers.cache = []string{"pinfold/" + cfg.Version}, []string{"no-store"}
	s.headers.sniff, s.headers.json = []string{"nosniff"}, []string{"application/json"}
	if cfg.Socket != "" {
		l, err := listenSocket(cfg.Socket)
		if err != nil {
			return nil, err
		}
		s.doors = append(s.doors, door{l, guard.Rules{Socket: true, Origins: lower(cfg.Origins)}, cfg.Socket})
	}
	for _, addr := range cfg.Listen {
		if addr == "" {
			continue
		}
		d, err := s.listenTCP(addr)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.doors = append(s.doors, d)
	}
	return s, nil
}

// Addrs are the bound addresses as NewClient takes them: the socket's path, then
// http://host:port for each TCP listener.
func (s *Server) Addrs() []string {
	out := make([]string, 0, len(s.doors))
	for _, d := range s.doors {
		out = append(out, d.addr)
	}
	return out
}

// Close gives the listeners back. Run does it by itself; it is for a Server that
// never ran.
func (s *Server) Close() error {
	var errs []error
	for _, d := range s.doors {
		if err := d.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, fmt.Errorf("close %s: %w", d.addr, err))
		}
		if d.guard.Socket {
			if err := os.Remove(d.addr); err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, fmt.Errorf("remove socket: %w", err))
			}
		}
	}
	return errors.Join(errs...)
}

// Run serves until ctx ends or a listener fails, then ends the answers under way
// and waits for them.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, len(s.doors))
	var running sync.WaitGroup
	servers := make([]*http.Server, len(s.doors))
	for i, d := range s.doors {
		servers[i] = s.serverFor(ctx, d)
		running.Go(func() {
			if err := servers[i].Serve(d.Listener); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve %s: %w", d.addr, err)
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	cancel() // what streams stops, so that stopping does not wait for it
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer done()
	for _, server := range servers {
		if server.Shutdown(stop) != nil {
			_ = server.Close()
		}
	}
	running.Wait()
	return errors.Join(err, s.Close())
}

func (s *Server) serverFor(ctx context.Context, d door) *http.Server {
	return &http.Server{
		Handler:           handler{s, d.guard},
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

func (s *Server) listenTCP(addr string) (door, error) {
	at, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return door{}, pinset.Wrap(pinset.KindInvalid, err, "api address %q: want host:port, as in 127.0.0.1:9094", addr)
	}
	local := at.IP.IsLoopback()
	if !local && !s.cfg.AllowRemote && s.cfg.TLS == nil {
		return door{}, pinset.Errorf(pinset.KindRefused, "api address %s: plain TCP beyond loopback shows every token to the network", addr).
			WithHint("use 127.0.0.1, or set api.allow_remote")
	}
	l, err := net.ListenTCP("tcp", at)
	if err != nil {
		return door{}, explainListen(addr, err)
	}
	g := guard.Rules{Remote: !local, Port: strconv.Itoa(l.Addr().(*net.TCPAddr).Port), Hosts: lower(s.cfg.Hosts), Origins: lower(s.cfg.Origins)}
	if s.cfg.TLS != nil {
		return door{tls.NewListener(l, s.cfg.TLS), g, "https://" + l.Addr().String()}, nil
	}
	return door{l, g, "http://" + l.Addr().String()}, nil
}

func explainListen(addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		_, port, _ := net.SplitHostPort(addr)
		return pinset.Wrap(pinset.KindConflict, &pinset.Error{Kind: pinset.KindConflict, Msg: "another program listens there",
			Hint: fmt.Sprintf("`ss -ltnp 'sport = :%s'` names it; or set api.listen to another port", port), Err: err}, "api address %s", addr)
	}
	return pinset.Wrap(pinset.KindUnavailable, err, "listen on api address %s", addr)
}

// listenSocket makes the socket in a private directory and moves it to its place
// when its mode is 0600, so that at no moment others may open it.
func listenSocket(path string) (net.Listener, error) {
	if len(path) > maxSocket {
		return nil, pinset.Invalid("api socket %q: %d bytes, at most %d", path, len(path), maxSocket).WithHint("set a shorter directory")
	}
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close()
		return nil, pinset.Errorf(pinset.KindConflict, "api socket %s: another daemon answers there", path).
			WithHint("stop it first, or use another directory")
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, pinset.Wrap(pinset.KindUnavailable, err, "make api socket")
	}
	defer os.RemoveAll(dir)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
	if err != nil {
		return nil, pinset.Wrap(pinset.KindUnavailable, err, "make api socket")
	}
	l.SetUnlinkOnClose(false) // it moves away; Close removes it
	if err = os.Chmod(filepath.Join(dir, "s"), 0o600); err == nil {
		err = os.Rename(filepath.Join(dir, "s"), path)
	}
	if err != nil {
		return nil, errors.Join(pinset.Wrap(pinset.KindUnavailable, err, "make api socket"), l.Close())
	}
	return l, nil
}

func lower(in []string) []string {
	out := make([]string, 0, len(in))
	for _, s := range in {
		out = append(out, strings.ToLower(strings.TrimSuffix(s, "/")))
	}
	return out
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
