package testnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/pinfold/pinfold/daemon"
	"github.com/pinfold/pinfold/pinset"
)

// Options of a network on this machine.
type Options struct {
	Peers int
	Kubo  bool // a real Kubo for each, from the PATH, instead of embedded nodes

	APIs []string // RPCs of IPFS nodes that run already, for the first so many peers

	KuboPeers int    // with Kubo: only the first so many get one; 0: all
	Dir       string // "" is DefaultDir, removed at the end
	Keep      bool
	Exe       string // the pinfold to run
	Give      string // disk that each lends, as people write it
}

// DefaultDir is where the network of this user lives when nobody says otherwise.
// There is one at a time, so `testnet cut` finds it.
func DefaultDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("pinfold-testnet-%d", os.Getuid()))
}

// Network is a running network. Peers are named p1, p2, … as they were started.
type Network struct {
	opts    Options
	lock    *flock.Flock
	peers   []*Peer
	control net.Listener
}

// Start starts the peers: the first founds the cluster, the others join with its
// invite. It returns when all of them are members. A failed start leaves nothing
// running.
func Start(ctx context.Context, opts Options) (_ *Network, err error) {
	if opts.Peers < 1 || opts.Peers > 50 {
		return nil, pinset.Invalid("%d peers: want 1 to 50", opts.Peers)
	}
	if opts.Dir == "" {
		opts.Dir = DefaultDir()
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, pinset.Wrap(pinset.KindInvalid, err, "make directory %s", opts.Dir)
	}
	n := &Network{opts: opts, lock: flock.New(filepath.Join(opts.Dir, "lock"))}
	if ok, err := n.lock.TryLock(); err != nil || !ok {
		return nil, pinset.Errorf(pinset.KindConflict, "a testnet runs in %s already", opts.Dir).
			WithHint("end it with Ctrl-C where it runs, or use --keep with another directory")
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	if !opts.Keep {
		if err := emptyDir(opts.Dir); err != nil {
			return nil, err
		}
	}
	var invite string
	for i := range opts.Peers {
		p := &Peer{Name: fmt.Sprintf("p%d", i+1), Dir: filepath.Join(opts.Dir, fmt.Sprintf("p%d", i+1)), exe: opts.Exe}
		if i < len(opts.APIs) {
			p.api = opts.APIs[i]
		}
		n.peers = append(n.peers, p)
		if err := p.prepare(ctx, opts, opts.Kubo && (opts.KuboPeers == 0 || i < opts.KuboPeers), invite); err != nil {
			return nil, err
		}
		if err := p.Start(ctx); err != nil {
			return nil, err
		}
		if err := p.enrolled(ctx, i+1); err != nil {
			return nil, err
		}
		if i == 0 {
			inv, err := p.Client().Invite(ctx)
			if err != nil {
				return nil, fmt.Errorf("invite from %s: %w", p.Name, err)
			}
			invite = inv.Text
		}
	}
	return n, n.listen()
}

// Peers returns the peers in the order they were started.
func (n *Network) Peers() []*Peer { return n.peers }

// Dir is where everything lies.
func (n *Network) Dir() string { return n.opts.Dir }

// Close stops every peer and its IPFS node, and removes the directory unless it
// is to be kept. It ends soon: what does not stop is killed.
func (n *Network) Close() error {
	var errs []error
	if n.control != nil {
		errs = append(errs, n.control.Close())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	done := make(chan error, len(n.peers))
	for _, p := range n.peers {
		go func() { done <- p.Stop(ctx) }()
	}
	for range n.peers {
		errs = append(errs, <-done)
	}
	errs = append(errs, n.lock.Unlock())
	if !n.opts.Keep {
		errs = append(errs, os.RemoveAll(n.opts.Dir))
	}
	return errors.Join(errs...)
}

// Cut lets only peers of one group talk to each other, on the cluster's network
// and between embedded IPFS nodes. A peer in no group is alone.
func (n *Network) Cut(ctx context.Context, groups [][]string) error {
	side := map[string]int{}
	for i, g := range groups {
		for _, name := range g {
			if n.peer(name) == nil {
				return pinset.NotFound("no peer %q: there are %s", name, strings.Join(n.names(), ", "))
			}
			side[name] = i + 1
		}
	}
	for _, p := range n.peers {
		var away daemon.CutRequest
		for _, q := range n.peers {
			if q != p && (side[p.Name] == 0 || side[p.Name] != side[q.Name]) {
				away.Members = append(away.Members, q.id.ID.String())
				away.IPFS = append(away.IPFS, q.id.IPFS.Peer.String())
			}
		}
		if err := p.cut(ctx, away); err != nil {
			return fmt.Errorf("cut %s: %w", p.Name, err)
		}
	}
	return nil
}

// Heal ends every cut.
func (n *Network) Heal(ctx context.Context) error {
	var errs []error
	for _, p := range n.peers {
		errs = append(errs, p.cut(ctx, daemon.CutRequest{}))
	}
	return errors.Join(errs...)
}

func (n *Network) peer(name string) *Peer {
	for _, p := range n.peers {
		if p.Name == name {
			return p
		}
	}
	return nil
}

func (n *Network) names() []string {
	var out []string
	for _, p := range n.peers {
		out = append(out, p.Name)
	}
	return out
}

// listen serves `testnet cut` and `testnet heal` from other terminals.
func (n *Network) listen() error {
	l, err := net.Listen("unix", controlSocket(n.opts.Dir))
	if err != nil {
		return fmt.Errorf("listen for testnet commands: %w", err)
	}
	n.control = l
	mux := http.NewServeMux()
	mux.HandleFunc("POST /cut", func(w http.ResponseWriter, r *http.Request) {
		answer(w, n.Cut(r.Context(), groups(r.URL.Query()["group"])))
	})
	mux.HandleFunc("POST /heal", func(w http.ResponseWriter, r *http.Request) { answer(w, n.Heal(r.Context())) })
	go (&http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}).Serve(l) // ends when Close closes l
	return nil
}

func groups(args []string) [][]string {
	var out [][]string
	for _, a := range args {
		out = append(out, strings.Split(a, ","))
	}
	return out
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), pinset.KindOf(err).Info().HTTP)
		return
	}
	io.WriteString(w, "done\n")
}

func controlSocket(dir string) string { return filepath.Join(dir, "testnet.sock") }

// emptyDir removes what an earlier network left behind, but for the lock that is
// held. It refuses a directory that no testnet made.
func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == "lock" {
			continue
		}
		if e.Name() != "testnet.sock" && !strings.HasPrefix(e.Name(), "p") && e.Name() != "sample" {
			return pinset.Invalid("%s: holds %s, which no testnet made", dir, e.Name()).WithHint("use an empty directory")
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
