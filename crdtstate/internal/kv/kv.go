package kv

import (
	"errors"
	"fmt"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrNotFound is returned by Get for a key that is not there.
var ErrNotFound = errors.New("key not found")

// DB is an ordered key-value store. All methods but Close may be called
// concurrently with each other.
type DB interface {
	// Get returns a copy of the value of key, or ErrNotFound.
	Get(key []byte) ([]byte, error)
	// Scan calls f for the entries with from <= key < to, in ascending order, until
	// f returns false. It sees one moment's state. The slices are valid only during
	// the call.
	Scan(from, to []byte, f func(key, value []byte) bool) error
	// Apply writes b in its order. With durable, everything applied so far has
	// reached the disk when it returns. After an error the DB must be closed and
	// opened again before it is written to: part of b may be there.
	Apply(b *Batch, durable bool) error
	Close() error
}

// Batch is a list of writes. The zero Batch is empty and ready to use. It keeps
// the slices it is given; they must not be changed before Apply returns.
type Batch struct {
	entries []entry
	size    int
}

type entry struct {
	key, value []byte
	remove     bool
}

// Put appends a write of value under key.
func (b *Batch) Put(key, value []byte) {
	b.entries = append(b.entries, entry{key: key, value: value})
	b.size += len(key) + len(value)
}

// Delete appends the removal of key.
func (b *Batch) Delete(key []byte) {
	b.entries = append(b.entries, entry{key: key, remove: true})
	b.size += len(key)
}

// Size is the number of bytes of keys and values in the batch.
func (b *Batch) Size() int { return b.size }

// Len is the number of entries in the batch.
func (b *Batch) Len() int { return len(b.entries) }

// Kinds of stores. Memory keeps nothing: it is for tests and simulations.
const (
	Badger = "badger"
	Pebble = "pebble"
	Memory = "memory"
)

// Open opens or makes the store of a kind in dir.
func Open(kind, dir string) (DB, error) {
	if kind == Memory {
		return NewMemory(), nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make store directory: %w", err)
	}
	switch kind {
	case Badger:
		return openBadger(dir)
	case Pebble:
		return OpenPebble(dir, vfs.Default)
	}
	return nil, fmt.Errorf("store %q: want %s or %s", kind, Badger, Pebble)
}

// Probe reports whether the disk of dir takes n more bytes, by writing them. Free
// space alone does not say it: there are quotas, and disks that fail.
func Probe(dir string, n int) (err error) {
	f, err := os.CreateTemp(dir, "probe-*")
	if err != nil {
		return fmt.Errorf("try the disk: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if _, err := f.Write(make([]byte, n)); err != nil {
		return fmt.Errorf("try the disk: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("try the disk: %w", err)
	}
	return nil
}

// After returns the first key that is greater than every key with prefix p.
func After(p []byte) []byte {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] != 0xff {
			end := append([]byte(nil), p[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}

// Head returns the first n entries as a batch: what a crash may leave of it.
func (b *Batch) Head(n int) *Batch { return &Batch{entries: b.entries[:min(n, len(b.entries))]} }
