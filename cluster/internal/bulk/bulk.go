// Package bulk makes many changes of pins in few deltas, while they are told one by
// one. It is pure but for what it is handed to commit with.
package bulk

import (
	"iter"

	"github.com/pinfold/pinfold/pinset"
)

// Change is what becomes of one pin.
type Change[Op any] struct {
	Key string // two with one key are one: the earlier counts
	Op  Op
	Pin pinset.Pin
}

// Commit makes the changes of a sequence, max at a time, and yields the pins of those
// that are made. An error, of the sequence or of a commit, ends it; what was yielded
// stays.
func Commit[Op any](changes iter.Seq2[Change[Op], error], max int, commit func([]Op) error) iter.Seq2[pinset.Pin, error] {
	return func(yield func(pinset.Pin, error) bool) {
		var ops []Op
		var pins []pinset.Pin
		seen := map[string]struct{}{}
		flush := func() bool {
			if len(ops) == 0 {
				return true
			}
			if err := commit(ops); err != nil {
				yield(pinset.Pin{}, err)
				return false
			}
			for _, p := range pins {
				if !yield(p, nil) {
					return false
				}
			}
			ops, pins = ops[:0], pins[:0]
			clear(seen)
			return true
		}
		for c, err := range changes {
			if err != nil {
				if flush() {
					yield(pinset.Pin{}, err)
				}
				return
			}
			if _, again := seen[c.Key]; again {
				continue
			}
			seen[c.Key] = struct{}{}
			if ops, pins = append(ops, c.Op), append(pins, c.Pin); len(ops) == max && !flush() {
				return
			}
		}
		flush()
	}
}
