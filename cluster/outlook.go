package cluster

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/cluster/internal/roster"
	"github.com/pinfold/pinfold/cluster/internal/whatif"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// Outlook tells what changes of the membership or the policy would do, each as
// people write it: "join:2TB@home3", "leave:alice", "drain:alice", "give:bob=1TB",
// "mirror:carol=alice", "replication=3". Nothing happens. A CID that several
// owners pin counts for each. It walks the pinset, and never holds it.
func (c *Cluster) Outlook(ctx context.Context, changes []string) (pinset.Outlook, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.StreamTime)
	defer cancel()
	a := c.base.State.Authority()
	members, policy := roster.Of(a)
	w := whatif.New(a, members, policy, func(name string) (identity.Record, error) { return roster.Named(a, name) })
	lentBefore := maps.Clone(w.Lent)
	before := w.View()
	for _, text := range changes {
		if err := w.Apply(text); err != nil {
			return pinset.Outlook{}, err
		}
	}
	after := w.View()
	var err error
	ch := allocation.Compare(before, after, c.items(ctx, &err))
	if err != nil {
		return pinset.Outlook{}, err
	}
	out := pinset.Outlook{
		If: changes, Pins: uint64(ch.Items.Copies), Bytes: ch.Items.Bytes, Unsized: uint64(ch.Items.Copies - ch.Sizes),
		Moved: whatif.Amount(ch.Moved), Least: whatif.Amount(ch.Least()),
		Short: pinset.BeforeAfter{Before: uint64(ch.ShortBefore), After: uint64(ch.ShortAfter)},
		Thin:  uint64(ch.Thin), Lost: uint64(ch.Lost), Usable: whatif.Usable(before, after), Warnings: w.Warnings,
	}
	for _, s := range ch.Shifts {
		p := w.Prospect(a, s)
		p.Lent.Before = lentBefore[s.ID]
		out.Members = append(out.Members, p)
		if p.After.Bytes > p.Lent.After && p.Lent.After > 0 {
			out.Warnings = append(out.Warnings, fmt.Sprintf("%s would be assigned %s and lends %s: what does not fit is refused there",
				p.Name, pinset.FormatSize(p.After.Bytes), pinset.FormatSize(p.Lent.After)))
		}
	}
	slices.SortStableFunc(out.Members, func(a, b pinset.Prospect) int { return strings.Compare(a.Name, b.Name) })
	out.Below, err = c.below(ctx, after, ch.Below)
	return out, err
}

// items yields all pins as the allocation sees them, and leaves in fail what ended
// it early.
func (c *Cluster) items(ctx context.Context, fail *error) iter.Seq[allocation.Item] {
	return func(yield func(allocation.Item) bool) {
		*fail = c.eachItem(ctx, func(_ pinset.Pin, it allocation.Item) bool { return yield(it) })
	}
}

// eachItem visits the pins until visit wants no more.
func (c *Cluster) eachItem(ctx context.Context, visit func(pinset.Pin, allocation.Item) bool) error {
	for p, err := range c.base.State.Pins(ctx, "") {
		if err != nil {
			return err
		}
		size, err := c.base.State.Size(ctx, p.CID)
		if err != nil {
			return err
		}
		if !visit(p, roster.Item(p, size)) {
			return nil
		}
	}
	return ctx.Err()
}

// below names the pins of items that would lack copies.
func (c *Cluster) below(ctx context.Context, after *allocation.View, items []allocation.Item) ([]pinset.BelowMin, error) {
	if len(items) == 0 {
		return nil, nil
	}
	left := make(map[string]int, len(items)) // how often each hash is to be named
	for _, it := range items {
		left[string(it.Hash)]++
	}
	var out []pinset.BelowMin
	err := c.eachItem(ctx, func(p pinset.Pin, it allocation.Item) bool {
		if left[string(it.Hash)] > 0 {
			left[string(it.Hash)]--
			at := after.Allocate(it)
			out = append(out, pinset.BelowMin{CID: p.CID.String(), Short: at.Short, Reason: at.Reason})
		}
		return len(out) < len(items)
	})
	return out, err
}
