package ipfsnode

import (
	"context"
	"sync/atomic"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"golang.org/x/time/rate"
)

// pace counts bytes and lets through so many of them a second, on the average of a
// few. It is safe for concurrent use.
type pace struct {
	limit *rate.Limiter // nil: no limit
	total atomic.Uint64 // bytes let through
}

// burst is how many bytes may go at once after a rest: two of the largest blocks, or
// a quarter of a second.
func burst(perSecond uint64) int { return int(max(4<<20, min(perSecond/4, 1<<30))) }

func newPace(perSecond uint64) *pace {
	p := &pace{}
	if perSecond > 0 {
		p.limit = rate.NewLimiter(rate.Limit(perSecond), burst(perSecond))
	}
	return p
}

// take returns when n more bytes may go, or ctx ends.
func (p *pace) take(ctx context.Context, n int) error {
	p.total.Add(uint64(n))
	if p.limit == nil {
		return nil
	}
	for n > 0 {
		part := min(n, p.limit.Burst())
		if err := p.limit.WaitN(ctx, part); err != nil {
			return err
		}
		n -= part
	}
	return nil
}

// sending is the store as the exchange reads it to serve others.
type sending struct {
	blockstore
	pace *pace
}

func (s sending) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	b, err := s.blockstore.Get(ctx, c)
	if err == nil {
		err = s.pace.take(ctx, len(b.RawData()))
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Traffic returns the bytes of blocks that were sent to other nodes and received
// from them since the node began.
func (n *Node) Traffic() (sent, received uint64) {
	return n.swarm.sent.total.Load(), n.swarm.fetcher.pace.total.Load()
}
