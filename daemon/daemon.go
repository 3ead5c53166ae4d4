package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	ds "github.com/ipfs/go-datastore"
	"golang.org/x/sync/errgroup"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/httpapi"
	"github.com/pinfold/pinfold/httpproxy"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/ipfsclient"
	"github.com/pinfold/pinfold/metrics"
	"github.com/pinfold/pinfold/pinset"
	"github.com/pinfold/pinfold/tracker"
)

// Options of a daemon.
type Options struct {
	Dir     Dir
	Flags   map[string]string // configuration keys given on the command line
	Version string
	Node    ipfsclient.Node // nil: the one the configuration names
	Log     *slog.Logger
}

func (o Options) log() *slog.Logger {
	if o.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Log
}

// Greeting is what a start has to say.
type Greeting struct {
	Name        string   `json:"name"`
	Peer        string   `json:"peer"`
	Cluster     string   `json:"cluster"`
	ClusterName string   `json:"cluster_name"`
	Node        string   `json:"ipfs_node"`
	Give        uint64   `json:"give"`
	Addresses   []string `json:"addresses"`
	API         []string `json:"api"`
	Proxy       []string `json:"proxy,omitempty"` // the IPFS-shaped door
	Notes       []string `json:"notes,omitempty"`
}

// Daemon is a running peer.
type Daemon struct {
	opts    Options
	cfg     Config
	own     *own
	pauses  *pauses
	log     *slog.Logger
	closers *closers
	key     identity.Key
	node    *ipfsNode
	ledger  ds.Batching
	turns   tracker.Turns
	traffic *tracker.Traffic
	peer    *peerOf // the one cluster
	metrics *metrics.Metrics
	tokens  *identity.TokenStore
	api     *httpapi.Server
	proxy   *httpproxy.Server // nil: none
	control *control
	stop    context.CancelCauseFunc
}

// New opens and binds everything. A failed New leaves nothing open.
func New(ctx context.Context, o Options) (_ *Daemon, err error) {
	d := &Daemon{opts: o, log: o.log(), closers: &closers{log: o.log()}}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.closers.unwind())
		}
	}()
	lock, err := o.lock()
	if err != nil {
		return nil, err
	}
	d.closers.push("lock", lock.Unlock)
	if d.cfg, err = o.settle(ctx); err != nil {
		return nil, err
	}
	if d.own, err = openOwn(o, d.cfg); err != nil {
		return nil, err
	}
	if d.pauses, err = openPauses(o.Dir); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{d.openKey, d.openNode, d.openLedger, d.openCluster, d.openMetrics, d.openAPI, d.openProxy, d.openControl} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *Daemon) openKey(context.Context) (err error) {
	d.key, err = d.opts.Dir.loadKey()
	return err
}

func (d *Daemon) openNode(ctx context.Context) (err error) {
	d.node, err = openNode(ctx, d.cfg, d.opts, d.log)
	if err != nil {
		return err
	}
	d.closers.push("IPFS node", d.node.close)
	d.node.friendly = newFriendly(d.node.Node)
	return nil
}

func (d *Daemon) openLedger(ctx context.Context) (err error) {
	d.ledger, err = crdtstate.OpenStore(d.cfg.State.Store, d.opts.Dir.ledger())
	if err != nil {
		return pinset.Wrap(pinset.KindUnavailable, err, "open ledger")
	}
	d.closers.push("ledger", d.ledger.Close)
	d.traffic, err = tracker.OpenTraffic(ctx, d.ledger, func() tracker.Rules {
		rules := *d.own.line.Load()
		rules.Paused = d.pauses.end()
		return rules
	})
	return pinset.Wrap(pinset.KindUnavailable, err, "open ledger")
}

// openCluster opens the one cluster this peer is in, and makes one at the first
// start.
func (d *Daemon) openCluster(ctx context.Context) error {
	have, err := d.opts.Dir.clusters()
	if err != nil {
		return err
	}
	switch len(have) {
	case 0:
		fresh, err := d.opts.found(d.cfg.Name + "'s")
		if err != nil {
			return err
		}
		have = append(have, fresh)
	case 1:
	default:
		return pinset.Errorf(pinset.KindConflict, "%s: %d clusters; this version runs one at a time", d.opts.Dir.path("clusters"), len(have)).
			WithHint("rename the directory of the one that shall rest, to a name with a dot in it")
	}
	d.peer, err = d.openPeer(ctx, have[0])
	return err
}

func (d *Daemon) openControl(context.Context) (err error) {
	path, ok := controlPath()
	if !ok {
		return nil
	}
	var ipfs cutter
	if c, ok := d.node.Node.(cutter); ok {
		ipfs = c
	}
	if d.control, err = openControl(path, d.peer.network, ipfs); err != nil {
		return fmt.Errorf("open control socket: %w", err)
	}
	d.closers.push("control socket", d.control.listen.Close)
	return nil
}

// Greeting says who this peer is, where it can be reached, and what it found.
func (d *Daemon) Greeting() Greeting {
	g := Greeting{
		Name: d.cfg.Name, Peer: d.key.ID().String(), Cluster: string(d.peer.founding.ID()), ClusterName: d.peer.founding.Name(),
		Node: d.node.about, Give: d.cfg.Give, API: d.api.Addrs(), Notes: d.node.notes,
	}
	if d.proxy != nil {
		g.Proxy = d.proxy.Addrs()
	}
	if note := d.overpromised(); note != "" {
		g.Notes = append(g.Notes, note)
	}
	for _, a := range d.peer.network.Addrs() {
		g.Addresses = append(g.Addresses, a.String())
	}
	return g
}

// Run takes part until ctx ends or a part fails, then closes everything. It
// returns ErrRestart when the daemon shall be made anew.
func (d *Daemon) Run(ctx context.Context) error {
	return errors.Join(d.run(ctx), d.closers.unwind())
}

func (d *Daemon) run(ctx context.Context) error {
	ctx, d.stop = context.WithCancelCause(ctx)
	defer d.stop(nil)
	g, ctx := errgroup.WithContext(ctx)
	parts := map[string]func(context.Context) error{"API": d.api.Run, "leaving": d.leave, "memory": trim}
	parts["exchange"] = func(ctx context.Context) error { return d.node.friendly.watch(ctx, d.peer.state.Authority) }
	for name, run := range d.peer.parts() {
		parts[name] = run
	}
	if d.node.run != nil {
		parts["IPFS node"] = d.node.run
	}
	if d.proxy != nil {
		parts["proxy"] = d.proxy.Run
	}
	if d.control != nil {
		parts["control"] = func(ctx context.Context) error { return d.control.Run(ctx, d.log) }
	}
	for name, run := range parts {
		g.Go(func() error {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	err := g.Wait()
	if errors.Is(context.Cause(ctx), ErrRestart) {
		return errors.Join(err, ErrRestart)
	}
	return err
}

// leave ends the daemon once its peer has left the cluster.
func (d *Daemon) leave(ctx context.Context) error {
	select {
	case <-d.peer.cluster.Left():
		if err := d.peer.dir.markLeft(); err != nil { // before the stop, which takes its time
			return err
		}
		d.stopWith(errLeft)
		<-ctx.Done()
	case <-ctx.Done():
	}
	return nil
}
