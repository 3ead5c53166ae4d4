package ipfsnode

import (
	"context"

	"github.com/ipfs/boxo/ipld/merkledag"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	ipldlegacy "github.com/ipfs/go-ipld-legacy"

	"github.com/pinfold/pinfold/pinset"
)

// Resolve returns the CID of the last block on a path: /ipfs/CID with names below it.
func (n *Node) Resolve(ctx context.Context, path string) (cid.Cid, error) {
	nd, err := resolve(ctx, n.reader(ctx), path)
	if err != nil {
		return cid.Undef, err
	}
	return nd.Cid(), nil
}

// Block returns a block's bytes. One that is not here is fetched from connected
// nodes, for as long as ctx allows.
func (n *Node) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	if err := checkHash(c); err != nil {
		return nil, err
	}
	data, err := n.store.Get(ctx, c)
	if err == nil || !isNotFound(err) {
		return data, err
	}
	nd, err := n.dag.Get(ctx, c)
	if err != nil {
		return nil, err
	}
	return nd.RawData(), nil
}

// Connected are the nodes that this one is connected to, as addresses that end in
// /p2p/ and their id.
func (n *Node) Connected(context.Context) []string {
	var out []string
	for _, c := range n.swarm.host.Network().Conns() {
		out = append(out, c.RemoteMultiaddr().String()+"/p2p/"+c.RemotePeer().String())
	}
	return out
}

// PutBlock keeps a block and syncs it. It stays until garbage is collected, unless
// it is pinned by then. The bytes must be those that c names.
func (n *Node) PutBlock(ctx context.Context, c cid.Cid, data []byte) error {
	if err := checkHash(c); err != nil {
		return err
	}
	sum, err := c.Prefix().Sum(data)
	if err != nil || !sum.Equals(c) {
		return pinset.Invalid("block %s: its bytes are another block's", c)
	}
	b, err := blocks.NewBlockWithCid(data, c)
	if err != nil {
		return err
	}
	if err := n.store.Keep(ctx, b); err != nil {
		return err
	}
	return n.store.Flush(ctx)
}

// Links returns what a block links to, in its order.
func (n *Node) Links(ctx context.Context, c cid.Cid) ([]pinset.Link, error) {
	if c.Type() == cid.Raw {
		return nil, nil
	}
	data, err := n.Block(ctx, c)
	if err != nil {
		return nil, err
	}
	b, err := blocks.NewBlockWithCid(data, c)
	if err != nil {
		return nil, err
	}
	var nd ipld.Node
	if c.Type() == cid.DagProtobuf {
		nd, err = merkledag.DecodeProtobufBlock(b)
	} else {
		nd, err = ipldlegacy.NewDecoder().DecodeNode(ctx, b)
	}
	if err != nil {
		return nil, pinset.Invalid("block %s: cannot read its links: %w", c, err)
	}
	var out []pinset.Link
	for _, l := range nd.Links() {
		out = append(out, pinset.Link{Name: l.Name, CID: l.Cid, Size: l.Size})
	}
	return out, nil
}
