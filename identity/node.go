package identity

import "github.com/libp2p/go-libp2p/core/peer"

// signedByNode stands before what an IPFS node's key signs for others: Kubo's
// `ipfs key sign` puts it there, so that no signature serves for anything else.
const signedByNode = "libp2p-key signed message:"

// NodeClaim is what an IPFS node signs for the member that uses it: for this
// member in this cluster alone.
func NodeClaim(c ClusterID, member peer.ID) []byte {
	return []byte("pinfold/ipfs-node/1\x00" + string(c) + "\x00" + member.String())
}

// ProvesNode says whether the record's IPFS node has signed that this member uses
// it. An id that does not contain its public key (RSA) proves nothing.
func (r Record) ProvesNode(c ClusterID) bool {
	if r.IPFSPeer == "" || len(r.IPFSProof) == 0 {
		return false
	}
	pub, err := r.IPFSPeer.ExtractPublicKey()
	if err != nil {
		return false
	}
	ok, err := pub.Verify(append([]byte(signedByNode), NodeClaim(c, r.Peer)...), r.IPFSProof)
	return err == nil && ok
}
