package ipfsnode

import (
	"context"
	"sync"

	"github.com/ipfs/boxo/bitswap/message"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// mostPartners bounds the IPFS nodes that are counted each for itself. The node
// exchanges blocks with few others: members, and origins of pins.
const mostPartners = 4096

// exchanges counts the bytes of blocks that bitswap gets and gives. It is bitswap's
// tracer, and safe for concurrent use.
type exchanges struct {
	mu   sync.Mutex
	with map[peer.ID]flow
	rest flow // with whom there was no room for
}

// flow is bytes in and out.
type flow struct{ in, out uint64 }

// MessageReceived counts what came.
func (e *exchanges) MessageReceived(from peer.ID, m message.BitSwapMessage) {
	e.add(from, flow{in: payload(m)})
}

// MessageSent counts what was given.
func (e *exchanges) MessageSent(to peer.ID, m message.BitSwapMessage) {
	e.add(to, flow{out: payload(m)})
}

func payload(m message.BitSwapMessage) (n uint64) {
	for _, b := range m.Blocks() {
		n += uint64(len(b.RawData()))
	}
	return n
}

func (e *exchanges) add(id peer.ID, f flow) {
	if f == (flow{}) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	was, known := e.with[id]
	if !known && len(e.with) >= mostPartners {
		e.rest.in, e.rest.out = e.rest.in+f.in, e.rest.out+f.out
		return
	}
	e.with[id] = flow{was.in + f.in, was.out + f.out}
}

// Exchanged implements ipfsclient.Exchanger. Blocks that came twice count twice.
func (n *Node) Exchanged(_ context.Context, friends []peer.ID) (pinset.Exchange, error) {
	e := n.swarm.exchanges
	e.mu.Lock()
	defer e.mu.Unlock()
	x := pinset.Exchange{FromOthers: e.rest.in, ToOthers: e.rest.out}
	for _, f := range e.with {
		x.FromOthers, x.ToOthers = x.FromOthers+f.in, x.ToOthers+f.out
	}
	seen := map[peer.ID]bool{}
	for _, id := range friends {
		f := e.with[id]
		if seen[id] {
			continue
		}
		seen[id] = true
		x.FromMembers, x.ToMembers = x.FromMembers+f.in, x.ToMembers+f.out
		x.FromOthers, x.ToOthers = x.FromOthers-f.in, x.ToOthers-f.out
	}
	return x, nil
}
