package kv

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// PebbleOptions are pebble's, made small: a home machine runs this beside an
// IPFS node.
func PebbleOptions(fs vfs.FS) *pebble.Options {
	o := &pebble.Options{
		FS:                          fs,
		Logger:                      quiet{},
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                8 << 20,
		MemTableStopWritesThreshold: 3,
		L0CompactionThreshold:       4,
		MaxOpenFiles:                200,
		// Pebble tries a flush that failed again at once, and burns the machine while
		// the disk is full.
		EventListener: &pebble.EventListener{BackgroundError: func(error) { time.Sleep(flushRetry) }},
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionBalanced })
	return o
}

const (
	pebbleCache = 4 << 20
	flushRetry  = 100 * time.Millisecond
)

type pebbleDB struct {
	db     *pebble.DB
	dir    string
	failed atomic.Bool
}

// OpenPebble opens a pebble store in dir of a file system; tests give one that
// loses power.
func OpenPebble(dir string, fs vfs.FS) (DB, error) {
	o := PebbleOptions(fs)
	o.Cache = pebble.NewCache(pebbleCache)
	defer o.Cache.Unref()
	db, err := pebble.Open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("open pebble: %w", err)
	}
	return &pebbleDB{db: db, dir: dir}, nil
}

func (p *pebbleDB) Get(key []byte) ([]byte, error) {
	v, closer, err := p.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read pebble: %w", err)
	}
	v = bytes.Clone(v)
	return v, closer.Close()
}

func (p *pebbleDB) Scan(from, to []byte, f func(key, value []byte) bool) error {
	it, err := p.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return fmt.Errorf("scan pebble: %w", err)
	}
	for it.First(); it.Valid() && f(it.Key(), it.Value()); it.Next() {
	}
	if err := it.Close(); err != nil {
		return fmt.Errorf("scan pebble: %w", err)
	}
	return nil
}

func (p *pebbleDB) Apply(batch *Batch, durable bool) (err error) {
	// Pebble reports a failed commit to its logger as fatal: quiet turns that into
	// a panic, and here it becomes an error again.
	defer func() {
		if r := recover(); r != nil {
			fatal, ok := r.(fatalError)
			if !ok {
				panic(r)
			}
			err = fmt.Errorf("write pebble: %w", fatal)
		}
		if err != nil {
			p.failed.Store(true)
		}
	}()
	b := p.db.NewBatchWithSize(batch.size + 16*len(batch.entries))
	defer b.Close()
	for _, e := range batch.entries {
		if e.remove {
			err = b.Delete(e.key, nil)
		} else {
			err = b.Set(e.key, e.value, nil)
		}
		if err != nil {
			return fmt.Errorf("write pebble: %w", err)
		}
	}
	return p.commit(b, durable)
}

func (p *pebbleDB) commit(b *pebble.Batch, durable bool) error {
	how := pebble.NoSync
	if durable {
		how = pebble.Sync
	}
	if b.Empty() {
		if !durable {
			return nil
		}
		if err := p.db.LogData(nil, pebble.Sync); err != nil {
			return fmt.Errorf("sync pebble: %w", err)
		}
		return nil
	}
	if err := b.Commit(how); err != nil {
		return fmt.Errorf("write pebble: %w", err)
	}
	return nil
}

// Close writes the memory table out, so that the next Open is quick. It must not
// try that on a disk that is full: pebble would panic over its log.
func (p *pebbleDB) Close() error {
	free, err := Free(p.dir)
	if !p.failed.Load() && (err != nil || free > pebbleRoom) {
		if err := p.db.Flush(); err != nil {
			return errors.Join(fmt.Errorf("close pebble: %w", err), p.db.Close())
		}
	}
	if err := p.db.Close(); err != nil {
		return fmt.Errorf("close pebble: %w", err)
	}
	return nil
}

// pebbleRoom is more than a memory table and its log take.
const pebbleRoom = 32 << 20

// fatalError is a failure after which pebble cannot be written to.
type fatalError string

func (e fatalError) Error() string { return string(e) }

// quiet drops pebble's log: its failures come back as errors.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fatalError(fmt.Sprintf(format, args...)))
}
