package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger"
	"github.com/dgraph-io/badger/options"
	"github.com/ipfs/boxo/datastore/dshelp"
	ds "github.com/ipfs/go-datastore"
	badgerds "github.com/ipfs/go-ds-badger"
	"github.com/ipfs/go-ds-flatfs"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/pinset"
)

// Kinds of block store.
const (
	Flatfs = "flatfs" // one file for each block, in Kubo's layout next-to-last/2
	Badger = "badger"
)

// shards is how many parts a disk can have: flatfs's directories, named by two of
// the 32 letters of base32.
const shards = 32 * 32

// stored is a block found on disk.
type stored struct {
	hash    multihash.Multihash
	size    int64
	changed int64 // when it was written, Unix nanoseconds; 0: not known
}

// disk holds blocks by their multihashes, in parts that can be counted each on its
// own. A part's stamp changes whenever a block comes to it or leaves it; a part
// without a stamp (0) has to be counted after every start.
type disk interface {
	ds.Batching
	flush(ctx context.Context) error // after it, what was put survives a power cut
	part(key ds.Key) int
	stamp(part int) int64
	scan(ctx context.Context, part int, found func(stored) error) error
}

func openDisk(kind, dir string) (disk, error) {
	switch kind {
	case "", Flatfs:
		return openFlat(dir)
	case Badger:
		return openBadger(dir)
	}
	return nil, pinset.Invalid("blockstore %q: want flatfs or badger", kind)
}

// keyOf is the key under which Kubo's flatfs keeps the block of a hash.
func keyOf(h multihash.Multihash) ds.Key { return dshelp.MultihashToDsKey(h) }

type flatDisk struct {
	*flatfs.Datastore
	dir   string
	shard flatfs.ShardFunc
}

func openFlat(dir string) (*flatDisk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	kind := flatfs.NextToLast(2)
	if err := flatfs.Create(dir, kind); err != nil && !errors.Is(err, flatfs.ErrDatastoreExists) {
		return nil, fmt.Errorf("create blocks: %w", err)
	}
	f, err := flatfs.Open(dir, eachBlockSynced)
	if err != nil {
		return nil, fmt.Errorf("open blocks: %w", err)
	}
	return &flatDisk{Datastore: f, dir: dir, shard: kind.Func()}, nil
}

func (d *flatDisk) flush(context.Context) error { return flushFS(d.dir) }

const base32Letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

func (d *flatDisk) part(key ds.Key) int {
	name := d.shard(key.String()[1:])
	return max(0, strings.IndexByte(base32Letters, name[0]))*32 + max(0, strings.IndexByte(base32Letters, name[1]))
}

func (d *flatDisk) path(part int) string {
	return filepath.Join(d.dir, string([]byte{base32Letters[part/32], base32Letters[part%32]}))
}

func (d *flatDisk) stamp(part int) int64 {
	st, err := os.Stat(d.path(part))
	if err != nil {
		return 0
	}
	return st.ModTime().UnixNano()
}

func (d *flatDisk) scan(ctx context.Context, part int, found func(stored) error) error {
	f, err := os.Open(d.path(part))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		key, ok := strings.CutSuffix(name, ".data")
		if !ok {
			continue
		}
		h, err := dshelp.DsKeyToMultihash(ds.RawKey("/" + key))
		if err != nil {
			continue // not a block
		}
		st, err := os.Lstat(filepath.Join(f.Name(), name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := found(stored{h, st.Size(), st.ModTime().UnixNano()}); err != nil {
			return err
		}
	}
	return nil
}

type badgerDisk struct{ *badgerds.Datastore }

func openBadger(dir string) (*badgerDisk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	opts := badgerds.DefaultOptions
	opts.SyncWrites = false // flush syncs
	opts.NumVersionsToKeep = 1
	opts.ValueThreshold = 1024
	opts.NumMemtables = 2
	opts.TableLoadingMode = options.FileIO
	d, err := badgerds.NewDatastore(dir, &opts)
	if err != nil {
		return nil, fmt.Errorf("open blocks: %w", err)
	}
	return &badgerDisk{d}, nil
}

func (d *badgerDisk) flush(ctx context.Context) error { return d.Sync(ctx, ds.NewKey("/")) }
func (d *badgerDisk) part(ds.Key) int                 { return 0 }
func (d *badgerDisk) stamp(int) int64                 { return 0 }

func (d *badgerDisk) scan(ctx context.Context, part int, found func(stored) error) error {
	if part != 0 {
		return nil
	}
	return d.DB.View(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			h, err := dshelp.DsKeyToMultihash(ds.RawKey(string(it.Item().Key())))
			if err != nil {
				continue // not a block
			}
			if err := found(stored{hash: h, size: it.Item().ValueSize()}); err != nil {
				return err
			}
		}
		return nil
	})
}
