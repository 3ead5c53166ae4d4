package block

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	dag "github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-ds-crdt/pb"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Limits of a block. They are part of the protocol.
const (
	MaxSize     = 1 << 20 // bytes
	MaxElements = 1000    // additions and removals together
	MaxParents  = 1024
)

const (
	envelopeField = 100
	lastField     = 3 // of pb.Delta
	version       = 1
	domain        = "pinfold/delta/v1\x00"
	signatureSize = 64
	numbersSize   = 16 // sequence and epoch
)

// ErrForm is wrapped by every error of Open: the bytes are not a signed block of
// this cluster.
var ErrForm = errors.New("not a signed block of this cluster")

// Envelope is who says a block, and where in their order of saying.
type Envelope struct {
	Author peer.ID
	Seq    uint64 // from 1, rising by one
	Epoch  uint64
}

// Block is one signed delta. It is not changed after it was made.
type Block struct {
	Envelope
	CID     cid.Cid
	Raw     []byte
	Delta   *pb.Delta
	Parents []cid.Cid
}

// Seal makes and signs a block.
func Seal(cluster string, key crypto.PrivKey, e Envelope, d *pb.Delta, parents []cid.Cid) (*Block, error) {
	delta, err := proto.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode delta: %w", err)
	}
	message, err := signedBytes(cluster, e, delta, parents)
	if err != nil {
		return nil, err
	}
	sig, err := key.Sign(message)
	if err != nil {
		return nil, fmt.Errorf("sign delta: %w", err)
	}
	raw, err := encode(withEnvelope(delta, e, sig), parents)
	if err != nil {
		return nil, err
	}
	if len(raw) > MaxSize {
		return nil, fmt.Errorf("delta of %d bytes: at most %d", len(raw), MaxSize)
	}
	return &Block{Envelope: e, CID: CIDOf(raw), Raw: raw, Delta: d, Parents: parents}, nil
}

// Open decodes a block, checks that it is the one encoding of itself, and
// verifies its signature. It does not judge the author or the content. All errors
// wrap ErrForm; the block returned with an error has the fields that could be
// read, for the record of who sent what.
func Open(cluster string, raw []byte) (*Block, error) {
	b, sig, delta, err := decode(raw)
	if err != nil {
		return b, fmt.Errorf("%w: %w", ErrForm, err)
	}
	if err := verify(cluster, b, delta, sig); err != nil {
		return b, fmt.Errorf("%w: %w", ErrForm, err)
	}
	return b, nil
}

// Read decodes a block that Open or Seal has passed before it was stored.
func Read(raw []byte) (*Block, error) {
	b, _, _, err := decode(raw)
	return b, err
}

// CIDOf is the CID of a block's bytes.
func CIDOf(raw []byte) cid.Cid {
	c, err := dag.V1CidPrefix().Sum(raw)
	if err != nil {
		panic(err) // sha2-256 is always there
	}
	return c
}

// Node returns the block as the library reads it. Of a block without its bytes,
// which was folded, it has the delta alone.
func (b *Block) Node() (*dag.ProtoNode, error) {
	if b.Raw == nil {
		delta, err := proto.Marshal(b.Delta)
		if err != nil {
			return nil, fmt.Errorf("encode delta of folded block %s: %w", b.CID, err)
		}
		return dag.NodeWithData(delta), nil
	}
	n, err := dag.DecodeProtobuf(b.Raw)
	if err != nil {
		return nil, fmt.Errorf("decode block %s: %w", b.CID, err)
	}
	n.SetCidBuilder(dag.V1CidPrefix())
	return n, nil
}

func verify(cluster string, b *Block, delta, sig []byte) error {
	again, err := encode(withEnvelope(delta, b.Envelope, sig), b.Parents)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, b.Raw) {
		return errors.New("a second encoding of a block")
	}
	key, err := b.Author.ExtractPublicKey()
	if err != nil {
		return fmt.Errorf("author %s: %w", b.Author, err)
	}
	message, err := signedBytes(cluster, b.Envelope, delta, b.Parents)
	if err != nil {
		return err
	}
	if ok, err := key.Verify(message, sig); err != nil || !ok {
		return fmt.Errorf("the signature is not that of %s", b.Author)
	}
	return nil
}

func decode(raw []byte) (b *Block, sig, delta []byte, err error) {
	b = &Block{Raw: raw}
	if len(raw) > MaxSize {
		return b, nil, nil, fmt.Errorf("block of %d bytes: at most %d", len(raw), MaxSize)
	}
	b.CID = CIDOf(raw)
	n, err := dag.DecodeProtobuf(raw)
	if err != nil {
		return b, nil, nil, fmt.Errorf("decode block: %w", err)
	}
	delta, env, err := split(n.Data())
	if err != nil {
		return b, nil, nil, err
	}
	if b.Envelope, sig, err = parseEnvelope(env); err != nil {
		return b, nil, nil, err
	}
	b.Delta = &pb.Delta{}
	if err := proto.Unmarshal(delta, b.Delta); err != nil {
		return b, nil, nil, fmt.Errorf("decode delta: %w", err)
	}
	b.Parents, err = parents(n)
	return b, sig, delta, err
}

// parents returns what the node links to: blocks like itself, each once.
func parents(n *dag.ProtoNode) ([]cid.Cid, error) {
	links := n.Links()
	if len(links) > MaxParents {
		return nil, fmt.Errorf("%d parents: at most %d", len(links), MaxParents)
	}
	out := make([]cid.Cid, len(links))
	seen := make(map[cid.Cid]struct{}, len(links))
	for i, l := range links {
		p := l.Cid.Prefix()
		if p.Version != 1 || p.Codec != cid.DagProtobuf || p.MhType != 0x12 || p.MhLength != 32 {
			return nil, fmt.Errorf("parent %s: not the CID of a block", l.Cid)
		}
		if _, twice := seen[l.Cid]; twice {
			return nil, fmt.Errorf("parent %s: named twice", l.Cid)
		}
		seen[l.Cid] = struct{}{}
		out[i] = l.Cid
	}
	return out, nil
}

// split cuts a node's data into the delta and the envelope, which must come last.
func split(data []byte) (delta, env []byte, err error) {
	for rest := data; len(rest) > 0; {
		num, typ, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return nil, nil, errors.New("malformed delta")
		}
		size := protowire.ConsumeFieldValue(num, typ, rest[n:])
		if size < 0 {
			return nil, nil, errors.New("malformed delta")
		}
		if num == envelopeField {
			if typ != protowire.BytesType || n+size != len(rest) {
				return nil, nil, errors.New("something follows the envelope")
			}
			env, _ = protowire.ConsumeBytes(rest[n:])
			return data[:len(data)-len(rest)], env, nil
		}
		if num > lastField {
			return nil, nil, fmt.Errorf("unknown field %d in the delta", num)
		}
		rest = rest[n+size:]
	}
	return nil, nil, errors.New("no envelope: not signed")
}

func parseEnvelope(b []byte) (e Envelope, sig []byte, err error) {
	if len(b) < 2 || b[0] != version {
		return e, nil, errors.New("unknown envelope")
	}
	n := int(b[1])
	if len(b) != 2+n+numbersSize+signatureSize {
		return e, nil, fmt.Errorf("envelope of %d bytes", len(b))
	}
	if e.Author, err = peer.IDFromBytes(b[2 : 2+n]); err != nil {
		return e, nil, fmt.Errorf("author: %w", err)
	}
	b = b[2+n:]
	e.Seq, e.Epoch = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	return e, b[numbersSize:], nil
}

// withEnvelope appends the envelope, with as much of a signature as there is.
func withEnvelope(delta []byte, e Envelope, sig []byte) []byte {
	env := make([]byte, 0, 2+len(e.Author)+numbersSize+len(sig))
	env = append(env, version, byte(len(e.Author)))
	env = append(env, e.Author...)
	env = binary.BigEndian.AppendUint64(env, e.Seq)
	env = binary.BigEndian.AppendUint64(env, e.Epoch)
	env = append(env, sig...)
	out := make([]byte, 0, len(delta)+len(env)+8)
	out = append(out, delta...)
	out = protowire.AppendTag(out, envelopeField, protowire.BytesType)
	return protowire.AppendBytes(out, env)
}

func signedBytes(cluster string, e Envelope, delta []byte, parents []cid.Cid) ([]byte, error) {
	raw, err := encode(withEnvelope(delta, e, nil), parents)
	if err != nil {
		return nil, err
	}
	m := make([]byte, 0, len(domain)+len(cluster)+1+len(raw))
	m = append(m, domain...)
	m = append(m, cluster...)
	m = append(m, 0)
	return append(m, raw...), nil
}

func encode(data []byte, parents []cid.Cid) ([]byte, error) {
	n := dag.NodeWithData(data)
	for _, p := range parents {
		if err := n.AddRawLink("", &ipld.Link{Cid: p}); err != nil {
			return nil, fmt.Errorf("link parent %s: %w", p, err)
		}
	}
	raw, err := n.EncodeProtobuf(true)
	if err != nil {
		return nil, fmt.Errorf("encode block: %w", err)
	}
	return raw, nil
}
