package epoch

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/pinfold/pinfold/crdtstate/internal/block"
	"github.com/pinfold/pinfold/crdtstate/internal/blocklog"
	"github.com/pinfold/pinfold/crdtstate/internal/kv"
	"github.com/pinfold/pinfold/identity"
)

// controls answers who may do what at a point of the history. Authority there
// depends on the control blocks among the ancestors only. That set is named by a
// hash of its positions, kept with every block: for most blocks it is that of the
// parents, and the authority is one that is held already.
type controls struct {
	db      kv.DB
	log     *blocklog.Log
	none    *identity.Authority
	current blocklog.SetID // of everything admitted
	fresh   map[blocklog.SetID][]uint64
	sets    map[blocklog.SetID][]uint64
	held    map[blocklog.SetID]*identity.Authority
}

// maxHeld bounds the authorities and sets kept in memory.
const maxHeld = 32

func newControls(db kv.DB, log *blocklog.Log, none *identity.Authority, current blocklog.SetID) *controls {
	c := &controls{
		db: db, log: log, none: none, current: current,
		fresh: map[blocklog.SetID][]uint64{},
		sets:  map[blocklog.SetID][]uint64{},
		held:  map[blocklog.SetID]*identity.Authority{},
	}
	return c
}

func setID(positions []uint64) (id blocklog.SetID) {
	if len(positions) == 0 {
		return id
	}
	h := sha256.New()
	for _, p := range positions {
		_ = binary.Write(h, binary.BigEndian, p) // a hash takes everything
	}
	copy(id[:], h.Sum(nil))
	return id
}

// join returns the set of the control blocks in the closures of all parents.
func (c *controls) join(parents []blocklog.Meta) (blocklog.SetID, error) {
	if len(parents) == 0 {
		return blocklog.SetID{}, nil
	}
	first := parents[0].Set
	var all []uint64
	for _, p := range parents[1:] {
		if p.Set == first {
			continue
		}
		for _, id := range []blocklog.SetID{first, p.Set} {
			s, err := c.set(id)
			if err != nil {
				return first, err
			}
			all = append(all, s...)
		}
	}
	if all == nil {
		return first, nil
	}
	slices.Sort(all)
	return c.keep(slices.Compact(all)), nil
}

// extend returns the set with one more block, which stands at pos.
func (c *controls) extend(id blocklog.SetID, pos uint64) (blocklog.SetID, error) {
	s, err := c.set(id)
	if err != nil {
		return id, err
	}
	return c.keep(append(slices.Clip(s), pos)), nil
}

// keep names a set and remembers that the round has to write it.
func (c *controls) keep(s []uint64) blocklog.SetID {
	id := setID(s)
	c.fresh[id] = s
	return id
}

func (c *controls) set(id blocklog.SetID) ([]uint64, error) {
	if id == (blocklog.SetID{}) {
		return nil, nil
	}
	if s, ok := c.fresh[id]; ok {
		return s, nil
	}
	if s, ok := c.sets[id]; ok {
		return s, nil
	}
	s, err := readSet(c.db, id)
	if err != nil {
		return nil, err
	}
	bound(c.sets, maxHeld)
	c.sets[id] = s
	return s, nil
}

// readSet reads a set that was written.
func readSet(db kv.DB, id blocklog.SetID) ([]uint64, error) {
	if id == (blocklog.SetID{}) {
		return nil, nil
	}
	b, err := db.Get(append([]byte{controlKey}, id[:]...))
	if err != nil {
		return nil, fmt.Errorf("read control set %x: %w", id, err)
	}
	var s []uint64
	for last := uint64(0); len(b) > 0; {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, fmt.Errorf("read control set %x: %w", id, errCheckpoint)
		}
		last += v
		s, b = append(s, last), b[n:]
	}
	return s, nil
}

func encodeSet(s []uint64) []byte {
	var v []byte
	last := uint64(0)
	for _, p := range s {
		v, last = binary.AppendUvarint(v, p-last), p
	}
	return v
}

// bound makes room in a cache: what is in use comes back at once.
func bound[K comparable, V any](m map[K]V, limit int) {
	if len(m) >= limit {
		clear(m)
	}
}

// authority evaluates a set.
func (c *controls) authority(id blocklog.SetID) (*identity.Authority, error) {
	if a, ok := c.held[id]; ok {
		return a, nil
	}
	s, err := c.set(id)
	if err != nil {
		return nil, err
	}
	a, rest := c.none, s
	if len(s) > 1 { // one step from a set that is held is the usual case
		if before, ok := c.held[setID(s[:len(s)-1])]; ok {
			a, rest = before, s[len(s)-1:]
		}
	}
	var entries []identity.Entry
	for _, pos := range rest {
		b, err := c.log.Block(pos)
		if err != nil {
			return nil, fmt.Errorf("read control block: %w", err)
		}
		entries = append(entries, controlEntries(b)...)
	}
	a = a.With(entries...)
	bound(c.held, maxHeld)
	c.held[id] = a
	return a, nil
}

// now is the authority of everything admitted.
func (c *controls) now() (*identity.Authority, error) { return c.authority(c.current) }

func controlEntries(b *block.Block) []identity.Entry {
	var out []identity.Entry
	for _, e := range b.Delta.Elements {
		if identity.IsControl(e.Key) {
			out = append(out, identity.Entry{
				Author: b.Author, Seq: b.Seq, Priority: b.Delta.Priority, Key: e.Key, Value: e.Value,
			})
		}
	}
	return out
}

func (c *controls) write(b *kv.Batch) {
	for id, s := range c.fresh {
		b.Put(append([]byte{controlKey}, id[:]...), encodeSet(s))
	}
}

func (c *controls) settle() {
	for id, s := range c.fresh {
		bound(c.sets, maxHeld)
		c.sets[id] = s
	}
	clear(c.fresh)
}
