package daemon

import (
	"context"
	"time"

	"github.com/pinfold/pinfold/cluster"
	"github.com/pinfold/pinfold/metrics"
	"github.com/pinfold/pinfold/pinset"
)

// openMetrics connects the page to where its figures come from.
func (d *Daemon) openMetrics(context.Context) error {
	p := d.peer
	d.metrics = metrics.New(metrics.Sources{
		Version: d.opts.Version,
		State: func() metrics.State {
			s := p.state.Summary()
			return metrics.State{Pins: s.Count, Deltas: s.Blocks, Height: s.Height, Heads: uint64(len(s.Heads))}
		},
		Node: func() metrics.Node {
			s := p.tracker.Stats()
			return metrics.Node{
				Items: s.Items, Lent: s.Lent, Used: s.Used, Reserved: s.Reserved,
				Queued: uint64(s.Queued), Later: uint64(s.Later), Moving: uint64(s.Moving),
			}
		},
		Traffic: func() []metrics.Flow {
			in, out := p.network.Traffic()
			return []metrics.Flow{{Protocol: "all", In: in, Out: out}}
		},
		Exchange:  d.node.friendly.now,
		Agreement: p.cluster.Agreement,
		Health:    []metrics.HealthSource{p.cluster.Health},
	})
	p.timed.measure = d.metrics.Committed
	return nil
}

// timedState times the commits: what a writer waits for.
type timedState struct {
	stateForCluster
	measure func(time.Duration) // set before anything runs
}

func (t *timedState) Commit(ctx context.Context, ops ...cluster.Op) (pinset.Receipt, error) {
	begin := time.Now()
	receipt, err := t.stateForCluster.Commit(ctx, ops...)
	if err == nil && t.measure != nil {
		t.measure(time.Since(begin))
	}
	return receipt, err
}
