package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/pinfold/pinfold/ipfsclient"
	"github.com/pinfold/pinfold/ipfsnode"
	"github.com/pinfold/pinfold/pinset"
)

// ipfsNode is the IPFS node that this daemon stores its data in.
type ipfsNode struct {
	ipfsclient.Node
	close func() error
	about string                      // for the greeting
	own   bool                        // the embedded one: no one else uses it
	run   func(context.Context) error // nil: it runs by itself
	notes []string                    // what its owner should know

	friendly *friendly

	// serves says whom the embedded node gives blocks to. The members are known
	// only after the node is open, so it is asked through a pointer.
	serves atomic.Pointer[func(peer.ID) bool]
}

// openNode opens the node that settle decided on. A Kubo that is away is no error:
// the peer runs, says so, and catches up.
func openNode(ctx context.Context, cfg Config, o Options, log *slog.Logger) (*ipfsNode, error) {
	if o.Node != nil {
		return &ipfsNode{Node: o.Node, close: func() error { return nil }, about: "given"}, nil
	}
	if cfg.IPFS.Node == "kubo" {
		return openKubo(ctx, cfg)
	}
	n := &ipfsNode{}
	listen, err := parseAddrs("ipfs.listen", cfg.IPFS.Listen)
	if err != nil {
		return nil, err
	}
	if err := checkPorts("ipfs.listen", listen); err != nil {
		return nil, err
	}
	node, err := ipfsnode.New(ipfsnode.Config{
		Dir: o.Dir.ipfs(), Listen: listen, Blockstore: cfg.IPFS.Blockstore, PortMap: cfg.Network.PortMap, Agent: "pinfold/" + o.Version, StorageMax: cfg.Give, Log: log,
		SendRate: cfg.IPFS.SendRate, FetchRate: cfg.IPFS.FetchRate,
		Allowed: func(id peer.ID) bool {
			f := n.serves.Load()
			return f != nil && (*f)(id)
		},
	})
	if err != nil {
		return nil, portTaken("ipfs.listen", pinset.Wrap(pinset.KindUnavailable, err, "open embedded IPFS node"))
	}
	n.Node, n.close, n.own, n.run = node, node.Close, true, node.Run
	n.about = "embedded, in " + o.Dir.ipfs()
	return n, nil
}

func openKubo(ctx context.Context, cfg Config) (*ipfsNode, error) {
	at := ipfsclient.Config{API: cfg.IPFS.API, Auth: cfg.IPFS.Auth}
	if at.API == "" {
		found, err := ipfsclient.Detect(ctx)
		if err != nil && found.API == "" {
			found.API = ipfsclient.DefaultAPI
		}
		at.API = found.API
	}
	client, err := ipfsclient.New(at)
	if err != nil {
		return nil, err
	}
	n := &ipfsNode{Node: client, close: client.Close, about: "Kubo at " + at.API}
	if id, err := client.Identity(ctx); err != nil {
		n.about += " (away)"
		n.notes = append(n.notes, fmt.Sprintf("the IPFS node does not answer; pinfold runs and catches up when it does: %v", err))
	} else {
		n.about = fmt.Sprintf("%s at %s", id.Agent, at.API)
	}
	return n, nil
}

func parseAddrs(key string, texts []string) ([]ma.Multiaddr, error) {
	out := make([]ma.Multiaddr, len(texts))
	for i, t := range texts {
		a, err := ma.NewMultiaddr(t)
		if err != nil {
			return nil, pinset.Invalid("%s %q: %v", key, t, err).WithHint("an address looks like /ip4/0.0.0.0/tcp/9096")
		}
		out[i] = a
	}
	return out, nil
}

// portTaken adds what to do to an error that says that somebody else listens.
func portTaken(key string, err error) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	e := pinset.Errorf(pinset.KindConflict, "%s: %w", key, err)
	return e.WithHint("`ss -lntup` shows which program listens there; end it, or choose another port: pinfold up --set %s=…", key)
}

// checkPorts refuses ports that another program has. libp2p shares ports
// (SO_REUSEPORT): two daemons on one would take each other's connections.
func checkPorts(key string, addrs []ma.Multiaddr) error {
	for _, a := range addrs {
		network, at, err := manet.DialArgs(a)
		if err != nil {
			continue // not an address of this machine: libp2p judges it
		}
		var l io.Closer
		if strings.HasPrefix(network, "udp") {
			l, err = net.ListenPacket(network, at)
		} else {
			l, err = net.Listen(network, at)
		}
		if err != nil {
			return portTaken(key, pinset.Wrap(pinset.KindInvalid, err, "listen on %s", a))
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

func controlPath() (string, bool) { return os.LookupEnv(ControlEnv) }
