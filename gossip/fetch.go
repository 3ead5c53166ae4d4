package gossip

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/gossip/internal/wire"
)

// wanted is a head that somebody has and this peer has not.
type wanted struct {
	sources []peer.ID // who said so, newest last
	failed  map[peer.ID]bool
	tries   int
	next    time.Time
	quiet   bool // everybody else was told of it as we were
}

const (
	maxWanted  = 2048
	maxSources = 8
	maxTries   = 10
)

// fetcher gets missing heads, one transfer at a time: the closures of two heads
// overlap, and what a transfer brought need not come twice. A transfer that
// stands still or brings nonsense ends, and another source has its turn.
type fetcher struct {
	known     func(context.Context, cid.Cid) (bool, error)
	get       func(ctx context.Context, from peer.ID, heads []cid.Cid) error
	connected func() []peer.ID // members to fall back on, in random order
	spread    func()           // the others may not know what was got
	log       *slog.Logger

	mu   sync.Mutex
	want map[cid.Cid]*wanted
	wake chan struct{}
}

func newFetcher(f *fetcher) *fetcher {
	f.want = make(map[cid.Cid]*wanted)
	f.wake = make(chan struct{}, 1)
	return f
}

// hint says that the sources have these heads. It never waits.
func (f *fetcher) hint(heads []cid.Cid, quiet bool, sources ...peer.ID) {
	if len(heads) == 0 {
		return
	}
	f.mu.Lock()
	for _, h := range heads {
		w, ok := f.want[h]
		if !ok {
			if len(f.want) >= maxWanted {
				break
			}
			w = &wanted{failed: make(map[peer.ID]bool), quiet: true}
			f.want[h] = w
		}
		w.quiet = w.quiet && quiet
		for _, s := range sources {
			if !slices.Contains(w.sources, s) && len(w.sources) < maxSources {
				w.sources = append(w.sources, s)
				w.next = time.Time{}
			}
		}
	}
	f.mu.Unlock()
	signal(f.wake)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run fetches until ctx ends.
func (f *fetcher) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		from, heads := f.pick(ctx, time.Now())
		if len(heads) == 0 {
			select {
			case <-ctx.Done():
			case <-f.wake:
			case <-tick.C:
			}
			continue
		}
		err := f.get(ctx, from, heads)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			f.log.Debug("transfer failed", "peer", from, "heads", len(heads), "err", err)
		}
		f.settle(ctx, from, heads)
	}
}

// pick chooses a source and the missing heads to ask it for, and forgets heads
// that arrived meanwhile.
func (f *fetcher) pick(ctx context.Context, now time.Time) (peer.ID, []cid.Cid) {
	f.mu.Lock()
	var open []cid.Cid
	for h, w := range f.want {
		if !now.Before(w.next) {
			open = append(open, h)
		}
	}
	f.mu.Unlock()
	missing := open[:0]
	for _, h := range open {
		if ok, err := f.known(ctx, h); err == nil && ok {
			f.arrived(h)
		} else {
			missing = append(missing, h)
		}
	}
	if len(missing) == 0 {
		return "", nil
	}
	slices.SortFunc(missing, func(a, b cid.Cid) int { return slices.Compare(a.Bytes(), b.Bytes()) })
	peers := f.connected()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range missing {
		if from := f.source(f.want[h], peers); from != "" {
			return from, f.alike(from, h, missing)
		}
		f.postpone(h, now)
	}
	return "", nil
}

// source picks who to ask: first those who said they have it, then anybody
// connected. The caller holds mu.
func (f *fetcher) source(w *wanted, peers []peer.ID) peer.ID {
	if w == nil {
		return ""
	}
	for i := len(w.sources) - 1; i >= 0; i-- {
		if s := w.sources[i]; !w.failed[s] && slices.Contains(peers, s) {
			return s
		}
	}
	for _, p := range peers {
		if !w.failed[p] {
			return p
		}
	}
	return ""
}

// alike collects the heads that the same source may have. The caller holds mu.
func (f *fetcher) alike(from peer.ID, first cid.Cid, missing []cid.Cid) []cid.Cid {
	out := []cid.Cid{first}
	for _, h := range missing {
		if w := f.want[h]; h != first && w != nil && len(out) < wire.MaxHeads && slices.Contains(w.sources, from) && !w.failed[from] {
			out = append(out, h)
		}
	}
	return out
}

// postpone waits before everybody is asked again, and gives up in the end: who
// has the head names it in every heartbeat. The caller holds mu.
func (f *fetcher) postpone(h cid.Cid, now time.Time) {
	w := f.want[h]
	if w == nil {
		return
	}
	if w.tries++; w.tries > maxTries {
		delete(f.want, h)
		return
	}
	clear(w.failed)
	w.next = now.Add(min(time.Second<<w.tries, 2*time.Minute))
}

func (f *fetcher) settle(ctx context.Context, from peer.ID, heads []cid.Cid) {
	spread := false
	for _, h := range heads {
		if ok, err := f.known(ctx, h); err == nil && ok {
			spread = f.arrived(h) || spread
			continue
		}
		f.mu.Lock()
		if w := f.want[h]; w != nil {
			w.failed[from] = true
		}
		f.mu.Unlock()
	}
	if spread {
		f.spread()
	}
}

// arrived forgets a head and says whether others should be told of it.
func (f *fetcher) arrived(h cid.Cid) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.want[h]
	delete(f.want, h)
	return w != nil && !w.quiet
}
