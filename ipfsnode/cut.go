package ipfsnode

import "github.com/libp2p/go-libp2p/core/peer"

// Cut closes the connections to these nodes and lets no new ones come: a split
// for tests. Heal ends it.
func (n *Node) Cut(ids ...peer.ID) {
	for _, p := range ids {
		_ = n.swarm.gater.BlockPeer(p) // it writes nothing, so it cannot fail
		_ = n.swarm.host.Network().ClosePeer(p)
	}
}

// Heal undoes every Cut. Connections that were kept are made again within seconds,
// however long the cut was.
func (n *Node) Heal() {
	healed := make(map[peer.ID]bool)
	for _, p := range n.swarm.gater.ListBlockedPeers() {
		healed[p] = true
		_ = n.swarm.gater.UnblockPeer(p)
	}
	for _, info := range n.swarm.peering.ListPeers() {
		if healed[info.ID] { // adding it anew forgets how long it was away
			n.swarm.peering.RemovePeer(info.ID)
			n.swarm.peering.AddPeer(info)
		}
	}
}
