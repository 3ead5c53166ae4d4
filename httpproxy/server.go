package httpproxy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/guard"
	"github.com/pinfold/pinfold/pinset"
)

const (
	maxHeader  = 64 << 10         // Kubo's clients put many arguments into the address
	headerTime = 10 * time.Second // for a client to send its headers
	stallTime  = 2 * time.Minute  // for a client to send or take a piece of a body
	idleTime   = 3 * time.Minute  // between two requests
)

// Config of a Server.
type Config struct {
	Listen      []string // "host:port" each; port 0 is any
	Socket      string   // path of a unix socket; "": none
	AllowRemote bool     // plain TCP beyond loopback: tokens travel readable
	TLS         *tls.Config
	Hosts       []string       // further names of this door, for the Host check
	Origins     []string       // further pages that may call it
	Anonymous   []pinset.Scope // of who asks without a token at a loopback listener
	KeepFiles   bool           // pin the root of Kubo's mutable file system
	Version     string
	Self        peer.ID // this member of the cluster
	Cluster     string  // its id
	Name        string  // its name
	Log         *slog.Logger
}

// Deps of a Server. Either Kubo or Blocks is there.
type Deps struct {
	Pinset    Pinset
	Statuses  Statuses
	Members   Members
	Data      Data
	Node      Node
	Kubo      Kubo
	Blocks    Blocks
	Authorise guard.Authorise // nil: no token is good
	// Lines are the private network's, from members who have proved their keys, and
	// AuthorisePeer what such a key may do. Nil: nobody comes that way.
	Lines         net.Listener
	AuthorisePeer func(context.Context, peer.ID) (guard.Grant, error)
	// Copies that a pin gets when it asks for no number; -1: one at every member.
	Copies func() int
}

// Server answers Kubo's RPC on its listeners.
type Server struct {
	cfg      Config
	deps     Deps
	commands map[string]*command
	doors    guard.Doors
	lines    guard.Doors // of doors' kind, and served with them
	log      *slog.Logger
	mfs      mfs
}

// companions are the origins that Kubo lets in by itself: the IPFS Companion
// extension in its two editions.
func companions() []string {
	return []string{"chrome-extension://nibjojkomfdiaoajekhjakgkdhaomnch", "chrome-extension://hjoieblefckbooibpepigmacodalfndh"}
}

// New binds every listener, or none. A taken or forbidden address is an error that
// says what to do.
func New(cfg Config, deps Deps) (*Server, error) {
	s := &Server{cfg: cfg, deps: deps, log: cfg.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.log = s.log.With("component", "proxy")
	s.commands = s.compile(s.table())
	listen := guard.Listen{Name: "proxy", AllowRemote: cfg.AllowRemote, TLS: cfg.TLS, Hosts: cfg.Hosts, Origins: append(companions(), cfg.Origins...)}
	var err error
	if s.doors, err = listen.Open(cfg.Socket, cfg.Listen); err != nil {
		return nil, err
	}
	if deps.Lines != nil {
		s.lines = guard.Doors{listen.Peers(deps.Lines)}
	}
	return s, nil
}

// Addrs are the bound addresses: the socket's path, then http://host:port of each
// TCP listener.
func (s *Server) Addrs() []string { return s.doors.Addrs() }

// Close gives the listeners back. Run does it by itself; it is for a Server that
// never ran.
func (s *Server) Close() error { return s.all().Close() }

func (s *Server) all() guard.Doors { return slices.Concat(s.doors, s.lines) }

// Run serves until ctx ends or a listener fails, then ends the answers under way
// and waits for them.
func (s *Server) Run(ctx context.Context) error { return s.all().Serve(ctx, s.serverFor) }

func (s *Server) serverFor(ctx context.Context, d guard.Door) *http.Server {
	return &http.Server{
		Handler:           handler{s, d.Rules},
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}
