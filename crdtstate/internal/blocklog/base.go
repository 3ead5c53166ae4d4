package blocklog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-ds-crdt/pb"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/crdtstate/internal/block"
	"github.com/pinfold/pinfold/crdtstate/internal/compaction"
	"github.com/pinfold/pinfold/crdtstate/internal/kv"
)

// Keys of the genesis that a log begins with.
const (
	rootPrefix  = 'R' // the root
	piecePrefix = 'g' // number -> piece; chunks compressed
)

// Base is the genesis that a log begins with: its residuals stand at the first
// positions. They are folded: they have no bytes that could be sent, and no parents.
type Base struct {
	*compaction.Genesis
	below map[peer.ID]uint64

	mu     sync.Mutex // one chunk is kept: neighbours are asked for one after the other
	number int
	chunk  []compaction.Residual
}

// ErrFolded is returned for the bytes of a block of which only what is live is kept.
var ErrFolded = errors.New("block was folded")

func readBase(db kv.DB) (*Base, error) {
	raw, err := db.Get([]byte{rootPrefix})
	if errors.Is(err, kv.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read genesis: %w", err)
	}
	g, err := compaction.OpenRoot(raw)
	if err != nil {
		return nil, err
	}
	return &Base{Genesis: g, below: g.Below(), number: -1}, nil
}

// Base is the genesis, nil for a log that begins with the founder's block.
func (r *Reader) Base() *Base { return r.base }

// Folded is the number of positions that are folded.
func (r *Reader) Folded() uint64 {
	if r.base == nil {
		return 0
	}
	return r.base.Len()
}

// Below says whether a block was folded, or cannot be told from one that was: its
// author had said as much before the cut.
func (r *Reader) Below(author peer.ID, seq uint64) bool {
	return r.base != nil && seq <= r.base.below[author]
}

// Stub is what is known of a folded block, wherever it is: its height, and the
// control blocks in its closure, as positions.
func (r *Reader) Stub(c cid.Cid) (height uint64, set []uint64, found bool, err error) {
	if r.base == nil {
		return 0, nil, false, nil
	}
	h := c.Hash()
	if len(h) != 34 {
		return 0, nil, false, nil
	}
	b, err := r.db.Get(pieceKey(len(r.base.Counts) + compaction.Bucket(h[2:], r.base.Bits)))
	if err != nil {
		return 0, nil, false, fmt.Errorf("look up folded block %s: %w", c, err)
	}
	height, n, found := compaction.FindStub(b, h[2:])
	if !found {
		return 0, nil, false, nil
	}
	set, err = r.base.ControlSet(n)
	return height, set, err == nil, err
}

// IsFolded says whether a block is below the cut, as far as is remembered.
func (r *Reader) IsFolded(c cid.Cid) (bool, error) {
	_, _, found, err := r.Stub(c)
	return found, err
}

func pieceKey(n int) []byte { return binary.BigEndian.AppendUint32([]byte{piecePrefix}, uint32(n)) }

// Piece returns a piece of the genesis as it travels.
func (r *Reader) Piece(n int) ([]byte, error) {
	b, err := r.db.Get(pieceKey(n))
	if errors.Is(err, kv.ErrNotFound) {
		err = ErrUnknown
	}
	if err == nil && (r.base == nil || n < len(r.base.Counts)) {
		b, err = r.codec.decompress(b)
	}
	if err != nil {
		return nil, fmt.Errorf("read piece %d of the genesis: %w", n, err)
	}
	return b, nil
}

// PutPiece puts a piece of a genesis into a batch.
func (r *Reader) PutPiece(b *kv.Batch, n int, raw []byte, isChunk bool) {
	if isChunk {
		raw = r.codec.compress(raw)
	}
	b.Put(pieceKey(n), raw)
}

// PutRoot puts the root of a genesis into a batch: whoever opens the log finds it.
func PutRoot(b *kv.Batch, g *compaction.Genesis) { b.Put([]byte{rootPrefix}, g.Raw) }

// Residual returns what is kept of a folded block.
func (r *Reader) Residual(pos uint64) (compaction.Residual, error) {
	b := r.base
	n, at := b.Chunk(pos)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.number != n {
		raw, err := r.Piece(n)
		if err != nil {
			return compaction.Residual{}, err
		}
		if b.chunk, err = b.OpenChunk(n, raw); err != nil {
			return compaction.Residual{}, err
		}
		b.number = n
	}
	return b.chunk[at], nil
}

// Block returns the block at pos; of a folded one what is live of it.
func (r *Reader) Block(pos uint64) (*block.Block, error) {
	if pos >= r.Folded() {
		raw, err := r.Raw(pos)
		if err != nil {
			return nil, err
		}
		return block.Read(raw)
	}
	res, err := r.Residual(pos)
	if err != nil {
		return nil, err
	}
	return blockOf(r.base.Genesis, res), nil
}

func blockOf(g *compaction.Genesis, res compaction.Residual) *block.Block {
	b := &block.Block{
		Envelope: block.Envelope{Author: peer.ID(g.Authors[res.Author].Peer), Seq: res.Seq},
		CID:      blockCID(res.Hash), Delta: &pb.Delta{Priority: res.Height},
	}
	for _, e := range res.Live {
		b.Delta.Elements = append(b.Delta.Elements, &pb.Element{Key: e.Key, Value: bytes.Clone(e.Value)})
	}
	return b
}

// PutResidual puts what is kept of a folded block beside it into a batch: where it
// stands, and its place in the history.
func PutResidual(b *kv.Batch, pos uint64, res compaction.Residual, set SetID) {
	m := Meta{CID: blockCID(res.Hash), Height: res.Height, Author: uint32(res.Author), Seq: res.Seq, Set: set}
	b.Put(at(metaPrefix, pos), m.encode(pos))
	b.Put(byCID(indexPrefix, m.CID), binary.AppendUvarint(nil, pos))
}

// PutAuthors puts the table of authors of a genesis into a batch.
func PutAuthors(b *kv.Batch, g *compaction.Genesis) {
	for n, a := range g.Authors {
		b.Put(at(authorPrefix, uint64(n)), Author{peer.ID(a.Peer), a.Seq}.encode())
	}
}

// PutFork puts evidence of a fork into a batch.
func PutFork(b *kv.Batch, f Fork) { b.Put(byCID(forkPrefix, f.Second), f.encode()) }

// Raise sets the highest sequence number of an author, here and in a batch.
func (l *Log) Raise(b *kv.Batch, id peer.ID, seq uint64) {
	n, ok := l.numbers[id]
	if !ok {
		n = uint32(len(l.authors))
		l.numbers[id] = n
		l.authors = append(l.authors, Author{ID: id})
	}
	l.authors[n].Seq = max(l.authors[n].Seq, seq)
	b.Put(at(authorPrefix, uint64(n)), l.authors[n].encode())
}
