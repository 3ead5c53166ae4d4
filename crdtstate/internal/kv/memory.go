package kv

import (
	"bytes"
	"sync"

	"github.com/google/btree"
)

// memory is a DB without a disk.
type memory struct {
	mu   sync.RWMutex
	tree *btree.BTreeG[entry]
}

// NewMemory returns an empty DB that lives in memory. Close keeps its content, so
// that a test can open it again.
func NewMemory() DB {
	return &memory{tree: btree.NewG(32, func(a, b entry) bool { return bytes.Compare(a.key, b.key) < 0 })}
}

func (m *memory) Get(key []byte) ([]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	e, ok := m.tree.Get(entry{key: key})
	if !ok {
		return nil, ErrNotFound
	}
	return bytes.Clone(e.value), nil
}

func (m *memory) Scan(from, to []byte, f func(key, value []byte) bool) error {
	m.mu.Lock()
	snapshot := m.tree.Clone()
	m.mu.Unlock()
	snapshot.AscendGreaterOrEqual(entry{key: from}, func(e entry) bool {
		return (to == nil || bytes.Compare(e.key, to) < 0) && f(e.key, e.value)
	})
	return nil
}

func (m *memory) Apply(b *Batch, _ bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range b.entries {
		if e.remove {
			m.tree.Delete(e)
		} else {
			m.tree.ReplaceOrInsert(entry{key: bytes.Clone(e.key), value: bytes.Clone(e.value)})
		}
	}
	return nil
}

func (m *memory) Close() error { return nil }
