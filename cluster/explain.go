package cluster

import (
	"context"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/cluster/internal/roster"
	"github.com/pinfold/pinfold/cluster/internal/whatif"
	"github.com/pinfold/pinfold/pinset"
)

// Explain tells why the pins of a CID are where they are: what the placement of
// each makes of every member. KindNotFound: nobody pins it.
func (c *Cluster) Explain(ctx context.Context, k cid.Cid) (pinset.Explanation, error) {
	if !k.Defined() {
		return pinset.Explanation{}, pinset.Invalid("cid: missing")
	}
	pins, err := c.base.State.PinsOf(ctx, k)
	if err != nil {
		return pinset.Explanation{}, err
	}
	if len(pins) == 0 {
		return pinset.Explanation{}, pinset.NotFound("explain %s: not in the pinset", k).WithHint("pinfold pin ls")
	}
	size, err := c.base.State.Size(ctx, k)
	if err != nil {
		return pinset.Explanation{}, err
	}
	out := pinset.Explanation{CID: k.String()}
	for _, p := range pins {
		out.Pins = append(out.Pins, c.explainPin(p, size))
	}
	return out, nil
}

func (c *Cluster) explainPin(p pinset.Pin, size uint64) pinset.PinExplained {
	a, it, view := c.base.State.Authority(), roster.Item(p, size), c.View()
	policy := a.Policy()
	want := p.Replication.Or(pinset.Replication{Min: policy.Min, Max: policy.Max})
	at := view.Allocate(it)
	out := pinset.PinExplained{
		Owner: p.Owner, Name: p.Name, Min: want.Min, Max: want.Max, Size: it.Size, Tags: p.Tags, Short: at.Short, Reason: at.Reason,
	}
	rows := view.Explain(it)
	var asked uint64
	for _, r := range rows {
		if r.Rank > 0 {
			asked += r.Share
		}
	}
	for _, r := range rows {
		m, _ := a.Member(r.ID)
		row := pinset.RankedAt{
			Rank: r.Rank, Peer: r.ID, Name: m.Name, Role: string(r.Role), Score: r.Score, Lent: m.Lent, Site: whatif.Site(r.Site), Rule: r.Why,
		}
		if r.Rank > 0 && asked > 0 {
			row.Share = float64(r.Share) / float64(asked)
		}
		out.Members = append(out.Members, row)
	}
	return out
}
