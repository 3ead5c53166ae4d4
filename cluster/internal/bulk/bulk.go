// Package bulk makes many changes of pins in few deltas, while they are told one by
// one. It is pure but for what it is handed to commit with.
package bulk

import (
	"iter"

	"github.com/pinfold/pinfold/pinset"
)

// Change is what becomes of one pin.
type Change[Op any] struct {
	Key  string // two with one key are one: the earlier counts
	Op   Op
	Size int // bytes of it
	Pin  pinset.Pin
}

// What one delta takes of changes.
const (
	maxOps   = 500
	maxBytes = 512 << 10
)

// Batch gathers changes and makes them together.
type Batch[Op any] struct {
	Commit func([]Op) error
	ops    []Op
	keys   map[string]struct{}
	size   int
}

// Has says whether a change of a key waits.
func (b *Batch[Op]) Has(key string) bool {
	_, there := b.keys[key]
	return there
}

// Add takes one more; full says that it is time to Flush.
func (b *Batch[Op]) Add(c Change[Op]) (full bool) {
	if b.keys == nil {
		b.keys = make(map[string]struct{}, maxOps)
	}
	b.keys[c.Key] = struct{}{}
	b.ops, b.size = append(b.ops, c.Op), b.size+c.Size
	return len(b.ops) >= maxOps || b.size >= maxBytes
}

// Flush makes the changes that wait.
func (b *Batch[Op]) Flush() error {
	if len(b.ops) == 0 {
		return nil
	}
	err := b.Commit(b.ops)
	b.ops, b.size = b.ops[:0], 0
	clear(b.keys)
	return err
}

// Commit makes the changes of a sequence, some at a time, and yields the pins of
// those that are made. An error, of the sequence or of a commit, ends it; what was
// yielded stays.
func Commit[Op any](changes iter.Seq2[Change[Op], error], commit func([]Op) error) iter.Seq2[pinset.Pin, error] {
	return func(yield func(pinset.Pin, error) bool) {
		batch := Batch[Op]{Commit: commit}
		var pins []pinset.Pin
		flush := func() bool {
			if err := batch.Flush(); err != nil {
				yield(pinset.Pin{}, err)
				return false
			}
			for _, p := range pins {
				if !yield(p, nil) {
					return false
				}
			}
			pins = pins[:0]
			return true
		}
		for c, err := range changes {
			if err != nil {
				if flush() {
					yield(pinset.Pin{}, err)
				}
				return
			}
			if batch.Has(c.Key) {
				continue
			}
			pins = append(pins, c.Pin)
			if batch.Add(c) && !flush() {
				return
			}
		}
		flush()
	}
}
