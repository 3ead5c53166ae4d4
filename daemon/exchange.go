package daemon

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/ipfsclient"
	"github.com/pinfold/pinfold/pinset"
)

// exchangeEvery is how often the IPFS node is asked what it exchanged: a Kubo
// forgets what it did with whom when they part.
const exchangeEvery = 15 * time.Second

// friendly knows how much of what the IPFS node gets comes from members.
type friendly struct {
	node ipfsclient.Exchanger // nil: it does not know
	last atomic.Pointer[pinset.Exchange]
}

func newFriendly(node ipfsclient.Node) *friendly {
	x, _ := node.(ipfsclient.Exchanger)
	return &friendly{node: x}
}

// now is what was last heard, nil: nothing yet.
func (f *friendly) now() *pinset.Exchange { return f.last.Load() }

// watch asks until ctx ends. A node that is away is asked again.
func (f *friendly) watch(ctx context.Context, members func() *identity.Authority) error {
	if f.node == nil {
		return nil
	}
	tick := time.NewTicker(exchangeEvery)
	defer tick.Stop()
	for {
		var friends []peer.ID
		for _, m := range members().Members() {
			if m.IPFSPeer != "" {
				friends = append(friends, m.IPFSPeer)
			}
		}
		call, cancel := context.WithTimeout(ctx, exchangeEvery)
		if x, err := f.node.Exchanged(call, friends); err == nil {
			f.last.Store(&x)
		}
		cancel()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
