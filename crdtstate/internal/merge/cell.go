package merge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/pinfold/pinfold/crdtstate/internal/kv"
)

// hash is the sha2-256 of a block: the library's element id without its wrapping.
type hash = [32]byte

// Cell is everything the CRDT keeps of one key.
type Cell struct {
	Value    []byte   // what a reader sees; nil: the key is not in the set
	Priority uint64   // height of the delta that Value is from
	Live     []uint64 // log positions of the deltas whose element of this key is not removed, rising
	awaited  []hash   // removals of elements that are not merged yet
}

const (
	hasValue   = 1
	hasAwaited = 2
	flagBits   = 2
)

// encode returns the record: header (number of live elements and flags), the
// positions as differences, the awaited removals, the priority, the value.
func (c *Cell) encode() []byte {
	head := uint64(len(c.Live)) << flagBits
	if c.Value != nil {
		head |= hasValue
	}
	if len(c.awaited) > 0 {
		head |= hasAwaited
	}
	b := binary.AppendUvarint(make([]byte, 0, 16+len(c.Value)), head)
	last := uint64(0)
	for _, p := range c.Live {
		b, last = binary.AppendUvarint(b, p-last), p
	}
	if len(c.awaited) > 0 {
		b = binary.AppendUvarint(b, uint64(len(c.awaited)))
		for _, h := range c.awaited {
			b = append(b, h[:]...)
		}
	}
	if c.Value != nil {
		b = binary.AppendUvarint(b, c.Priority)
		b = append(b, c.Value...)
	}
	return b
}

var errCell = errors.New("damaged cell")

// decodeCell reads a record. Value points into b.
func decodeCell(b []byte) (Cell, error) {
	var c Cell
	r := cellReader{b: b}
	head := r.uvarint()
	n := head >> flagBits
	if n > uint64(len(b)) {
		return c, errCell
	}
	last := uint64(0)
	for range n {
		last += r.uvarint()
		c.Live = append(c.Live, last)
	}
	if head&hasAwaited != 0 {
		for range r.uvarint() {
			if r.bad || len(r.b) < len(hash{}) {
				return c, errCell
			}
			c.awaited = append(c.awaited, hash(r.b))
			r.b = r.b[len(hash{}):]
		}
	}
	if head&hasValue != 0 {
		c.Priority = r.uvarint()
		c.Value = r.b
	}
	if r.bad {
		return c, errCell
	}
	return c, nil
}

type cellReader struct {
	b   []byte
	bad bool
}

func (r *cellReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (c *Cell) empty() bool { return c.Value == nil && len(c.Live) == 0 && len(c.awaited) == 0 }

func (c *Cell) awaits(h hash) bool { return slices.Contains(c.awaited, h) }

// Read returns the cell of a key; that of a key that was never written is empty.
func Read(db kv.DB, key string) (Cell, error) {
	k, err := code(key)
	if err != nil {
		return Cell{}, err
	}
	return readCode(db, k)
}

func readCode(db kv.DB, k []byte) (Cell, error) {
	b, err := db.Get(k)
	if errors.Is(err, kv.ErrNotFound) {
		return Cell{}, nil
	}
	if err != nil {
		return Cell{}, err
	}
	c, err := decodeCell(b)
	if err != nil {
		return c, fmt.Errorf("cell %x: %w", k, err)
	}
	return c, nil
}

// change is a cell in the round under way.
type change struct {
	Cell
	key   string
	code  []byte
	found bool   // in the store
	was   []byte // the value before the round
	dirty bool
}

func (c *change) addLive(pos uint64) {
	if i, there := slices.BinarySearch(c.Live, pos); !there {
		c.Live = slices.Insert(c.Live, i, pos)
	}
	c.dirty = true
}

// dropLive reports whether pos was live.
func (c *change) dropLive(pos uint64) bool {
	i, there := slices.BinarySearch(c.Live, pos)
	if there {
		c.Live = slices.Delete(c.Live, i, i+1)
		c.dirty = true
	}
	return there
}

func (c *change) valueChanged() bool {
	return (c.was == nil) != (c.Value == nil) || !bytes.Equal(c.was, c.Value)
}
