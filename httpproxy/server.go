package httpproxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
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
	stopTime   = 5 * time.Second  // for answers under way when stopping
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
	// Copies that a pin gets when it asks for no number; -1: one at every member.
	Copies func() int
}

// Server answers Kubo's RPC on its listeners.
type Server struct {
	cfg      Config
	deps     Deps
	commands map[string]*command
	doors    []guard.Door
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
	if cfg.Socket != "" {
		d, err := listen.Socket(cfg.Socket)
		if err != nil {
			return nil, err
		}
		s.doors = append(s.doors, d)
	}
	for _, addr := range cfg.Listen {
		if addr == "" {
			continue
		}
		d, err := listen.TCP(addr)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.doors = append(s.doors, d)
	}
	return s, nil
}

// Addrs are the bound addresses: the socket's path, then http://host:port of each
// TCP listener.
func (s *Server) Addrs() []string {
	out := make([]string, 0, len(s.doors))
	for _, d := range s.doors {
		out = append(out, d.Addr)
	}
	return out
}

// Close gives the listeners back. Run does it by itself; it is for a Server that
// never ran.
func (s *Server) Close() error {
	var errs []error
	for _, d := range s.doors {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

// Run serves until ctx ends or a listener fails, then ends the answers under way
// and waits for them.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, len(s.doors))
	servers := make([]*http.Server, len(s.doors))
	var running sync.WaitGroup
	for i, d := range s.doors {
		servers[i] = s.serverFor(ctx, d)
		running.Go(func() {
			if err := servers[i].Serve(d.Listener); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve %s: %w", d.Addr, err)
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
