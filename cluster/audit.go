package cluster

import (
	"context"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/cluster/internal/audit"
	"github.com/pinfold/pinfold/cluster/internal/roster"
	"github.com/pinfold/pinfold/cluster/internal/statement"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// mostLost is how many lost promises an audit names; all are counted.
const mostLost = 1000

// Audit holds what the members have said of themselves against the allocation:
// promised, held, lost. It walks the pinset and asks nobody, but for so many
// challenges. Flaws of chains and repairs are told from a time on, broken promises
// whenever they were made.
func (c *Cluster) Audit(ctx context.Context, since time.Duration, challenges int) (pinset.Audit, error) {
	now := c.cfg.Now()
	out := pinset.Audit{From: now.Add(-since).UTC(), At: now.UTC()}
	silent := c.agreement().Silent
	words, at := map[peer.ID][]*statement.Statement{}, map[peer.ID]int{}
	for _, m := range c.base.State.Authority().Members() {
		row, said, err := c.account(ctx, m, out.From)
		if err != nil {
			return out, err
		}
		row.Heard = !slices.Contains(silent, m.Peer)
		words[m.Peer], at[m.Peer] = said, len(out.Members)
		out.Members = append(out.Members, row)
	}
	view, lots := c.View(), audit.Lots{Most: challenges}
	var failed error
	err := c.eachItem(ctx, func(p pinset.Pin, it allocation.Item) bool {
		out.Pins++
		var knows func(*statement.Statement) bool
		if knows, failed = c.knownTo(ctx, p, it.Size); failed != nil {
			return false
		}
		placed := view.Allocate(it)
		ids := slices.Concat(placed.Holders, placed.Mirrors)
		for i, id := range ids {
			row, is := at[id]
			if !is || slices.Contains(ids[:i], id) {
				continue
			}
			v := audit.Judge(words[id], statement.Hash(p.CID.Hash()), knows)
			audit.Count(&out.Members[row], v, it.Size, out.From)
			if v.State == audit.Held && id != c.self {
				lots.Show(audit.Suspect{Row: row, Peer: id, Pin: p})
			}
			if v.State == audit.Lost && len(out.Lost) < mostLost {
				out.Lost = append(out.Lost, pinset.LostPromise{
					CID: p.CID.String(), Pin: p.Name, Owner: p.Owner, Peer: id, Name: out.Members[row].Name, Promised: v.Promised, Lost: v.Lost,
				})
			}
		}
		return true
	})
	if failed == nil && err == nil {
		c.challenge(ctx, &out, lots.Drawn)
	}
	audit.Close(&out)
	if failed != nil {
		return out, failed
	}
	return out, err
}

// account reads a member's kept statements: what is wrong with their chain, and
// those that were made under the membership and policy in force, if its latest
// one was.
func (c *Cluster) account(ctx context.Context, m identity.Record, from time.Time) (pinset.AuditedPeer, []*statement.Statement, error) {
	view := c.View().Digest()
	row, words, err := audit.Read(ctx, c.book.History(), audit.Of{
		Cluster: c.cfg.Founding.ID(), Peer: m.Peer, Name: m.Name, From: from,
		Counts: func(s *statement.Statement) bool { return s.View == view && c.knewPolicy(ctx, s) },
	})
	if err != nil {
		return row, nil, err
	}
	last := c.book.Latest(m.Peer)
	if last == nil {
		return row, nil, nil
	}
	row.Said, row.Refused = last.At, last.Refused
	if len(words) == 0 || words[len(words)-1].Seq != last.Seq {
		return row, nil, nil // it has not spoken of the membership in force
	}
	if last.Missing > 0 {
		row.Lacking = audit.LackingSince(words)
	}
	return row, words, nil
}

// knownTo says which statements were made in knowledge of a pin as it is now.
func (m *Members) knownTo(ctx context.Context, p pinset.Pin, size uint64) (func(*statement.Statement) bool, error) {
	author, seq, err := m.base.State.Origin(ctx, p.Key())
	if pinset.KindOf(err) == pinset.KindNotFound {
		return func(*statement.Statement) bool { return false }, nil // unpinned just now
	}
	if err != nil {
		return nil, err
	}
	sized := size >= roster.ClassSize && size > p.Size
	return func(s *statement.Statement) bool {
		return s.Covers(author, seq) && (!sized || m.knew(ctx, s, m.base.State.SizeOp(p.CID, size).Key))
	}, nil
}
