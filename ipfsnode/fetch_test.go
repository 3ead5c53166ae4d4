package ipfsnode

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/boxo/exchange"
	"github.com/ipfs/boxo/files"
	"github.com/ipfs/boxo/ipld/merkledag"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// lossy is a bitswap that loses the first wants of each block and answers a later
// one after a while.
type lossy struct {
	loses  int
	after  time.Duration
	known  map[cid.Cid]blocks.Block
	linger time.Duration // how long a want stays after whoever wanted it let go

	mu    sync.Mutex
	asked map[cid.Cid]int
	wants map[cid.Cid]int
}

func (x *lossy) GetBlock(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	return nil, errors.ErrUnsupported
}
func (x *lossy) NotifyNewBlocks(context.Context, ...blocks.Block) error { return nil }
func (x *lossy) Close() error                                           { return nil }
func (x *lossy) NewSession(context.Context) exchange.Fetcher            { return x }
func (x *lossy) GetWantlist() (out []cid.Cid) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for c := range x.wants {
		out = append(out, c)
	}
	return out
}

func (x *lossy) GetBlocks(ctx context.Context, cs []cid.Cid) (<-chan blocks.Block, error) {
	out := make(chan blocks.Block)
	c := cs[0]
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.wants[c] > 0 {
		panic("wanted while it is wanted")
	}
	x.wants[c]++
	x.asked[c]++
	lost := x.asked[c] <= x.loses
	go func() {
		defer func() {
			close(out)
			time.Sleep(x.linger) // in a bubble
			x.mu.Lock()
			delete(x.wants, c)
			x.mu.Unlock()
		}()
		if lost {
			<-ctx.Done()
			return
		}
		select {
		case <-time.After(x.after):
			select {
			case out <- x.known[c]:
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
	}()
	return out, nil
}

func TestFetcherAsksAgainAndOnceForAll(t *testing.T) {
	nd := merkledag.NewRawNode([]byte("x"))
	for _, tc := range []struct {
		name  string
		loses int
		after time.Duration
		asked int
		took  time.Duration
	}{
		{"at once", 0, time.Millisecond, 1, time.Millisecond},
		{"slow but not lost", 0, 20 * time.Second, 1, 20 * time.Second},
		{"lost once", 1, time.Second, 2, reaskAfter + time.Second},
		{"lost three times", 3, time.Second, 4, 7*reaskAfter + time.Second},
	} {
		st := testNode(t).store
		synctest.Test(t, func(t *testing.T) {
			x := &lossy{loses: tc.loses, after: tc.after, known: map[cid.Cid]blocks.Block{nd.Cid(): nd}, linger: 5 * time.Millisecond,
				asked: map[cid.Cid]int{}, wants: map[cid.Cid]int{}}
			f := newFetcher(x, st)
			start := time.Now()
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					if b, err := f.NewSession(t.Context()).GetBlock(t.Context(), nd.Cid()); err != nil || !b.Cid().Equals(nd.Cid()) {
						t.Errorf("%s: %v, %v", tc.name, b, err)
					}
				})
			}
			wg.Wait()
			if took := time.Since(start); took < tc.took || took > tc.took+100*time.Millisecond {
				t.Errorf("%s: took %v, want %v", tc.name, took, tc.took)
			}
			if x.asked[nd.Cid()] != tc.asked {
				t.Errorf("%s: asked %d times, want %d", tc.name, x.asked[nd.Cid()], tc.asked)
			}
			time.Sleep(time.Second) // in a bubble: the last want lingers
		})
	}
}

// When the one who asks gives up, another goes on.
func TestFetcherHandsOver(t *testing.T) {
	nd := merkledag.NewRawNode([]byte("y"))
	st := testNode(t).store
	synctest.Test(t, func(t *testing.T) {
		x := &lossy{after: 10 * time.Second, known: map[cid.Cid]blocks.Block{nd.Cid(): nd}, linger: 5 * time.Millisecond,
			asked: map[cid.Cid]int{}, wants: map[cid.Cid]int{}}
		f := newFetcher(x, st)
		ctx, cancel := context.WithCancel(t.Context())
		first, second := make(chan error), make(chan error)
		go func() {
			_, err := f.NewSession(ctx).GetBlock(ctx, nd.Cid())
			first <- err
		}()
		synctest.Wait()
		go func() {
			_, err := f.NewSession(t.Context()).GetBlock(t.Context(), nd.Cid())
			second <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up: %v", err)
		}
		if err := <-second; err != nil || x.asked[nd.Cid()] != 2 {
			t.Errorf("who went on: %v, asked %d times", err, x.asked[nd.Cid()])
		}
		time.Sleep(time.Second)
	})
}

// TestAnEmptyFileTravels: boxo's bitswap never sends a block without bytes.
func TestAnEmptyFileTravels(t *testing.T) {
	a, b := testNode(t), testNode(t)
	connect(t, a, b)
	raw := true
	dir := files.NewMapDirectory(map[string]files.Node{"d": files.NewMapDirectory(map[string]files.Node{
		"empty": files.NewBytesFile(nil), "full": files.NewBytesFile([]byte("x")),
	})})
	root := add(t, a, dir, pinset.AddOptions{CIDVersion: 1, RawLeaves: &raw}, "p")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := b.Pin(ctx, root, pinset.PinOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, b, root.String()+"/empty"); len(got) != 0 {
		t.Errorf("the empty file has %d bytes", len(got))
	}
}
