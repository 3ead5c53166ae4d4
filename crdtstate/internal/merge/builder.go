package merge

import (
	"bytes"

	"github.com/pinfold/pinfold/crdtstate/internal/kv"
)

// Builder makes cells of elements that are live, without the library: those of a
// genesis. Positions must rise.
type Builder struct {
	db    kv.DB
	cells map[string]*Cell // by store key
}

// NewBuilder makes one for an empty store.
func NewBuilder(db kv.DB) *Builder { return &Builder{db, map[string]*Cell{}} }

// Add makes the element of a key in the block at pos live.
func (b *Builder) Add(key string, value []byte, pos, height uint64) error {
	k, err := code(key)
	if err != nil {
		return err
	}
	c := b.cells[string(k)]
	if c == nil {
		old, err := readCode(b.db, k)
		if err != nil {
			return err
		}
		c = &old
		b.cells[string(k)] = c
	}
	if n := len(c.Live); n == 0 || c.Live[n-1] != pos {
		c.Live = append(c.Live, pos)
	}
	if c.Value == nil || height > c.Priority || height == c.Priority && bytes.Compare(value, c.Value) > 0 {
		c.Value, c.Priority = bytes.Clone(value), height
	}
	return nil
}

// Len is how many cells wait for Write.
func (b *Builder) Len() int { return len(b.cells) }

// Write puts the cells into a batch, which must be applied before the next Add.
func (b *Builder) Write(batch *kv.Batch) {
	for k, c := range b.cells {
		batch.Put([]byte(k), c.encode())
	}
	clear(b.cells)
}
