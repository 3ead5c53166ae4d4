package kv

import (
	"errors"
	"fmt"
	"sync"

	"github.com/dgraph-io/badger"
	"github.com/dgraph-io/badger/options"
	dsbadger "github.com/ipfs/go-ds-badger"
)

// BadgerOptions are go-ds-badger's defaults, made smaller, and with syncing left
// to the caller: one flush of the disk per group of writes, not per write.
func BadgerOptions() *dsbadger.Options {
	o := dsbadger.DefaultOptions
	o.GcInterval = 0
	o.SyncWrites = false
	o.Truncate = true // what was never synced may be cut off after a crash
	o.CompactL0OnClose = false
	o.EventLogging = false
	o.ValueLogLoadingMode = options.FileIO
	o.MaxTableSize = badgerTable
	o.NumMemtables = 2
	o.NumLevelZeroTables = 2
	o.LevelOneSize = 64 << 20
	o.NumCompactors = 1
	o.ValueLogFileSize = 128 << 20
	return &o
}

// A transaction may hold 15 % of a table, so most rounds are atomic; up to three
// tables of each database are in memory. What was not flushed is read again at the
// next start: 6 MiB in a tenth of a second.
const badgerTable = 6 << 20

type badgerDB struct {
	ds *dsbadger.Datastore
	db *badger.DB

	mu  sync.Mutex // guards now and what is in it
	now *snapshot  // nil: nobody has read since the last write
}

// snapshot is a transaction that all who read between two writes share. To begin
// and end one costs about as much as a look into the memory tables: badger tells
// a goroutine of both, and waits for a write that is under way.
type snapshot struct {
	tx    *badger.Txn
	users int
	old   bool // something was written after it
}

// view calls f with what the last finished Apply left, or something newer.
func (b *badgerDB) view(f func(tx *badger.Txn) error) error {
	b.mu.Lock()
	if b.now == nil {
		b.now = &snapshot{tx: b.db.NewTransaction(false)}
	}
	s := b.now
	s.users++
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		s.users--
		s.end()
	}()
	return f(s.tx)
}

// renew makes those who read from now on see what was written.
func (b *badgerDB) renew() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now != nil {
		b.now.old = true
		b.now.end()
		b.now = nil
	}
}

// end ends the transaction when nobody will use it any more.
func (s *snapshot) end() {
	if s.old && s.users == 0 {
		s.tx.Discard()
	}
}

func openBadger(dir string) (DB, error) {
	d, err := dsbadger.NewDatastore(dir, BadgerOptions())
	if err != nil {
		return nil, fmt.Errorf("open badger: %w", err)
	}
	return &badgerDB{ds: d, db: d.DB}, nil
}

func (b *badgerDB) Get(key []byte) (value []byte, err error) {
	err = b.view(func(tx *badger.Txn) error {
		item, err := tx.Get(key)
		if err != nil {
			return err
		}
		value, err = item.ValueCopy(nil)
		return err
	})
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read badger: %w", err)
	}
	return value, nil
}

func (b *badgerDB) Scan(from, to []byte, f func(key, value []byte) bool) error {
	err := b.view(func(tx *badger.Txn) error {
		opt := badger.DefaultIteratorOptions
		opt.PrefetchValues = false
		opt.Prefix = shared(from, to)
		it := tx.NewIterator(opt)
		defer it.Close()
		more := true
		for it.Seek(from); more && it.Valid(); it.Next() {
			item := it.Item()
			if to != nil && string(item.Key()) >= string(to) {
				return nil
			}
			err := item.Value(func(value []byte) error {
				more = f(item.Key(), value)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("scan badger: %w", err)
	}
	return nil
}

// shared is what every key in [from, to) starts with: it lets badger skip tables.
func shared(from, to []byte) []byte {
	for i := range from {
		if i >= len(to) || from[i] != to[i] {
			return from[:i]
		}
	}
	return from
}

func (b *badgerDB) Apply(batch *Batch, durable bool) error {
	err := b.write(batch.entries)
	b.renew() // also after an error: part of it may be there
	if err != nil {
		return fmt.Errorf("write badger: %w", err)
	}
	if !durable {
		return nil
	}
	if err := b.db.Sync(); err != nil {
		return fmt.Errorf("sync badger: %w", err)
	}
	return nil
}

// write puts the entries into as few transactions as hold them, in order.
func (b *badgerDB) write(entries []entry) error {
	if len(entries) == 0 {
		return nil
	}
	tx := b.db.NewTransaction(true)
	defer func() { tx.Discard() }()
	for _, e := range entries {
		err := set(tx, e)
		if errors.Is(err, badger.ErrTxnTooBig) {
			if err := tx.Commit(); err != nil {
				return err
			}
			tx = b.db.NewTransaction(true)
			err = set(tx, e)
		}
		if err != nil {
			return err
		}
	}
	return tx.Commit()
}

func set(tx *badger.Txn, e entry) error {
	if e.remove {
		return tx.Delete(e.key)
	}
	return tx.Set(e.key, e.value)
}

func (b *badgerDB) Close() error {
	b.renew()
	return b.ds.Close()
}
