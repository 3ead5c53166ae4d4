package cluster

import (
	"context"
	"iter"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/cluster/internal/abreast"
	"github.com/pinfold/pinfold/cluster/internal/deficit"
	"github.com/pinfold/pinfold/cluster/internal/statement"
	"github.com/pinfold/pinfold/pinset"
)

// Deficit yields the CIDs that have fewer copies than they must have at members
// that are heard, by what these have said. It asks nobody, and looks at no more
// than it yields, but for a while after the start or after copies were lost, and
// where very much is short: then it walks the pinset.
func (c *Cluster) Deficit(ctx context.Context) iter.Seq2[pinset.Summary, error] {
	return c.short.Short(ctx)
}

// shortSource is a cluster as its list of what is short sees it.
type shortSource struct{ *Cluster }

func (c shortSource) All(ctx context.Context) iter.Seq2[[]pinset.Pin, error] {
	return abreast.ByCID(c.base.State.Pins(ctx, ""))
}

func (c shortSource) PinsOf(ctx context.Context, k cid.Cid) ([]pinset.Pin, error) {
	return c.base.State.PinsOf(ctx, k)
}

func (c shortSource) Words() deficit.Words {
	silent, out := c.agreement().Silent, deficit.Words{View: c.View().Digest(), Of: map[peer.ID]deficit.Word{}}
	for _, id := range c.everyone() {
		out.Of[id] = deficit.Word{Statement: c.book.Latest(id), Heard: !slices.Contains(silent, id)}
	}
	return out
}

// Judge says more than numbers only of what is short.
func (c shortSource) Judge(ctx context.Context, pins []pinset.Pin, words deficit.Words) (pinset.Summary, error) {
	cl, err := c.claimOf(ctx, pins)
	if err != nil || len(pins) == 0 {
		return pinset.Summary{}, err
	}
	k := pins[0].CID
	var holdings []pinset.Holding
	for i, id := range slices.Concat(cl.holders, cl.extra) {
		if i >= len(cl.holders) && slices.Contains(cl.holders, id) {
			continue
		}
		h := c.blank(cl, id)
		if h.CID, h.Mode = k, cl.mode; c.coversAll(ctx, cl, id) {
			h.Status = pinset.StatusPinned
		}
		if !words.Of[id].Heard {
			h.Status, h.Error = pinset.StatusClusterError, saidSo(h.Status)
		}
		holdings = append(holdings, h)
	}
	out := cl.summary(k, holdings)
	for i := range holdings {
		if out.Short > 0 {
			c.tellWord(&holdings[i])
		}
	}
	return out, nil
}

func saidSo(s pinset.Status) string {
	if s == pinset.StatusPinned {
		return "not heard; it said that it has it"
	}
	return "not heard; it has not said that it has it"
}

// tellWord says from when a member's word is, and why it is not that it has a CID.
func (c shortSource) tellWord(h *pinset.Holding) {
	s := c.book.Latest(h.Peer)
	if s != nil && h.Peer != c.self {
		h.Age = c.age(s)
	}
	switch {
	case h.Error != "":
	case s == nil:
		h.Error = "it has not said yet what it holds"
	case h.Status == pinset.StatusPinned:
		h.Since = s.Since
	case s.Except.Has(statement.Hash(h.CID.Hash())):
		h.Error = "it says that it does not have it"
	default:
		h.Error = "it has not spoken since this pin or the membership changed"
	}
}
