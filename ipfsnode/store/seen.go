package store

import (
	"crypto/sha256"
	"fmt"
	"os"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// seenInMemory is how many blocks a Seen keeps in memory (about 8 MiB) before it
// writes them to a file.
const seenInMemory = 1 << 17

// Seen is an exact set of blocks. It lies in memory while it is small, and else in a
// temporary database with at most 24 MiB of memory. Safe for concurrent use.
type Seen struct {
	dir   string
	limit int

	mu   sync.Mutex
	hot  map[seenKey]uint8
	cold *pebble.DB // nil until hot was full once
	path string
}

// seenKey is the digest of a sha2-256 multihash, or the sha2-256 of another one.
type seenKey [32]byte

// What is known of a block: its bytes were counted, and as which kind of node its
// links were followed: one multihash under two codecs is one block with two readings.
const (
	sawBytes uint8 = 1 << iota
	sawPB
	sawCBOR
	sawOther
)

func NewSeen(dir string) *Seen {
	return &Seen{dir: dir, limit: seenInMemory, hot: make(map[seenKey]uint8)}
}

func seenKeyOf(h multihash.Multihash) seenKey {
	if len(h) == 34 && h[0] == multihash.SHA2_256 && h[1] == 32 {
		return seenKey(h[2:])
	}
	return sha256.Sum256(h)
}

func reading(codec uint64) uint8 {
	switch codec {
	case cid.Raw:
		return 0
	case cid.DagProtobuf:
		return sawPB
	case cid.DagCBOR:
		return sawCBOR
	}
	return sawOther
}

// Add says whether the block's bytes are new, and whether its links under this
// codec are. Raw blocks have none.
func (s *Seen) Add(c cid.Cid) (fresh, descend bool, err error) {
	key, as := seenKeyOf(c.Hash()), reading(c.Type())
	s.mu.Lock()
	defer s.mu.Unlock()
	was, err := s.get(key)
	if err != nil {
		return false, false, err
	}
	now := was | sawBytes | as
	if now == was {
		return false, false, nil
	}
	s.hot[key] = now
	if len(s.hot) >= s.limit {
		err = s.spill()
	}
	return was == 0, now&^was&^sawBytes != 0, err
}

// Has says whether the block was added, under any codec.
func (s *Seen) Has(h multihash.Multihash) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.get(seenKeyOf(h))
	return v != 0, err
}

func (s *Seen) get(key seenKey) (uint8, error) {
	if v, ok := s.hot[key]; ok || s.cold == nil {
		return v, nil
	}
	v, done, err := s.cold.Get(key[:])
	if err == pebble.ErrNotFound {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read set of blocks: %w", err)
	}
	defer done.Close()
	return v[0], nil
}

func (s *Seen) spill() error {
	if s.cold == nil {
		path, err := os.MkdirTemp(s.dir, "seen-")
		if err != nil {
			return fmt.Errorf("spill set of blocks: %w", err)
		}
		cache := pebble.NewCache(16 << 20)
		defer cache.Unref()
		opts := &pebble.Options{Cache: cache, DisableWAL: true, MemTableSize: 4 << 20, Logger: Quiet{}, MaxOpenFiles: 64}
		for i := range opts.Levels {
			opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		}
		if s.cold, err = pebble.Open(path, opts); err != nil {
			return fmt.Errorf("spill set of blocks: %w", err)
		}
		s.path = path
	}
	b := s.cold.NewBatch()
	defer b.Close()
	for k, v := range s.hot {
		if err := b.Set(k[:], []byte{v}, nil); err != nil {
			return fmt.Errorf("spill set of blocks: %w", err)
		}
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("spill set of blocks: %w", err)
	}
	clear(s.hot)
	return nil
}

// Close frees the set. It must not be used afterwards.
func (s *Seen) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hot = nil
	if s.cold != nil {
		// What cannot be removed now is removed at the next start, with all of tmp.
		_ = s.cold.Close()
		_ = os.RemoveAll(s.path)
		s.cold = nil
	}
}

// Quiet is a pebble logger that says nothing: what fails is returned.
type Quiet struct{}

func (Quiet) Infof(string, ...any)  {}
func (Quiet) Errorf(string, ...any) {}

// Fatalf is called when the database cannot go on without losing data.
func (Quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
