package daemon

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/pinfold/pinfold/cluster"
	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/gossip"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
	"github.com/pinfold/pinfold/tracker"
)

// The rooms do not know each other's types. Here they are turned into each other,
// field by field.

type stateForCluster struct{ *crdtstate.State }

func (s stateForCluster) Commit(ctx context.Context, ops ...cluster.Op) (pinset.Receipt, error) {
	out := make([]crdtstate.Op, len(ops))
	for i, op := range ops {
		out[i] = crdtstate.Op(op)
	}
	return s.State.Commit(ctx, out...)
}

func (s stateForCluster) SizeOp(c cid.Cid, bytes uint64) cluster.Op {
	return cluster.Op(crdtstate.SizeOp(c, bytes))
}

func (s stateForCluster) Summary() cluster.Summary {
	sum := s.State.Summary()
	return cluster.Summary{Count: sum.Count, Digest: sum.Digest}
}

func (s stateForCluster) History(ctx context.Context, from cluster.Place) iter.Seq2[cluster.Entry, error] {
	return func(yield func(cluster.Entry, error) bool) {
		for e, err := range s.State.History(ctx, crdtstate.Place(from)) {
			out := cluster.Entry{At: e.At, Author: e.Author, Seq: e.Seq, Beside: e.Beside, Set: e.Set, Next: cluster.Place(e.Next)}
			for _, g := range e.Gone {
				out.Gone = append(out.Gone, cluster.Gone(g))
			}
			for _, r := range e.Rivals {
				out.Rivals = append(out.Rivals, cluster.Rivalry(r))
			}
			for _, r := range e.Outcome {
				out.Outcome = append(out.Outcome, cluster.Rivalry(r))
			}
			if !yield(out, err) {
				return
			}
		}
	}
}

type feedForCluster struct{ *crdtstate.Feed }

func (f feedForCluster) Next(ctx context.Context) (cluster.Changes, error) {
	c, err := f.Feed.Next(ctx)
	return cluster.Changes{CIDs: c.CIDs, Rescan: c.Rescan, Authority: c.Authority}, err
}

type feedForTracker struct{ *crdtstate.Feed }

func (f feedForTracker) Next(ctx context.Context) (tracker.Changes, error) {
	c, err := f.Feed.Next(ctx)
	return tracker.Changes{CIDs: c.CIDs, Rescan: c.Rescan, Vector: c.Vector}, err
}

type networkForCluster struct{ *gossip.Network }

func (n networkForCluster) Peers() []cluster.PeerState {
	states := n.Network.Peers()
	out := make([]cluster.PeerState, len(states))
	for i, s := range states {
		out[i] = cluster.PeerState{
			ID: s.ID, Connected: s.Connected, LastHeard: s.LastHeard, Addrs: s.Addrs, Heads: s.Heads, Count: s.Count, Digest: s.Digest,
			Statement: s.Statement, Error: s.Error, Sync: progress(s.Sync),
		}
	}
	return out
}

// progress says how far a transfer of deltas has come, for people.
func progress(p *gossip.Progress) string {
	if p == nil {
		return ""
	}
	text := fmt.Sprintf("synchronising: %d deltas, %s", p.Blocks, pinset.FormatSize(p.Bytes))
	if took := time.Since(p.Since); p.Total > p.Blocks && p.Blocks > 0 {
		left := time.Duration(float64(took) * float64(p.Total-p.Blocks) / float64(p.Blocks))
		text += fmt.Sprintf(" of about %d, %s left", p.Total, left.Round(time.Second))
	}
	return text
}

func (n networkForCluster) Ask(ctx context.Context, to peer.ID, question []byte) iter.Seq2[[]byte, error] {
	return n.Network.Ask(ctx, to, question)
}

type networkFaults struct{ *gossip.Network }

func (n networkFaults) Health() []pinset.HealthEntry {
	var out []pinset.HealthEntry
	for _, e := range n.Network.Health() {
		out = append(out, pinset.HealthEntry{Code: e.Code, Severity: pinset.Severity(e.Severity), Title: e.Title, Detail: e.Detail, Do: e.Do, Since: e.Since})
	}
	return out
}

type keeper struct{ *tracker.Tracker }

func (k keeper) Report() cluster.Report {
	r := k.Tracker.Report()
	return cluster.Report{
		Ready: r.Ready, Version: r.Version, View: r.View, Vector: r.Vector, Items: r.Items, Bytes: r.Bytes,
		Missing: r.Missing, Need: r.Need, Exceptions: r.Exceptions, Refused: k.Stats().Items[pinset.StatusRefused],
	}
}

func (k keeper) Usage() cluster.Usage {
	s := k.Stats()
	return cluster.Usage{Used: s.Used, Queued: uint64(s.Queued + s.Later), Traffic: s.Traffic.Limits()}
}

// networkConfig is what the configuration says of the network; the caller adds
// the cluster's own.
func networkConfig(cfg Config, key identity.Key, secret identity.Secret, log *slog.Logger) (gossip.Config, error) {
	listen, err := parseAddrs("network.listen", cfg.Network.Listen)
	if err != nil {
		return gossip.Config{}, err
	}
	return gossip.Config{
		Key: key, Secret: secret, Listen: []ma.Multiaddr(listen), Open: cfg.Network.Open, MDNS: cfg.Network.MDNS,
		PortMap: cfg.Network.PortMap, Relay: cfg.Network.Relay, Heartbeat: cfg.Network.Heartbeat, Log: log,
	}, nil
}
