package blocklog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	dag "github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/crdtstate/internal/block"
	"github.com/pinfold/pinfold/crdtstate/internal/kv"
)

// Log is the log with the blocks of the round under way. It has one user at a
// time.
type Log struct {
	*Reader
	settled uint64 // blocks in the store
	round   []appended
	index   map[cid.Cid]uint64 // of the round
	authors []Author
	numbers map[peer.ID]uint32
	touched map[uint32]struct{} // authors of the round
	last    map[uint32]struct{} // of the round before
	bytes   int                 // of the round
	changes int                 // in the round
	forks   []Fork              // of the round
	known   int                 // forks in the store
	recent  map[cid.Cid]int64   // positions asked for lately
	cids    map[uint64]cid.Cid  // the same the other way round
	torn    bool                // the store holds blocks beyond the settled ones
	node    *dag.ProtoNode      // read last: the library asks twice
	nodeCID cid.Cid
}

type appended struct {
	block *block.Block
	meta  Meta
}

const (
	maxRecent = 4096
	maxForks  = 1000 // evidence kept; more adds nothing
	forkReach = 4096 // blocks looked through for the first block of a fork
)

// NewLog opens a log that holds n blocks.
func NewLog(r *Reader, n uint64) (*Log, error) {
	l := &Log{
		Reader: r, settled: n, index: map[cid.Cid]uint64{}, numbers: map[peer.ID]uint32{},
		touched: map[uint32]struct{}{}, last: map[uint32]struct{}{}, recent: map[cid.Cid]int64{}, cids: map[uint64]cid.Cid{},
	}
	var err error
	if l.authors, err = r.Authors(); err != nil {
		return nil, err
	}
	for i, a := range l.authors {
		l.numbers[a.ID] = uint32(i)
	}
	forks, err := r.Forks()
	if err != nil {
		return nil, err
	}
	l.known = len(forks)
	_, err = r.Meta(n)
	l.torn = err == nil
	if errors.Is(err, ErrUnknown) {
		err = nil
	}
	return l, err
}

// Torn reports whether a write was cut off: the store has blocks that the log's
// owner has not settled. They can be read with Raw and appended again, in order;
// Mended says that this is done.
func (l *Log) Torn() bool { return l.torn }

// Mended ends the state that Torn reports.
func (l *Log) Mended() { l.torn = false }

// Len is the number of blocks, with those of the round.
func (l *Log) Len() uint64 { return l.settled + uint64(len(l.round)) }

// Round returns the CIDs of the round's blocks, in order.
func (l *Log) Round() []cid.Cid {
	out := make([]cid.Cid, len(l.round))
	for i, a := range l.round {
		out[i] = a.block.CID
	}
	return out
}

// RoundBytes is the size of the round's blocks.
func (l *Log) RoundBytes() int { return l.bytes }

// RoundChanges is the number of elements and removals in the round.
func (l *Log) RoundChanges() int { return l.changes }

// Forks returns the evidence that the round brought.
func (l *Log) Forks() []Fork { return l.forks }

// Seq is the highest sequence number of an author.
func (l *Log) Seq(id peer.ID) uint64 {
	if n, ok := l.numbers[id]; ok {
		return l.authors[n].Seq
	}
	return 0
}

// Lately yields the authors of the last settled round.
func (l *Log) Lately() iter.Seq[Author] {
	return func(yield func(Author) bool) {
		for n := range l.last {
			if !yield(l.authors[n]) {
				return
			}
		}
	}
}

// AllAuthors is the table of authors. The caller must not change it.
func (l *Log) AllAuthors() []Author { return l.authors }

// AuthorID is the author of a number.
func (l *Log) AuthorID(n uint32) peer.ID { return l.authors[n].ID }

// Append puts an admitted block into the round. Its parents are in the log.
func (l *Log) Append(b *block.Block, m Meta) uint64 {
	pos := l.Len()
	n, ok := l.numbers[b.Author]
	if !ok {
		n = uint32(len(l.authors))
		l.numbers[b.Author] = n
		l.authors = append(l.authors, Author{ID: b.Author})
	}
	m.CID, m.Author, m.Seq = b.CID, n, b.Seq
	if b.Seq <= l.authors[n].Seq && l.known+len(l.forks) < maxForks {
		// A torn table of authors may count this very block already.
		if first := l.find(n, b.Seq); first.Defined() || !l.torn {
			l.forks = append(l.forks, Fork{b.Author, b.Seq, first, b.CID})
		}
	}
	l.authors[n].Seq = max(l.authors[n].Seq, b.Seq)
	l.touched[n] = struct{}{}
	l.round = append(l.round, appended{b, m})
	l.index[b.CID] = pos
	l.bytes += len(b.Raw)
	l.changes += len(b.Delta.Elements) + len(b.Delta.Tombstones)
	return pos
}

// find looks for the block that an author signed with a sequence number.
func (l *Log) find(author uint32, seq uint64) cid.Cid {
	end := l.Len()
	for pos := end; pos > 0 && end-pos < forkReach; {
		pos--
		m, err := l.Meta(pos)
		if err != nil {
			break // evidence without the first block is evidence still
		}
		if m.Author == author && m.Seq == seq {
			return m.CID
		}
	}
	return cid.Undef
}

// Position is where a block stands, -1 when it is not in the log.
func (l *Log) Position(c cid.Cid) (int64, error) {
	if pos, ok := l.index[c]; ok {
		return int64(pos), nil
	}
	if pos, ok := l.recent[c]; ok {
		return pos, nil
	}
	pos, err := l.Reader.Position(c)
	if err == nil && pos >= int64(l.settled) {
		pos = -1 // left over from a write that was cut off
	}
	if err == nil && pos >= 0 {
		l.remember(c, pos)
	}
	return pos, err
}

func (l *Log) remember(c cid.Cid, pos int64) {
	if len(l.recent) >= maxRecent {
		clear(l.recent)
		clear(l.cids)
	}
	l.recent[c] = pos
	l.cids[uint64(pos)] = c
}

// Meta returns what is kept of the block at pos.
func (l *Log) Meta(pos uint64) (Meta, error) {
	if pos >= l.settled {
		if pos >= l.Len() {
			return Meta{}, fmt.Errorf("read block %d: %w", pos, ErrUnknown)
		}
		return l.round[pos-l.settled].meta, nil
	}
	return l.Reader.Meta(pos)
}

// CID names the block at pos.
func (l *Log) CID(pos uint64) (cid.Cid, error) {
	if c, ok := l.cids[pos]; ok {
		return c, nil
	}
	m, err := l.Meta(pos)
	if err == nil && pos < l.settled {
		l.remember(m.CID, int64(pos))
	}
	return m.CID, err
}

// Block returns the block at pos.
func (l *Log) Block(pos uint64) (*block.Block, error) {
	if pos >= l.settled && pos < l.Len() {
		return l.round[pos-l.settled].block, nil
	}
	return l.Reader.Block(pos)
}

// Node is a block as go-ds-crdt reads it.
func (l *Log) Node(c cid.Cid) (ipld.Node, error) {
	if l.node != nil && l.nodeCID == c {
		return l.node, nil
	}
	pos, err := l.Position(c)
	if err != nil {
		return nil, err
	}
	if pos < 0 {
		return nil, ipld.ErrNotFound{Cid: c}
	}
	b, err := l.Block(uint64(pos))
	if err != nil {
		return nil, err
	}
	n, err := b.Node()
	if err != nil {
		return nil, err
	}
	l.node, l.nodeCID = n, c
	return n, nil
}

// Write puts the round's blocks into the batch.
func (l *Log) Write(b *kv.Batch) {
	for i, a := range l.round {
		pos := l.settled + uint64(i)
		b.Put(at(blockPrefix, pos), l.codec.compress(a.block.Raw))
		b.Put(at(metaPrefix, pos), a.meta.encode(pos))
		b.Put(byCID(indexPrefix, a.block.CID), binary.AppendUvarint(nil, pos))
	}
	for n := range l.touched {
		b.Put(at(authorPrefix, uint64(n)), l.authors[n].encode())
	}
	for _, f := range l.forks {
		b.Put(byCID(forkPrefix, f.Second), f.encode())
	}
}

// Settle begins a new round, after what Write gave was applied.
func (l *Log) Settle() {
	for i, a := range l.round {
		l.remember(a.block.CID, int64(l.settled)+int64(i))
	}
	l.settled = l.Len()
	l.known += len(l.forks)
	clear(l.round) // lets the blocks go
	clear(l.index)
	l.last, l.touched = l.touched, l.last
	clear(l.touched)
	l.round, l.forks = l.round[:0], nil
	l.node, l.bytes, l.changes = nil, 0, 0
}
