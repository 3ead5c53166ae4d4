package ipfsnode_test

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/pinfold/pinfold/ipfsclient"
	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/ipfsclient/kubotest"
	"github.com/pinfold/pinfold/ipfsnode"
	"github.com/pinfold/pinfold/ipfsnode/store"
)

func openNode(t *testing.T, kind string) *ipfsnode.Node {
	t.Helper()
	n, err := ipfsnode.New(ipfsnode.Config{
		Dir:        t.TempDir(),
		Listen:     []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/tcp/0"), ma.StringCast("/ip4/127.0.0.1/udp/0/quic-v1")},
		Allowed:    func(peer.ID) bool { return true },
		Blockstore: kind,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return n
}

func kubo(t *testing.T) *ipfsclient.Client {
	t.Helper()
	c, err := ipfsclient.New(ipfsclient.Config{API: kubotest.Start(t).API})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEmbeddedConforms(t *testing.T) {
	for name, open := range map[string]func(*testing.T) ipfsclienttest.Subject{
		"flatfs": func(t *testing.T) ipfsclienttest.Subject {
			return ipfsclienttest.Subject{Node: openNode(t, store.Flatfs), Other: openNode(t, store.Flatfs)}
		},
		"badger": func(t *testing.T) ipfsclienttest.Subject {
			return ipfsclienttest.Subject{Node: openNode(t, store.Badger), Other: openNode(t, store.Flatfs)}
		},
		"fetching from Kubo": func(t *testing.T) ipfsclienttest.Subject {
			return ipfsclienttest.Subject{Node: openNode(t, store.Flatfs), Other: kubo(t)}
		},
		"serving Kubo": func(t *testing.T) ipfsclienttest.Subject {
			return ipfsclienttest.Subject{Node: kubo(t), Other: openNode(t, store.Flatfs)}
		},
	} {
		t.Run(name, func(t *testing.T) { ipfsclienttest.Run(t, open) })
	}
}
