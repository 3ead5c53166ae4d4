package ipfsnode

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/boxo/exchange"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/ipfsnode/store"
	"github.com/pinfold/pinfold/pinset"
)

// reaskAfter is how long a caller that waits for blocks may get none before it asks
// again from the start.
const reaskAfter = 30 * time.Second

// fetcher asks bitswap for blocks: for each block once, however many wait for it,
// and again when nothing comes.
//
// Both are needed because boxo's bitswap loses a want when somebody comes to want a
// block while another lets go of it, or has just got it: from then on, as long as the
// connection lasts, this side believes that it has asked and the other that it has
// answered. So whoever comes to want a block waits until nobody is letting go of it,
// and what is lost all the same is asked for again.
type fetcher struct {
	asker
	store *store.Store
	pace  *pace
	reask time.Duration

	mu      sync.Mutex
	flights map[string]*flight // by CID
}

// asker is bitswap.
type asker interface {
	exchange.SessionExchange
	GetWantlist() []cid.Cid
}

// flight is a block being waited for.
type flight struct {
	done  chan struct{}
	block blocks.Block // nil after done: whoever asked gave up
}

func newFetcher(bs asker, st *store.Store) *fetcher {
	return &fetcher{asker: bs, store: st, pace: newPace(0), reask: reaskAfter, flights: make(map[string]*flight)}
}

// GetBlock asks for one block that is related to no other.
func (f *fetcher) GetBlock(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return f.NewSession(ctx).GetBlock(ctx, c)
}

// GetBlocks asks for blocks that are related to each other.
func (f *fetcher) GetBlocks(ctx context.Context, cs []cid.Cid) (<-chan blocks.Block, error) {
	return f.NewSession(ctx).GetBlocks(ctx, cs)
}

// NewSession returns a way to ask for related blocks, until ctx ends.
func (f *fetcher) NewSession(ctx context.Context) exchange.Fetcher {
	s := &fetching{f: f, ex: f.asker.NewSession(ctx), over: ctx.Err}
	s.last.Store(time.Now().UnixNano())
	return s
}

// fetching is one caller's session.
type fetching struct {
	f    *fetcher
	ex   exchange.Fetcher
	over func() error // why the session has ended
	last atomic.Int64 // when a block came, Unix nanoseconds
}

// GetBlock returns a block that a peer sent, or that came here meanwhile.
func (s *fetching) GetBlock(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	if b := emptyBlock(c); b != nil {
		return b, nil
	}
	for {
		fl, first := s.f.join(c)
		if first {
			b, err := s.lead(ctx, c)
			fl.block = b
			s.f.leave(c, fl)
			return b, err
		}
		select {
		case <-fl.done:
			if fl.block != nil {
				s.last.Store(time.Now().UnixNano())
				return fl.block, nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// GetBlocks returns the blocks as they come, in any order; the channel closes when
// all have or ctx has ended.
func (s *fetching) GetBlocks(ctx context.Context, cs []cid.Cid) (<-chan blocks.Block, error) {
	out := make(chan blocks.Block)
	slots := make(chan struct{}, fetchers)
	go func() {
		defer close(out)
		var wg sync.WaitGroup
		defer wg.Wait()
		for _, c := range cs {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			wg.Go(func() {
				defer func() { <-slots }()
				b, err := s.GetBlock(ctx, c)
				if err != nil {
					return
				}
				select {
				case out <- b:
				case <-ctx.Done():
				}
			})
		}
	}()
	return out, nil
}

// emptyBlock returns the block of c if it has no bytes, which needs no asking: an
// empty file has such a leaf, and boxo's bitswap says that it has it and never sends
// it.
func emptyBlock(c cid.Cid) blocks.Block {
	if of, err := c.Prefix().Sum(nil); err != nil || !of.Equals(c) {
		return nil
	}
	b, err := blocks.NewBlockWithCid(nil, c)
	if err != nil {
		return nil
	}
	return b
}

func (f *fetcher) join(c cid.Cid) (fl *flight, first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl, ok := f.flights[c.KeyString()]; ok {
		return fl, false
	}
	fl = &flight{done: make(chan struct{})}
	f.flights[c.KeyString()] = fl
	return fl, true
}

func (f *fetcher) leave(c cid.Cid, fl *flight) {
	f.mu.Lock()
	delete(f.flights, c.KeyString())
	f.mu.Unlock()
	close(fl.done)
}

// lead asks until the block is there.
func (s *fetching) lead(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	for wait := s.f.reask; ; wait = min(2*wait, 10*s.f.reask) {
		b, err := s.ask(ctx, c, wait)
		if b != nil {
			_ = s.f.pace.take(ctx, len(b.RawData())) // it is here, whatever became of ctx
		}
		if err != nil || b != nil {
			return b, err
		}
	}
}

// ask asks once and returns nil when nothing at all came for so long.
func (s *fetching) ask(ctx context.Context, c cid.Cid, wait time.Duration) (blocks.Block, error) {
	s.f.settle(ctx, c)
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	got, err := s.ex.GetBlocks(asking, []cid.Cid{c})
	if err != nil {
		return nil, fmt.Errorf("fetch block %s: %w", c, err)
	}
	// It may have come here between the caller's look and the asking; nobody would tell.
	if data, err := s.f.store.Get(ctx, c); err == nil {
		return blocks.NewBlockWithCid(data, c)
	} else if !isNotFound(err) {
		return nil, err
	}
	b, err := s.await(ctx, c, got, wait)
	if b != nil {
		s.last.Store(time.Now().UnixNano())
	}
	return b, err
}

// await returns nil when nothing came for so long, to this block or its relatives.
func (s *fetching) await(ctx context.Context, c cid.Cid, got <-chan blocks.Block, wait time.Duration) (blocks.Block, error) {
	asked := time.Now().UnixNano()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case b, ok := <-got:
			if ok {
				return b, nil
			}
			if err := cmp.Or(ctx.Err(), s.over()); err != nil { // a parent's end is known before its child's
				return nil, err
			}
			return nil, pinset.Errorf(pinset.KindUnavailable, "fetch block %s: the exchange gave up", c)
		case now := <-timer.C:
			silent := time.Duration(now.UnixNano() - max(asked, s.last.Load()))
			if silent >= wait {
				return nil, nil
			}
			timer.Reset(wait - silent)
		}
	}
}

// settle waits, a second at most, until bitswap has let go of a block that somebody
// wanted before.
func (f *fetcher) settle(ctx context.Context, c cid.Cid) {
	if !slices.Contains(f.GetWantlist(), c) {
		return
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for i := 0; i < 500 && ctx.Err() == nil && slices.Contains(f.GetWantlist(), c); i++ {
		<-tick.C
	}
}
