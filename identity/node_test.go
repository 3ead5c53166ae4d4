package identity_test

import (
	"crypto/rand"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/identity/identitytest"
)

// A node vouches for one member in one cluster, and nobody else's signature does.
func TestANodesWordIsForOneMemberInOneCluster(t *testing.T) {
	c := identitytest.New(t, 3)
	cluster := c.Founding.ID()
	node, _, err := crypto.GenerateEd25519Key(rand.Reader)
	id, idErr := peer.IDFromPrivateKey(must(t, node, err))
	must(t, id, idErr)
	word := func(of crypto.PrivKey, prefix string, in identity.ClusterID, member peer.ID) []byte {
		sig, err := of.Sign(append([]byte(prefix), identity.NodeClaim(in, member)...))
		return must(t, sig, err)
	}
	stranger, _, err := crypto.GenerateEd25519Key(rand.Reader)
	must(t, stranger, err)
	const words = "libp2p-key signed message:"
	for name, row := range map[string]struct {
		ipfs  peer.ID
		proof []byte
		want  bool
	}{
		"its own":             {id, word(node, words, cluster, c.ID(1)), true},
		"another member's":    {id, word(node, words, cluster, c.ID(2)), false},
		"of another cluster":  {id, word(node, words, "bafy", c.ID(1)), false},
		"by another key":      {id, word(stranger, words, cluster, c.ID(1)), false},
		"not as a node signs": {id, word(node, "", cluster, c.ID(1)), false},
		"none":                {id, nil, false},
		"too short":           {id, []byte{1}, false},
		"no node":             {"", word(node, words, cluster, c.ID(1)), false},
		"an id without a key": {peer.ID("\x12\x20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), word(node, words, cluster, c.ID(1)), false},
		"an id that is no id": {peer.ID("x"), word(node, words, cluster, c.ID(1)), false},
	} {
		r := c.Record(1)
		r.IPFSPeer, r.IPFSProof = row.ipfs, row.proof
		if got := r.ProvesNode(cluster); got != row.want {
			t.Errorf("%s: %v, want %v", name, got, row.want)
		}
	}
	r := c.Record(1)
	r.IPFSProof = make([]byte, 257)
	if r.Validate() == nil {
		t.Error("a proof without bound is valid")
	}
}
