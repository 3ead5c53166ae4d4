package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Exam is a challenge: a nonce that is used once, and who has to answer where.
type Exam struct {
	Cluster  string
	Answerer peer.ID // so that nobody can pass on another one's answer
	Nonce    []byte
}

// Proof is the answer for one block. Only who has its bytes can make it.
func (e Exam) Proof(c cid.Cid, block []byte) []byte {
	h := hmac.New(sha256.New, e.Nonce)
	h.Write([]byte("pinfold/challenge/1\x00" + e.Cluster + "\x00"))
	for _, part := range [][]byte{[]byte(e.Answerer), c.Bytes()} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		h.Write(part)
	}
	h.Write(block)
	return h.Sum(nil)
}

// Check says whether a proof is the one for a block.
func (e Exam) Check(c cid.Cid, block, proof []byte) bool {
	return hmac.Equal(e.Proof(c, block), proof)
}

// IsBlock says whether these are a CID's bytes.
func IsBlock(c cid.Cid, data []byte) bool {
	sum, err := c.Prefix().Sum(data)
	return err == nil && sum.Equals(c)
}

// Block is one to ask about.
type Block struct {
	CID  cid.Cid
	Data []byte
}

const deepest = 64 // levels that are gone down

// Pick returns up to n distinct blocks: the root, and those at which walks down
// from it end, each way taken by chance. load returns a block that is here; draw a number below
// its argument. It returns none if the root is not here.
func Pick(root cid.Cid, n int, load func(cid.Cid) ([]byte, error), draw func(int) int) ([]Block, error) {
	var out []Block
	for i := range n {
		at, data := root, []byte(nil)
		for range deepest {
			b, err := load(at)
			if err != nil {
				return out, err
			}
			data = b
			links := linksOf(at, b)
			if len(links) == 0 || i == 0 {
				break
			}
			at = links[draw(len(links))]
			data = nil
		}
		if data != nil && !slices.ContainsFunc(out, func(b Block) bool { return b.CID.Equals(at) }) {
			out = append(out, Block{at, data})
		}
	}
	return out, nil
}

// linksOf reads the links of a UnixFS block; others count as leaves.
func linksOf(c cid.Cid, data []byte) []cid.Cid {
	if c.Type() != cid.DagProtobuf {
		return nil
	}
	nd, err := merkledag.DecodeProtobuf(data)
	if err != nil {
		return nil
	}
	var out []cid.Cid
	for _, l := range nd.Links() {
		out = append(out, l.Cid)
	}
	return out
}
