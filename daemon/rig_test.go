package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/daemon"
	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/ipfsclient"
	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/ipfsclient/kubotest"
	"github.com/pinfold/pinfold/pinset"
)

// rig is a cluster of whole daemons in this process, on loopback with the private
// network, the tracker on, and fake IPFS nodes in which every CID can be found.
type rig struct {
	t     testing.TB
	world *ipfsclienttest.World // nil: each peer has an embedded IPFS node
	peers []*rigPeer
}

type rigPeer struct {
	*client.Client
	dir  daemon.Dir
	node ipfsclient.Node
	d    *daemon.Daemon
	stop context.CancelFunc
	done chan error
}

const rigPatience = 2 * time.Minute

func newRig(t testing.TB, peers int, set map[string]string) *rig {
	t.Helper()
	r := &rig{t: t, world: &ipfsclienttest.World{Open: true, Imagine: ipfsclienttest.Everything}}
	for range peers {
		r.join(set)
	}
	return r
}

// join adds a peer: the first founds, the others join with an invite of the first.
func (r *rig) join(set map[string]string) *rigPeer {
	r.t.Helper()
	p := r.prepare(set)
	if len(r.peers) > 0 {
		inv, err := r.peers[0].Invite(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		if _, err := daemon.Join(r.t.Context(), daemon.Options{Dir: p.dir, Node: p.node}, inv.Text); err != nil {
			r.t.Fatal(err)
		}
	}
	r.start(p)
	r.peers = append(r.peers, p)
	return p
}

func (r *rig) prepare(set map[string]string) *rigPeer {
	r.t.Helper()
	dir, err := os.MkdirTemp("", "pfd") // short: unix sockets want it
	if err != nil {
		r.t.Fatal(err)
	}
	p := &rigPeer{dir: daemon.Dir(filepath.Join(dir, "p"))}
	if r.world != nil {
		p.node = r.world.Node()
	}
	p.Client = client.New(p.dir.Socket(), "")
	if err := os.MkdirAll(string(p.dir), 0o700); err != nil {
		r.t.Fatal(err)
	}
	flags := map[string]string{
		"name": fmt.Sprintf("p%d", len(r.peers)+1), "give": "1TB", "network.listen": "/ip4/127.0.0.1/tcp/0",
		"network.mdns": "false", "network.port_map": "false", "network.relay": "false", "network.heartbeat": "2s", "api.listen": "", "proxy.listen": "",
	}
	for k, v := range set {
		flags[k] = v
	}
	cfg, _, err := daemon.Load(p.dir.Config(), flags)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := daemon.Save(p.dir.Config(), cfg); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if p.stop != nil {
			r.end(p)
		}
		p.Close()
		os.RemoveAll(dir)
	})
	return p
}

func (r *rig) start(p *rigPeer) {
	r.t.Helper()
	var err error
	if p.d, err = daemon.New(r.t.Context(), daemon.Options{Dir: p.dir, Node: p.node}); err != nil {
		r.t.Fatal(err)
	}
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	p.done = make(chan error, 1)
	go func() { p.done <- p.d.Run(ctx) }()
	kubotest.Eventually(r.t, rigPatience, "the peer is a member", func() error {
		a, err := p.Agreement(r.t.Context())
		if err == nil && a.Members <= len(r.peers) {
			err = fmt.Errorf("it knows %d members", a.Members)
		}
		return err
	})
}

func (r *rig) end(p *rigPeer) {
	p.stop()
	p.stop = nil
	if err := <-p.done; err != nil && !errors.Is(err, context.Canceled) {
		r.t.Errorf("peer %s: %v", p.dir, err)
	}
}

// all waits until every peer knows count pins.
func (r *rig) all(count int) {
	r.t.Helper()
	kubotest.Eventually(r.t, rigPatience, fmt.Sprintf("all peers know %d pins", count), func() error {
		for _, p := range r.peers {
			a, err := p.Agreement(r.t.Context())
			if err != nil {
				return err
			}
			if int(a.Count) != count {
				return fmt.Errorf("%s knows %d", p.dir, a.Count)
			}
		}
		return nil
	})
}

// imagined is the i-th CID of data that nobody has to have.
func imagined(i int) cid.Cid {
	h, err := multihash.Sum(fmt.Appendf(nil, "imagined %d", i), multihash.SHA2_256, -1)
	if err != nil {
		panic(err) // sha2-256 is always there
	}
	return cid.NewCidV1(cid.Raw, h)
}

func pinNumber(i int) pinset.Pin {
	return pinset.Pin{CID: imagined(i), Name: fmt.Sprintf("pin number %d", i)}
}
