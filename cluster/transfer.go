package cluster

import (
	"context"
	"iter"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/cluster/internal/bulk"
	"github.com/pinfold/pinfold/cluster/internal/transfer"
	"github.com/pinfold/pinfold/pinset"
)

// Exporter takes an export piece by piece.
type Exporter = transfer.Writer

// Export writes the pinset out, signed by this peer, in the order of its keys. Pins
// that change meanwhile may be as before or after.
func (c *Cluster) Export(ctx context.Context, w Exporter) error {
	e := pinset.Export{Cluster: string(c.cfg.Founding.ID()), Name: c.cfg.Founding.Name(), By: c.self, At: c.cfg.Now().UTC().Truncate(time.Second)}
	return transfer.Write(e, c.base.State.Pins(ctx, ""), c.cfg.Key.Private().Sign, w)
}

// Import pins what is brought in, and counts what became of it. What is there and
// differs stays, unless it is to be replaced. Importing twice changes nothing more.
func (c *Cluster) Import(ctx context.Context, lines iter.Seq2[pinset.ImportLine, error], o pinset.ImportOptions) (pinset.Import, error) {
	if err := c.mayWrite(); err != nil {
		return pinset.Import{}, err
	}
	return transfer.Read(ctx, lines, o, transfer.Target[Op]{
		Pin: c.base.State.Pin, Change: c.change, Commit: c.commitAll(ctx), Member: c.IsMember, Now: c.cfg.Now(),
	})
}

// IsMember says whether a peer is a member now.
func (c *Cluster) IsMember(id peer.ID) bool { return c.base.State.Authority().Is(id) }

// change is what makes a pin, one without a key: it is there.
func (c *Cluster) change(ctx context.Context, p pinset.Pin) (bulk.Change[Op], error) {
	op, p, err := c.pinOp(ctx, p)
	if err != nil || op.Value == nil {
		return bulk.Change[Op]{}, err
	}
	return bulk.Change[Op]{Key: op.Key, Op: op, Pin: p, Size: len(op.Key) + len(op.Value)}, nil
}

func (c *Cluster) commitAll(ctx context.Context) func([]Op) error {
	return func(ops []Op) error {
		_, err := c.base.State.Commit(ctx, ops...)
		return err
	}
}
