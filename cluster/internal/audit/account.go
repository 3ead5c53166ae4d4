package audit

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/cluster/internal/statement"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// Of says whose account is opened, and which of its words count: those under the
// membership and policy in force.
type Of struct {
	Cluster identity.ClusterID
	Peer    peer.ID
	Name    string
	From    time.Time // flaws before it are left out
	Counts  func(*statement.Statement) bool
}

// Read opens a member's account from its kept statements: what is wrong with their
// chain, and the words that count, the oldest first.
func Read(ctx context.Context, h *statement.History, of Of) (pinset.AuditedPeer, []*statement.Statement, error) {
	row := pinset.AuditedPeer{Peer: of.Peer, Name: of.Name}
	var links []Link
	var words []*statement.Statement
	for _, k := range h.Rows(of.Peer) {
		raw, err := h.Raw(ctx, of.Peer, k.Seq)
		if err != nil {
			return row, nil, err
		}
		s, err := statement.Open(of.Cluster, raw)
		if err != nil || s.Author != of.Peer {
			continue // thinned out just now, or damaged on this disk: it proves nothing
		}
		links = append(links, Link{Seq: s.Seq, At: s.At, Hash: k.Hash, Prev: s.Prev})
		if of.Counts(s) {
			words = append(words, s)
		}
	}
	row.Flaws, row.Kept = Chain(links, h.Forks(of.Peer), of.From), len(links)
	if len(links) > 0 {
		row.Since = links[0].At
	}
	return row, words, nil
}

// Close orders the accounts by name and counts those that are broken.
func Close(a *pinset.Audit) {
	slices.SortFunc(a.Members, func(x, y pinset.AuditedPeer) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), cmp.Compare(x.Peer, y.Peer))
	})
	for i := range a.Members {
		if a.Members[i].Broken() {
			a.Broken++
		}
	}
}

// Count adds a verdict on one pin of so many bytes to its member's account.
func Count(p *pinset.AuditedPeer, v Verdict, bytes uint64, from time.Time) {
	p.Assigned++
	if !v.Promised.IsZero() {
		p.Promised++
	}
	switch v.State {
	case Held:
		p.Held++
		p.Bytes += bytes
		if !v.Repaired.Before(from) && !v.Repaired.IsZero() {
			p.Repaired++
		}
	case Lost:
		p.Lost++
	case Missing:
		p.Missing++
	case Unsaid:
		p.Unsaid++
	}
}
