package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/pinset"
)

// Config of a store.
type Config struct {
	Dir   string     // of the blocks
	Kind  string     // Flatfs or Badger, "" is Flatfs
	Limit uint64     // bytes that blocks may take, 0: no limit
	Spare uint64     // bytes of the file system that blocks leave free
	Tmp   string     // existing directory for what does not fit into memory
	DB    *pebble.DB // for the counts

	// Arrived is called with every block that was not there before, after it is.
	Arrived func(context.Context, blocks.Block)
}

// Store is the blocks on disk, counted, within the limit, and held against
// collection while somebody who means to pin them is at work. Safe for concurrent
// use.
type Store struct {
	cfg   Config
	disk  disk
	usage usage

	// touch is held shared while a session notes a block, and exclusively while the
	// collector looks whether anybody noted one and deletes it.
	touch   sync.RWMutex
	stripes [64]sync.Mutex // one writer for a part of the disk at a time

	sessionsMu sync.Mutex
	sessions   map[*Session]struct{}
	collecting bool
	collector  chan struct{} // one at a time

	written atomic.Uint64 // counts changes of the disk
	flushMu sync.Mutex
	flushed uint64 // value of written that the last flush covers
}

// Open opens the store of a directory, or makes it.
func Open(cfg Config) (*Store, error) {
	d, err := openDisk(cfg.Kind, cfg.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, disk: d, sessions: make(map[*Session]struct{}), collector: make(chan struct{}, 1)}
	s.written.Store(1) // what another process left behind may not have been flushed
	if err := s.usage.load(cfg.DB, d); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return s, nil
}

// Close ends the store, after its last user.
func (s *Store) Close() error { return s.disk.Close() }

// Session is one add or pin at work: everything it has touched stays on disk until
// it ends. A pin it makes must be recorded before that.
type Session struct {
	store *Store
	seen  *Seen
	ended bool // guarded by store.sessionsMu
}

func (s *Store) Begin() *Session {
	ss := &Session{store: s, seen: NewSeen(s.cfg.Tmp)}
	s.sessionsMu.Lock()
	s.sessions[ss] = struct{}{}
	s.sessionsMu.Unlock()
	return ss
}

// End lets go of what the session touched. A collection under way has not seen the
// session's pin, so it keeps the session until it is over.
func (ss *Session) End() {
	s := ss.store
	s.sessionsMu.Lock()
	defer s.sessionsMu.Unlock()
	ss.ended = true
	if !s.collecting {
		delete(s.sessions, ss)
		ss.seen.Close()
	}
}

// Hold notes that the session needs c: if it is on disk now or comes to it, it stays.
// It says whether its bytes are new to the session, and whether its links are.
func (ss *Session) Hold(c cid.Cid) (fresh, descend bool, err error) {
	ss.store.touch.RLock()
	defer ss.store.touch.RUnlock()
	return ss.seen.Add(c)
}

// Put stores a block and holds it, and says whether it is new to the session. It is
// durable after the next Flush.
func (ss *Session) Put(ctx context.Context, b blocks.Block) (fresh bool, err error) {
	if fresh, _, err = ss.Hold(b.Cid()); err != nil {
		return false, err
	}
	return fresh, ss.store.put(ctx, b)
}

// Keep stores a block that nobody holds: it stays until the next collection. One
// that does not fit is dropped.
func (s *Store) Keep(ctx context.Context, b blocks.Block) error {
	if err := s.put(ctx, b); pinset.KindOf(err) != pinset.KindRefused {
		return err
	}
	return nil
}

func (s *Store) put(ctx context.Context, b blocks.Block) error {
	if IsInline(b.Cid()) {
		return nil
	}
	key := keyOf(b.Cid().Hash())
	part := s.disk.part(key)
	mu := &s.stripes[part%len(s.stripes)]
	mu.Lock()
	fresh, err := s.putLocked(ctx, part, key, b.RawData())
	mu.Unlock()
	if err != nil {
		return fmt.Errorf("store block %s: %w", b.Cid(), err)
	}
	if fresh {
		s.cfg.Arrived(ctx, b)
	}
	return nil
}

func (s *Store) putLocked(ctx context.Context, part int, key ds.Key, data []byte) (fresh bool, err error) {
	has, err := s.disk.Has(ctx, key)
	if err != nil || has && !s.usage.suspect(part) {
		return false, err
	}
	if !has {
		if err := s.room(uint64(len(data))); err != nil {
			return false, err
		}
	}
	if err := s.disk.Put(ctx, key, data); err != nil {
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			return false, pinset.Errorf(pinset.KindUnavailable, "disk full: %w", err)
		}
		return false, err
	}
	s.written.Add(1)
	if !has {
		s.usage.add(part, 1, int64(len(data)))
	}
	return true, nil
}

// room says whether n more bytes may be stored.
func (s *Store) room(n uint64) error {
	if used := s.usage.bytes(); s.cfg.Limit > 0 && used+n > s.cfg.Limit {
		return pinset.Errorf(pinset.KindRefused, "over the limit of %s: %s in use", pinset.FormatSize(s.cfg.Limit), pinset.FormatSize(used)).
			WithHint("unpin and collect garbage, or raise the limit")
	}
	if s.cfg.Spare == 0 {
		return nil
	}
	if free, err := s.Free(); err == nil && free > 0 && free < s.cfg.Spare+n {
		return pinset.Errorf(pinset.KindRefused, "the disk is nearly full: %s free, %s are left to others", pinset.FormatSize(free), pinset.FormatSize(s.cfg.Spare)).
			WithHint("free space on the disk, or unpin and collect garbage")
	}
	return nil
}

// Get returns a block's bytes, or an ipld.ErrNotFound.
func (s *Store) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if data, ok := inline(c); ok {
		return data, nil
	}
	key := keyOf(c.Hash())
	data, err := s.disk.Get(ctx, key)
	if errors.Is(err, ds.ErrNotFound) || err == nil && s.usage.suspect(s.disk.part(key)) && !matches(c, data) {
		return nil, ipld.ErrNotFound{Cid: c}
	}
	if err != nil {
		return nil, fmt.Errorf("read block %s: %w", c, err)
	}
	return data, nil
}

// Size returns a block's length, or an ipld.ErrNotFound.
func (s *Store) Size(ctx context.Context, c cid.Cid) (int, error) {
	if data, ok := inline(c); ok {
		return len(data), nil
	}
	key := keyOf(c.Hash())
	if s.usage.suspect(s.disk.part(key)) { // only reading it tells whether it is whole
		data, err := s.Get(ctx, c)
		return len(data), err
	}
	n, err := s.disk.GetSize(ctx, key)
	if errors.Is(err, ds.ErrNotFound) {
		return 0, ipld.ErrNotFound{Cid: c}
	}
	if err != nil {
		return 0, fmt.Errorf("stat block %s: %w", c, err)
	}
	return n, nil
}

// remove deletes a block and returns whether it was there.
func (s *Store) remove(ctx context.Context, h multihash.Multihash) (bool, error) {
	key := keyOf(h)
	part := s.disk.part(key)
	mu := &s.stripes[part%len(s.stripes)]
	mu.Lock()
	defer mu.Unlock()
	n, err := s.disk.GetSize(ctx, key)
	if errors.Is(err, ds.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := s.disk.Delete(ctx, key); err != nil {
		return false, err
	}
	s.written.Add(1)
	s.usage.add(part, -1, -int64(n))
	return true, nil
}

// Flush returns when every block put before it would survive a power cut. Callers
// that come while one is under way share the next.
func (s *Store) Flush(ctx context.Context) error {
	want := s.written.Load()
	s.flushMu.Lock()
	defer s.flushMu.Unlock()
	if s.flushed >= want {
		return nil
	}
	covers := s.written.Load()
	if err := s.disk.flush(ctx); err != nil {
		return fmt.Errorf("sync blocks: %w", err)
	}
	s.flushed = covers
	return nil
}

// IsInline says that the CID carries its block within itself.
func IsInline(c cid.Cid) bool { return c.Prefix().MhType == multihash.IDENTITY }

func inline(c cid.Cid) ([]byte, bool) {
	if !IsInline(c) {
		return nil, false
	}
	d, err := multihash.Decode(c.Hash())
	if err != nil {
		return nil, false
	}
	return d.Digest, true
}

// Used returns the bytes of all blocks. It is exact after Recover.
func (s *Store) Used() uint64 { return s.usage.bytes() }

// Free returns the bytes free on the file system, 0: not known.
func (s *Store) Free() (uint64, error) { return FreeSpace(s.cfg.Dir) }

func matches(c cid.Cid, data []byte) bool {
	got, err := c.Prefix().Sum(data)
	return err == nil && got.Equals(c)
}
