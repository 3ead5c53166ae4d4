package ipfsnode

import (
	"context"
	"testing"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/libp2p/go-libp2p/core/network"

	"github.com/pinfold/pinfold/pinset"
)

func TestNoBlockCrossesACut(t *testing.T) {
	t.Parallel()
	a, b := testNode(t), testNode(t)
	connect(t, a, b)
	a.Cut(b.swarm.host.ID())
	b.Cut(a.swarm.host.ID())
	var root pinset.Added
	for added, err := range b.Add(t.Context(), files.NewMapDirectory(map[string]files.Node{"f": files.NewBytesFile([]byte("on the other side"))}), pinset.AddOptions{}, "") {
		if err != nil {
			t.Fatal(err)
		}
		root = added
	}
	get := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		id, _ := b.Identity(ctx)
		_ = a.Connect(ctx, id.Addresses...)
		_, err := a.dag.Get(ctx, root.CID)
		return err
	}
	if err := get(time.Second); err == nil {
		t.Error("a block came over the cut")
	}
	a.Heal()
	if err := get(time.Second); err == nil {
		t.Error("a block came over one end of the cut")
	}
	time.AfterFunc(500*time.Millisecond, b.Heal) // who waits for the block already gets it
	if err := get(20 * time.Second); err != nil {
		t.Errorf("healed: %v, connected %v", err, a.swarm.host.Network().Connectedness(b.swarm.host.ID()) == network.Connected)
	}
}
