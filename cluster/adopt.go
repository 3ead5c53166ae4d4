package cluster

import (
	"context"
	"fmt"

	"github.com/pinfold/pinfold/pinset"
)

// Adopt keeps DAGs that this peer's IPFS node has just taken in by another way than
// Add, and pins each as template says. They are protected here and the pins are
// durable when it returns. KindForbidden: this peer may not write pins.
func (c *Cluster) Adopt(ctx context.Context, template pinset.Pin, roots ...pinset.Added) error {
	if err := c.mayAdd(template); err != nil {
		return err
	}
	a := adding{c: c, template: template, mark: c.parts.Keeper.MarkName(template.Name), began: c.cfg.Now()}
	for _, r := range roots {
		if err := c.base.Node.PinAdded(ctx, r.CID, a.mark); err != nil {
			return fmt.Errorf("adopt %s: %w", r.CID, err)
		}
		op, err := a.protect(ctx, r)
		if err != nil {
			return err
		}
		if op.Value != nil {
			a.ops = append(a.ops, op)
		}
	}
	if len(a.ops) == 0 {
		return nil
	}
	_, err := c.base.State.Commit(ctx, a.ops...)
	return err
}
