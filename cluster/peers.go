package cluster

import (
	"context"
	"iter"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"github.com/pinfold/pinfold/cluster/internal/ask"
	"github.com/pinfold/pinfold/pinset"
)

// Self tells what is known of this peer.
func (c *Cluster) Self(ctx context.Context) (pinset.Peer, error) {
	return c.me(ctx), nil
}

func (c *Cluster) me(ctx context.Context) pinset.Peer {
	p := c.recorded(c.self)
	p.Self, p.Connected, p.Agrees, p.LastHeard = true, true, true, c.cfg.Now()
	for _, a := range c.parts.Network.Addrs() {
		p.Addresses = append(p.Addresses, a.String())
	}
	p.told(c.about(ctx, &c.parts))
	if c.parts.Exchange != nil {
		p.Exchange = c.parts.Exchange()
	}
	for _, s := range c.parts.Network.Peers() {
		if s.Sync != "" {
			p.JoinedSync = s.Sync
		}
	}
	return p.Peer
}

// peerRow is a pinset.Peer being filled.
type peerRow struct{ pinset.Peer }

// recorded is what the replicated state says of a member.
func (c *Cluster) recorded(id peer.ID) peerRow {
	a := c.base.State.Authority()
	p := peerRow{pinset.Peer{ID: id, Role: a.Role(id).String()}}
	m, ok := a.Member(id)
	if !ok {
		p.Role, p.State = "", "joining"
		if a.Ever(id) {
			p.State = "left"
		}
		return p
	}
	p.Name, p.State, p.Tags, p.Domains, p.Lent, p.Phi, p.InPerDay = m.Name, m.State.String(), m.Tags, m.Domains, m.Lent, m.Phi, m.InPerDay
	sum := c.sums()
	p.IPFS.Peer, p.Share, p.Twins = m.IPFSPeer, sum.share(m), sum.twins.With(id)
	return p
}

// told takes what the member itself has just said.
func (p *peerRow) told(m ask.Member) {
	p.Version, p.Used, p.Pins, p.Queued, p.IPFSError, p.Traffic = m.Version, m.Used, m.Pins, m.Queued, m.IPFSError, m.Traffic
	if m.IPFS.Peer != "" {
		p.IPFS = m.IPFS
	}
}

// Peers tells what is known of each member, sorted by id: those that are connected
// are asked, the others are shown by what they said last.
func (c *Cluster) Peers(ctx context.Context) iter.Seq2[pinset.Peer, error] {
	return func(yield func(pinset.Peer, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		g := new(errgroup.Group)
		defer func() {
			cancel()
			_ = g.Wait() // they return none
		}()
		ids := c.everyone()
		rows := make([]chan pinset.Peer, len(ids))
		turns := make(chan struct{}, atOnce)
		states := c.states()
		for i, id := range ids {
			rows[i] = make(chan pinset.Peer, 1)
			g.Go(func() error {
				select {
				case turns <- struct{}{}:
				case <-ctx.Done():
					return nil
				}
				rows[i] <- c.peer(ctx, id, states[id])
				<-turns
				return nil
			})
		}
		for _, row := range rows {
			select {
			case p := <-row:
				if !yield(p, nil) {
					return
				}
			case <-ctx.Done():
				yield(pinset.Peer{}, ctx.Err())
				return
			}
		}
	}
}

func (c *Cluster) states() map[peer.ID]PeerState {
	out := map[peer.ID]PeerState{}
	for _, s := range c.parts.Network.Peers() {
		out[s.ID] = s
	}
	return out
}

// everyone is the members, and this peer where it is none yet.
func (c *Cluster) everyone() []peer.ID {
	var ids []peer.ID
	for _, m := range c.base.State.Authority().Members() {
		ids = append(ids, m.Peer)
	}
	if !slices.Contains(ids, c.self) {
		ids = append(ids, c.self)
		slices.Sort(ids)
	}
	return ids
}

func (c *Cluster) peer(ctx context.Context, id peer.ID, s PeerState) pinset.Peer {
	if id == c.self {
		return c.me(ctx)
	}
	p := c.recorded(id)
	p.Connected, p.LastHeard, p.Error, p.Pins = s.Connected, s.LastHeard, s.Error, s.Count
	for _, a := range s.Addrs {
		p.Addresses = append(p.Addresses, a.String())
	}
	sum := c.base.State.Summary()
	p.Agrees = !s.LastHeard.IsZero() && s.Digest == sum.Digest
	p.Behind = c.behind(id, p.Agrees)
	if word := c.book.Latest(id); word != nil {
		p.Used, p.Queued = word.Bytes, word.Missing
		if p.LastHeard.IsZero() {
			p.LastHeard = word.At
		}
	}
	if n := c.contacts.Get(id).Node; n.Peer != "" {
		p.IPFS = n
	}
	if !s.Connected {
		return p.Peer
	}
	about, err := c.askAbout(ctx, c.parts.Network, id)
	if err != nil {
		p.Error = err.Error()
		return p.Peer
	}
	p.told(about)
	return p.Peer
}

// Seen tells how many members, this one included, are known to have a change: by
// a statement that covers it, or by what they said last of their pinset, which is
// this peer's or ends in the change.
func (c *Cluster) Seen(_ context.Context, r pinset.Receipt) (int, error) {
	n, states, digest := 0, c.states(), c.base.State.Summary().Digest
	for _, m := range c.base.State.Authority().Members() {
		s, said := c.book.Latest(m.Peer), states[m.Peer]
		same := !said.LastHeard.IsZero() && said.Digest == digest
		if m.Peer == c.self || same || slices.Contains(said.Heads, r.Head) || s != nil && s.Covers(r.Author, r.Seq) {
			n++
		}
	}
	return n, nil
}
