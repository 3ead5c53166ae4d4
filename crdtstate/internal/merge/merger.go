package merge

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"sync"
	"time"

	"github.com/ipfs/boxo/datastore/dshelp"
	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	crdt "github.com/ipfs/go-ds-crdt"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/crdtstate/internal/kv"
)

// Log is the block log as the merger reads it, with the blocks of the round that
// is under way.
type Log interface {
	// Position is where an admitted block stands, -1 for one that is not admitted.
	Position(cid.Cid) (int64, error)
	// IsFolded says whether a block without a position was merged, and is gone.
	IsFolded(cid.Cid) (bool, error)
	// CID names the block at a position.
	CID(pos uint64) (cid.Cid, error)
	// Node is an admitted block as the library reads it.
	Node(cid.Cid) (ipld.Node, error)
}

// Merger feeds the library. It has one user at a time: between Merge and Settle
// nobody else may call it.
type Merger struct {
	db    kv.DB
	log   Log
	lib   *crdt.Datastore
	feed  *feeder
	heads map[cid.Cid]uint64 // height by head, as the library keeps them
	next  uint64             // position of the next block to be merged
	cells map[string]*change

	lastID    string // the id that lastBlock and lastPos are of: asked again and again
	lastBlock hash

	mu  sync.Mutex // the library may log from any goroutine
	err error
}

// Workers is how many goroutines merge. With more than one, a removal and a
// concurrent re-pin of one key can lose the pin.
const Workers = 1

// New starts a merger on the cells in db, which hold the merge of the first next
// blocks of the log and have these heads.
func New(db kv.DB, log Log, heads map[cid.Cid]uint64, next uint64) (*Merger, error) {
	return newWith(db, log, heads, next, Workers)
}

func newWith(db kv.DB, log Log, heads map[cid.Cid]uint64, next uint64, workers int) (*Merger, error) {
	m := &Merger{
		db: db, log: log, feed: newFeeder(), heads: maps.Clone(heads), next: next, cells: map[string]*change{},
	}
	if m.heads == nil {
		m.heads = map[cid.Cid]uint64{}
	}
	o := crdt.DefaultOptions()
	o.NumWorkers = workers
	o.RepairInterval = 0
	o.MultiHeadProcessing = false // the barrier needs it
	o.RebroadcastInterval = 30 * time.Second
	o.Logger = recorder{m}
	lib, err := crdt.New(cells{m}, ds.NewKey(namespace), dagService{m}, m.feed, o)
	if err != nil {
		return nil, fmt.Errorf("start go-ds-crdt: %w", err)
	}
	m.lib = lib
	return m, nil
}

// Merge merges admitted blocks, which stand in the log from the next position on,
// in this order. It returns when the library is idle. After an error the merger
// must be closed and made again from the store.
func (m *Merger) Merge(ctx context.Context, blocks []cid.Cid) error {
	want := m.next + uint64(len(blocks))
	if len(m.heads) == 0 && len(blocks) > 1 {
		// The library makes what it hears first its heads, before it merges: let it
		// hear the root alone.
		if err := m.feed.push(ctx, blocks[:1]); err != nil {
			return err
		}
		blocks = blocks[1:]
	}
	if err := m.feed.push(ctx, blocks); err != nil {
		return err
	}
	if err := m.failure(); err != nil {
		return err
	}
	if m.next != want {
		return fmt.Errorf("merge: the library stopped at block %d of %d", m.next, want)
	}
	return nil
}

// Heads are the tips of what was merged, with their heights.
func (m *Merger) Heads() map[cid.Cid]uint64 { return m.heads }

// Cell returns a key's cell as it is in the round. The caller must not change it.
func (m *Merger) Cell(key string) (Cell, error) {
	c, err := m.change(key)
	if err != nil {
		return Cell{}, err
	}
	return c.Cell, nil
}

// Touched is the number of cells held in memory for this round.
func (m *Merger) Touched() int { return len(m.cells) }

// Change is a key whose visible value the round changed; nil: not in the set.
type Change struct {
	Key      string
	Old, New []byte
}

// Changes yields what the round changed, in no order.
func (m *Merger) Changes() iter.Seq[Change] {
	return func(yield func(Change) bool) {
		for _, c := range m.cells {
			if c.valueChanged() && !yield(Change{c.key, c.was, c.Value}) {
				return
			}
		}
	}
}

// Write puts the round's cells into the batch.
func (m *Merger) Write(b *kv.Batch) {
	for _, c := range m.cells {
		switch {
		case !c.dirty:
		case !c.empty():
			b.Put(c.code, c.encode())
		case c.found:
			b.Delete(c.code)
		}
	}
}

// Settle begins a new round, after what Write gave was applied.
func (m *Merger) Settle() { clear(m.cells) }

// Close stops the library and waits for it.
func (m *Merger) Close() error { return m.lib.Close() }

// change returns the cell of a key in the round, read from the store at first.
func (m *Merger) change(key string) (*change, error) {
	if c := m.cells[key]; c != nil {
		return c, nil
	}
	k, err := code(key)
	if err != nil {
		return nil, err
	}
	c := &change{key: key, code: k}
	b, err := m.db.Get(k)
	switch {
	case errors.Is(err, kv.ErrNotFound):
	case err != nil:
		return nil, err
	default:
		if c.Cell, err = decodeCell(b); err != nil {
			return nil, fmt.Errorf("cell of %s: %w", key, err)
		}
		c.found, c.was = true, c.Value
	}
	m.cells[key] = c
	return c, nil
}

// block reads one of the library's ids: "/" and a multihash in base32.
func (m *Merger) block(id string) (hash, error) {
	if id == m.lastID {
		return m.lastBlock, nil
	}
	mh, err := dshelp.DsKeyToMultihash(ds.RawKey(id))
	if err != nil || len(mh) != 34 || mh[0] != multihash.SHA2_256 {
		return hash{}, fmt.Errorf("%w: id %s", errLayout, id)
	}
	m.lastID, m.lastBlock = id, hash(mh[2:])
	return m.lastBlock, nil
}

// position is where the block of one of the library's ids stands, -1 for nowhere.
func (m *Merger) position(id string) (int64, error) {
	h, err := m.block(id)
	if err != nil {
		return -1, err
	}
	return m.log.Position(cidOf(h))
}

func cidOf(h hash) cid.Cid {
	mh, err := multihash.Encode(h[:], multihash.SHA2_256)
	if err != nil {
		panic(err) // 32 bytes of sha2-256
	}
	return cid.NewCidV1(cid.DagProtobuf, mh)
}

// markProcessed counts the library's progress, which must be in log order.
func (m *Merger) markProcessed(id string) error {
	pos, err := m.position(id)
	if err != nil {
		return err
	}
	if pos < 0 || uint64(pos) != m.next {
		return fmt.Errorf("merge: the library merged block %d, want block %d", pos, m.next)
	}
	m.next++
	return nil
}

// putElement makes an element live, unless its removal is here already: then both
// are forgotten.
func (m *Merger) putElement(p place) error {
	for i, h := range p.cell.awaited {
		if h == p.block {
			p.cell.awaited = append(p.cell.awaited[:i:i], p.cell.awaited[i+1:]...)
			p.cell.dirty = true
			return nil
		}
	}
	pos, err := m.log.Position(cidOf(p.block))
	if err != nil {
		return err
	}
	if pos < 0 {
		return fmt.Errorf("merge: element of a block that is not in the log: %x", p.block)
	}
	p.cell.addLive(uint64(pos))
	return nil
}

// putRemoval takes an element out. That of a block which is still to come is
// remembered; one that is already gone stays gone.
func (m *Merger) putRemoval(p place) error {
	pos, err := m.log.Position(cidOf(p.block))
	if err != nil {
		return err
	}
	if pos >= 0 && (p.cell.dropLive(uint64(pos)) || uint64(pos) < m.next) {
		return nil
	}
	if pos < 0 {
		if folded, err := m.log.IsFolded(cidOf(p.block)); err != nil || folded {
			return err
		}
	}
	if !p.cell.awaits(p.block) {
		p.cell.awaited = append(p.cell.awaited, p.block)
		p.cell.dirty = true
	}
	return nil
}

// fail remembers the first error of the round and returns err.
func (m *Merger) fail(err error) error {
	if err == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.err = fmt.Errorf("merge: %w", err)
	}
	return err
}

func (m *Merger) failure() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}
