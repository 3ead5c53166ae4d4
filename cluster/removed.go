package cluster

import (
	"context"
	"iter"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/cluster/internal/annals"
	"github.com/pinfold/pinfold/cluster/internal/brake"
	"github.com/pinfold/pinfold/cluster/internal/bulk"
	"github.com/pinfold/pinfold/pinset"
)

// Of the history of the pinset, as History tells it.
type (
	Place   = annals.Place
	Entry   = annals.Entry
	Gone    = annals.Gone
	Rivalry = annals.Rivalry
	History = annals.History
)

// Unpin removes one owner's pin and returns what it was. KindNotFound: this owner
// has none. KindRefused: too much of the pinset would be removed at once, and
// nothing is, unless it is forced.
func (c *Cluster) Unpin(ctx context.Context, r pinset.Removal) (pinset.Pin, pinset.Receipt, error) {
	if err := c.mayWrite(); err != nil {
		return pinset.Pin{}, pinset.Receipt{}, err
	}
	p, err := c.PinOf(ctx, r.CID, r.Owner)
	if err != nil {
		return pinset.Pin{}, pinset.Receipt{}, err
	}
	if !r.Force {
		load := brake.Load{Now: c.cfg.Now(), Live: c.base.State.Summary().Count, Wanted: r.Together, Made: 1,
			Percent: c.base.State.Authority().Policy().MassRemoval}
		if much := c.brake.Take(load); much != nil {
			return pinset.Pin{}, pinset.Receipt{}, pinset.Errorf(pinset.KindRefused, "unpin %s: %w", r.CID, much).
				WithHint("if it is meant: pinfold pin rm --force, or force=true in the API; the share is mass_removal in pinfold policy show")
		}
	}
	receipt, err := c.base.State.Commit(ctx, Op{Key: p.Key()})
	if err != nil {
		return pinset.Pin{}, pinset.Receipt{}, err
	}
	return p, receipt, nil
}

// Removed yields removed pins that can be restored, the latest removal first. What
// this peer learnt before it was a member is not among them.
func (c *Cluster) Removed(ctx context.Context, f pinset.RemovedFilter) iter.Seq2[pinset.Removed, error] {
	return func(yield func(pinset.Removed, error) bool) {
		keep := c.base.State.Authority().Policy().Retention
		for g, err := range c.annals.Removed(ctx) {
			if err != nil {
				yield(pinset.Removed{}, pinset.Wrap(pinset.KindUnavailable, err, "list removed pins"))
				return
			}
			r := pinset.Removed{By: g.By, At: g.At, Until: g.At.Add(keep)}
			if r.Pin, err = pinset.Check(g.Key, g.Value); err == nil && f.Match(&r) {
				_, err = c.base.State.Pin(ctx, r.Pin.CID, r.Pin.Owner)
				if pinset.KindOf(err) == pinset.KindNotFound && !yield(r, nil) {
					return
				}
			}
		}
	}
}

// Restore pins again, as they were, what was removed, and yields it when it is
// durable here; of several removals of one pin the latest counts. It passes over
// what has expired since, and leaves out members of a pin's list that are none any
// more.
func (c *Cluster) Restore(ctx context.Context, f pinset.RemovedFilter) iter.Seq2[pinset.Pin, error] {
	changes := func(yield func(bulk.Change[Op], error) bool) {
		if err := c.mayWrite(); err != nil {
			yield(bulk.Change[Op]{}, err)
			return
		}
		for r, err := range c.Removed(ctx, f) {
			var done bulk.Change[Op]
			if err == nil {
				done, err = c.revive(ctx, r.Pin)
				if k := pinset.KindOf(err); err != nil && (k == pinset.KindInvalid || k == pinset.KindConflict) {
					continue // it has expired, or was pinned again meanwhile
				}
			}
			if !yield(done, err) {
				return
			}
		}
	}
	return bulk.Commit(changes, c.commitAll(ctx))
}

// revive is the change that pins again what was removed.
func (c *Cluster) revive(ctx context.Context, p pinset.Pin) (bulk.Change[Op], error) {
	p.Include = slices.DeleteFunc(slices.Clone(p.Include), func(id peer.ID) bool { return !c.IsMember(id) })
	done, err := c.change(ctx, p)
	if err == nil && done.Key == "" {
		err = pinset.Errorf(pinset.KindConflict, "%s is pinned", p.CID)
	}
	return done, err
}

// Merges are what came together here after members were apart, or changed one pin
// at the same time, the latest first.
func (c *Cluster) Merges(context.Context) ([]pinset.Merge, error) { return c.annals.Merges(), nil }
