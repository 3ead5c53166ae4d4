package contact

import (
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// CheckOrigin says whether a text is the address of a peer, with its id.
func CheckOrigin(text string) error {
	a, err := ma.NewMultiaddr(text)
	if err != nil {
		return err
	}
	_, err = peer.AddrInfoFromP2pAddr(a)
	return err
}
