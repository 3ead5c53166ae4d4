package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/pinfold/pinfold/cluster"
	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/gossip"
	"github.com/pinfold/pinfold/httpapi"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
	"github.com/pinfold/pinfold/tracker"
)

// peerOf is this peer's part in one cluster: state, network, tracker and rules,
// opened in that order and closed in the reverse.
type peerOf struct {
	dir      clusterDir
	founding *identity.Founding
	secret   identity.Secret
	state    *crdtstate.State
	timed    *timedState // the same, for those who write
	network  *gossip.Network
	tracker  *tracker.Tracker
	cluster  *cluster.Cluster
	enrol    *enrolment
}

// openPeer opens everything of one cluster.
func (d *Daemon) openPeer(ctx context.Context, dir clusterDir) (*peerOf, error) {
	p := &peerOf{dir: dir}
	var err error
	if p.founding, p.secret, err = dir.load(); err != nil {
		return nil, err
	}
	p.state, err = crdtstate.Open(ctx, crdtstate.Config{
		Dir: dir.path("state"), Store: d.cfg.State.Store, Founding: p.founding, Secret: p.secret, Key: d.key, Log: d.log,
	})
	if err != nil {
		return nil, err
	}
	d.closers.push("state", p.state.Close)
	p.timed = &timedState{stateForCluster: stateForCluster{p.state}}
	p.enrol = &enrolment{
		own: d.own, key: d.key, peer: p, node: d.node, log: d.log.With("component", "enrolment"), caught: make(chan struct{}),
	}
	if err := p.enrol.now(ctx); err != nil {
		return nil, err
	}
	notes, err := crdtstate.OpenStore(d.cfg.State.Store, dir.path("members"))
	if err != nil {
		return nil, pinset.Wrap(pinset.KindUnavailable, err, "open members' statements")
	}
	d.closers.push("members' statements", notes.Close)
	return p, d.joinParts(ctx, p, notes)
}

// joinParts connects the rooms: each knows of the others only what it asked for.
func (d *Daemon) joinParts(ctx context.Context, p *peerOf, notes ds.Datastore) error {
	members, err := cluster.OpenMembers(ctx, cluster.Config{
		Key: d.key, Secret: p.secret, Founding: p.founding, Version: d.opts.Version, Log: d.log, Lately: 3 * d.cfg.Network.Heartbeat,
		Outage: d.cfg.Tracker.Outage,
	}, cluster.Base{State: p.timed, Node: d.node, Store: notes})
	if err != nil {
		return err
	}
	cfg, err := networkConfig(d.cfg, d.key, p.secret, d.log)
	if err != nil {
		return err
	}
	asked := cfg.Listen
	cfg.Listen = p.dir.samePorts(asked)
	if err := checkPorts("network.listen", cfg.Listen); err != nil {
		return err
	}
	cfg.Founding, cfg.Bootstrap = p.founding, p.dir.book()
	if cfg.Record, err = p.enrol.candidate(); err != nil {
		return err
	}
	if p.network, err = gossip.New(cfg, gossip.Deps{
		Blocks: p.state, Summary: func() gossip.Summary { return gossip.Summary(p.state.Summary()) }, Authority: p.state.Authority,
		Records: members, Answerer: members, Epochs: p.state, Geneses: p.state,
		Refused: func(err error) bool { return errors.Is(err, crdtstate.ErrRefused) }, // not what was cut off, or is ahead of us
	}); err != nil {
		return portTaken("network.listen", err)
	}
	d.closers.push("network", p.network.Close)
	if err := p.dir.savePorts(asked, p.network.Listening()); err != nil {
		d.log.Warn("keep the ports for the next start", "err", err)
	}
	serves := p.serves
	d.node.serves.Store(&serves)
	feed := p.state.Subscribe()
	p.tracker, err = tracker.New(ctx, tracker.Config{
		Self: d.key.ID(), Cluster: string(p.founding.ID()), Mark: mark(d.key.ID()), Lent: d.own.lent,
		Reserve: d.cfg.Tracker.Reserve, Concurrency: d.cfg.Tracker.Concurrency, Grace: func() time.Duration { return p.grace(d.cfg.Tracker.Grace) }, Sweep: d.cfg.Tracker.Sweep, Log: d.log,
		Recheck: recheck(d.cfg.Tracker.Grace),
	}, tracker.Deps{
		State: p.state, Feed: feedForTracker{feed}, Views: members, Node: d.node, Coverage: members, Absence: members, Connector: members, Sizes: members,
		Turns: &d.turns, Traffic: d.traffic, Ledger: d.ledger, Caught: p.enrol.caught,
	})
	if err != nil {
		return err
	}
	p.cluster = cluster.New(members, cluster.Parts{
		Network: networkForCluster{p.network}, Tracker: p.tracker, Keeper: keeper{p.tracker}, Feed: feedForCluster{p.state.Subscribe()},
		Faults:   []cluster.Health{p.state, networkFaults{p.network}, p.tracker, d.pauses},
		Exchange: d.node.friendly.now,
	})
	return nil
}

// grace is how long a copy outlives its cover: as configured here, or as the
// policy in force says.
func (p *peerOf) grace(own time.Duration) time.Duration {
	if own > 0 {
		return own
	}
	return p.state.Authority().Policy().Grace
}

// recheck is how often it is looked whether others cover what shall go: a minute,
// or oftener where the time it stays is shorter than that.
func recheck(grace time.Duration) time.Duration {
	if grace == 0 {
		return time.Minute
	}
	return min(max(grace, time.Second), time.Minute)
}

// serves says whether an IPFS node is a member's: the embedded node gives blocks
// to those alone.
func (p *peerOf) serves(id peer.ID) bool {
	for _, r := range p.state.Authority().Members() {
		if r.IPFSPeer == id {
			return true
		}
	}
	return false
}

// mark is how this daemon's pins are told from others at a shared IPFS node: the
// last 16 characters of the peer id, where ids differ.
func mark(id peer.ID) string {
	text := id.String()
	return text[len(text)-16:]
}

// parts are what runs, by name.
func (p *peerOf) parts() map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"network": p.network.Run, "tracker": p.tracker.Run, "cluster": p.cluster.Run,
		"enrolment": p.enrol.Run, "announcements": p.announce, "address book": p.keepBook,
	}
}

// announce hands own deltas, which are durable, to the network.
func (p *peerOf) announce(ctx context.Context) error {
	for {
		select {
		case a, ok := <-p.state.Announcements():
			if !ok {
				return nil
			}
			p.network.Announce(a.Head, a.Block)
		case raw := <-p.state.NewlySigned():
			p.network.ShareSigned(raw)
		case <-ctx.Done():
			return nil
		}
	}
}

// bookEvery is how often it is looked whether the members' addresses changed, to
// write them down for the next start.
const bookEvery = 2 * time.Second

func (p *peerOf) keepBook(ctx context.Context) error {
	tick := time.NewTicker(bookEvery)
	defer tick.Stop()
	var saved []byte
	for {
		saved = p.dir.saveBook(p.network.Book(), saved)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// book is where members were last found: first what the last run wrote, then the
// invite's.
func (c clusterDir) book() []peer.AddrInfo {
	return append(c.invited("book"), c.invited("peers")...)
}

// invited reads one of the two files of where members were found; one that cannot be
// read is as one that is not there.
func (c clusterDir) invited(name string) (infos []peer.AddrInfo) {
	raw, err := os.ReadFile(c.path(name))
	if err != nil || json.Unmarshal(raw, &infos) != nil {
		return nil
	}
	return infos
}

// saveBook writes the address book if it is not the one that was saved, and
// returns what is saved now. It is a convenience: without it members are found
// through the invite's addresses.
func (c clusterDir) saveBook(infos []peer.AddrInfo, saved []byte) []byte {
	for _, i := range infos {
		slices.SortFunc(i.Addrs, func(a, b ma.Multiaddr) int { return bytes.Compare(a.Bytes(), b.Bytes()) })
	}
	slices.SortFunc(infos, func(a, b peer.AddrInfo) int { return strings.Compare(string(a.ID), string(b.ID)) })
	raw, err := json.Marshal(infos)
	if err != nil || len(infos) == 0 || bytes.Equal(raw, saved) || writeFile(c.path("book"), raw) != nil {
		return saved
	}
	return raw
}

// door is the cluster as the API serves it.
func (p *peerOf) door() *httpapi.Cluster {
	return &httpapi.Cluster{
		ID: string(p.founding.ID()), Name: p.founding.Name(),
		Pinset: p.cluster, Statuses: p.cluster, Members: p.cluster, Data: p.cluster, Health: p.cluster, Ruling: p.cluster, Policy: p.cluster, Past: p.cluster, Transfer: transferOf{p.cluster},
		Spread: p.cluster, Mirrors: p.cluster, Foresight: p.cluster, State: stateDoor{p.state}, Audit: p.cluster, Allocate: p.cluster.Allocate, Remove: p.cluster.Remove,
		Dial:  p.network.Dial,
		Queue: p.tracker.Queue, TakeOver: p.tracker.Adopt,
	}
}
