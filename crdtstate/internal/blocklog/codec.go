package blocklog

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/klauspost/compress/zstd"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"
)

// Keys in the store. Positions are 8 bytes, big endian.
const (
	blockPrefix  = 'b' // position -> block, compressed
	metaPrefix   = 'm' // position -> Meta
	indexPrefix  = 'i' // sha2-256 of a block -> position
	authorPrefix = 'v' // number -> Author
	forkPrefix   = 'f' // sha2-256 of a block -> Fork
)

// Meta is what is kept of a block beside it.
type Meta struct {
	CID     cid.Cid
	Height  uint64   // 1 for a root, else one above its highest parent
	Author  uint32   // number of the author
	Seq     uint64   // of the author
	Set     SetID    // of the control blocks in its closure, itself included
	Parents []uint64 // positions
}

// SetID names a set of positions: a hash of them. The empty set's is zero.
type SetID [16]byte

// Author is a row of the table of authors.
type Author struct {
	ID  peer.ID
	Seq uint64 // highest admitted
}

// Fork is evidence that an author signed two blocks with one sequence number.
type Fork struct {
	Author peer.ID
	Seq    uint64
	First  cid.Cid // undefined when it lies too far back to be looked for
	Second cid.Cid
}

var errDamaged = errors.New("damaged record")

func at(prefix byte, pos uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, 9), prefix), pos)
}

func byCID(prefix byte, c cid.Cid) []byte {
	h := c.Hash()
	return append([]byte{prefix}, h[len(h)-32:]...)
}

// blockCID makes the CID of a block of its sha2-256.
func blockCID(h []byte) cid.Cid {
	mh, err := multihash.Encode(h, multihash.SHA2_256)
	if err != nil {
		panic(err) // 32 bytes of sha2-256
	}
	return cid.NewCidV1(cid.DagProtobuf, mh)
}

func (m *Meta) encode(pos uint64) []byte {
	h := m.CID.Hash()
	b := append(make([]byte, 0, 80), h[len(h)-32:]...)
	b = append(b, m.Set[:]...)
	for _, v := range []uint64{m.Height, uint64(m.Author), m.Seq, uint64(len(m.Parents))} {
		b = binary.AppendUvarint(b, v)
	}
	for _, p := range m.Parents {
		b = binary.AppendUvarint(b, pos-p)
	}
	return b
}

func decodeMeta(pos uint64, b []byte) (Meta, error) {
	if len(b) < 48 {
		return Meta{}, errDamaged
	}
	m := Meta{CID: blockCID(b[:32]), Set: SetID(b[32:])}
	b = b[48:]
	bad := false
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			bad = true
			return 0
		}
		b = b[n:]
		return v
	}
	m.Height, m.Author, m.Seq = next(), uint32(next()), next()
	n := next()
	if bad || n > uint64(len(b)) {
		return m, errDamaged
	}
	m.Parents = make([]uint64, n)
	for i := range m.Parents {
		m.Parents[i] = pos - next()
	}
	if bad {
		return m, errDamaged
	}
	return m, nil
}

func (a Author) encode() []byte {
	return append(binary.BigEndian.AppendUint64(nil, a.Seq), a.ID...)
}

func decodeAuthor(b []byte) (Author, error) {
	if len(b) < 9 {
		return Author{}, errDamaged
	}
	return Author{ID: peer.ID(b[8:]), Seq: binary.BigEndian.Uint64(b)}, nil
}

func (f Fork) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, f.Seq)
	b = append(b, byte(len(f.Author)))
	b = append(b, f.Author...)
	if f.First.Defined() {
		h := f.First.Hash()
		b = append(b, h[len(h)-32:]...)
	}
	return b
}

func decodeFork(second, b []byte) (Fork, error) {
	if len(b) < 9 || len(b) < 9+int(b[8]) {
		return Fork{}, errDamaged
	}
	n := 9 + int(b[8])
	f := Fork{Seq: binary.BigEndian.Uint64(b), Author: peer.ID(b[9:n]), Second: blockCID(second)}
	if len(b) == n+32 {
		f.First = blockCID(b[n:])
	}
	return f, nil
}

// Blocks are kept compressed where that saves space: keys in base32 always do.
const (
	plain = iota
	zstandard
)

type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodec() (codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(128<<10), zstd.WithEncoderCRC(false))
	if err != nil {
		return codec{}, fmt.Errorf("make compressor: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(4<<20))
	if err != nil {
		return codec{}, fmt.Errorf("make decompressor: %w", err)
	}
	return codec{enc, dec}, nil
}

func (c codec) compress(raw []byte) []byte {
	out := c.enc.EncodeAll(raw, append(make([]byte, 0, len(raw)+1), zstandard))
	if len(out) > len(raw) {
		return append(append(out[:0], plain), raw...)
	}
	return out
}

func (c codec) decompress(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, errDamaged
	}
	switch b[0] {
	case plain:
		return b[1:], nil
	case zstandard:
		return c.dec.DecodeAll(b[1:], nil)
	}
	return nil, errDamaged
}
