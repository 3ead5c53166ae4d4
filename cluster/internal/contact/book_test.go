package contact

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"

	"github.com/pinfold/pinfold/identity/identitytest"
	"github.com/pinfold/pinfold/pinset"
)

func TestBookRemembersOverRestarts(t *testing.T) {
	ctx, store, now := t.Context(), dssync.MutexWrap(ds.NewMapDatastore()), time.Unix(1e9, 0)
	alice, bob, node := identitytest.Key(t, 1).ID(), identitytest.Key(t, 2).ID(), identitytest.Key(t, 3).ID()
	b, err := Open(ctx, store)
	if err != nil {
		t.Fatal(err)
	}
	told := pinset.NodeID{Peer: node, Addresses: []string{"/ip4/203.0.113.7/tcp/4001"}, Agent: "kubo"}
	for _, n := range []pinset.NodeID{told, {}, told} { // nothing told changes nothing
		if err := b.Learn(ctx, alice, n, now); err != nil {
			t.Fatal(err)
		}
	}
	b.Connected(alice, now)
	if r := b.Get(alice); !r.Asked.Equal(now) || !r.Connected.Equal(now) {
		t.Errorf("%+v", r)
	}
	// Damage must not keep a daemon from starting.
	for key, value := range map[string]string{prefix + "nobody": "\xa0", prefix + bob.String(): "garbage"} {
		if err := store.Put(ctx, ds.RawKey(key), []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	again, err := Open(ctx, store)
	if err != nil {
		t.Fatal(err)
	}
	want := Row{Node: pinset.NodeID{Peer: node, Addresses: told.Addresses}}
	if diff := cmp.Diff(want, again.Get(alice)); diff != "" {
		t.Error(diff)
	}
	if again.Get(bob).Node.Peer != "" {
		t.Errorf("%+v", again.Get(bob))
	}
	// Another address is another place to connect to.
	moved := told
	moved.Addresses = []string{"/ip4/203.0.113.8/tcp/4001"}
	if err := b.Learn(ctx, alice, moved, now); err != nil || !b.Get(alice).Connected.IsZero() {
		t.Errorf("%+v, %v", b.Get(alice), err)
	}
}

func TestAddressesEndWithTheirPeer(t *testing.T) {
	node := identitytest.Key(t, 3).ID()
	end := "/p2p/" + node.String()
	got := Addresses(pinset.NodeID{Peer: node, Addresses: []string{"/ip4/203.0.113.7/tcp/1", "/ip4/203.0.113.7/tcp/2" + end, "/ip4/203.0.113.7/tcp/3/"}})
	want := []string{"/ip4/203.0.113.7/tcp/1" + end, "/ip4/203.0.113.7/tcp/2" + end, "/ip4/203.0.113.7/tcp/3" + end}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := Addresses(pinset.NodeID{Addresses: want}); got != nil {
		t.Errorf("of nobody: %q", got)
	}
}

func TestOriginsStandByPeer(t *testing.T) {
	got := ByPeer([]pinset.Pin{
		{Origins: []string{"/ip4/1.1.1.1/tcp/1/p2p/B", "/ip4/1.1.1.1/tcp/2/p2p/A"}},
		{Origins: []string{"/ip4/1.1.1.1/tcp/1/p2p/B", "/ip4/1.1.1.1/tcp/3/p2p/B"}},
	})
	want := [][]string{{"/ip4/1.1.1.1/tcp/2/p2p/A"}, {"/ip4/1.1.1.1/tcp/1/p2p/B", "/ip4/1.1.1.1/tcp/3/p2p/B"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
