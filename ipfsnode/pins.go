package ipfsnode

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// pins is the records of root pins, in a database. Safe for concurrent use.
type pins struct {
	db *pebble.DB
	mu sync.Mutex // between looking and changing
}

// pinRecord is written when all blocks of the pin are on disk and synced.
type pinRecord struct {
	cid  cid.Cid // as it was given
	mode pinset.Mode
	name string
	size pinset.Progress // its distinct blocks
}

func (r pinRecord) nodePin() pinset.NodePin {
	return pinset.NodePin{CID: r.cid, Mode: r.mode, Name: r.name}
}

const pinPrefix = 'p'

func pinKey(c cid.Cid) []byte { return append([]byte{pinPrefix}, c.Bytes()...) }

const flagDirect = 1

// encode returns the record's value: version, flags, blocks, bytes, name.
func (r pinRecord) encode() []byte {
	var flags byte
	if r.mode == pinset.Direct {
		flags |= flagDirect
	}
	b := binary.AppendUvarint([]byte{1, flags}, r.size.Blocks)
	return append(binary.AppendUvarint(b, r.size.Bytes), r.name...)
}

func decodePin(key, value []byte) (pinRecord, error) {
	c, err := cid.Cast(key[1:])
	if err != nil {
		return pinRecord{}, fmt.Errorf("read pin %x: %w", key, err)
	}
	if len(value) < 4 || value[0] != 1 {
		return pinRecord{}, fmt.Errorf("read pin %s: unknown record %x", c, value)
	}
	var r pinRecord
	flags, rest := value[1], value[2:]
	var used [2]int
	r.size.Blocks, used[0] = binary.Uvarint(rest)
	r.size.Bytes, used[1] = binary.Uvarint(rest[max(0, used[0]):])
	if used[0] <= 0 || used[1] <= 0 {
		return pinRecord{}, fmt.Errorf("read pin %s: unknown record %x", c, value)
	}
	r.name = string(rest[used[0]+used[1]:])
	r.cid = c
	if flags&flagDirect != 0 {
		r.mode = pinset.Direct
	}
	return r, nil
}

func (p *pins) get(c cid.Cid) (pinRecord, error) {
	value, done, err := p.db.Get(pinKey(c))
	if errors.Is(err, pebble.ErrNotFound) {
		return pinRecord{}, pinset.NotFound("%s is not pinned", c)
	}
	if err != nil {
		return pinRecord{}, fmt.Errorf("read pin %s: %w", c, err)
	}
	defer done.Close()
	return decodePin(pinKey(c), value)
}

// admits says whether a pin may be made beside the one there is.
func (p *pins) admits(c cid.Cid, mode pinset.Mode) error {
	was, err := p.get(c)
	if pinset.KindOf(err) == pinset.KindNotFound {
		return nil
	}
	if err == nil && mode == pinset.Direct && was.mode == pinset.Recursive {
		return pinset.Errorf(pinset.KindConflict, "%s already pinned recursively", c)
	}
	return err
}

// putAdded is put for a root that was brought in: a recursive pin that is there keeps
// its name, and a direct one of another name is in the way, for somebody else made it.
func (p *pins) putAdded(r pinRecord) error {
	was, err := p.get(r.cid)
	switch {
	case err != nil:
	case was.mode == pinset.Recursive:
		return nil
	case was.name != r.name:
		return pinset.Errorf(pinset.KindConflict, "%s is pinned directly under the name %q", r.cid, was.name)
	}
	return p.put(r)
}

func (p *pins) put(r pinRecord) error {
	p.mu.Lock()
	err := p.admits(r.cid, r.mode)
	if err == nil {
		err = p.db.Set(pinKey(r.cid), r.encode(), pebble.NoSync)
	}
	p.mu.Unlock()
	return p.sync(r.cid, err)
}

func (p *pins) remove(c cid.Cid, mode pinset.Mode) error {
	p.mu.Lock()
	was, err := p.get(c)
	switch {
	case err != nil:
	case mode == pinset.Direct && was.mode == pinset.Recursive:
		err = pinset.Errorf(pinset.KindConflict, "%s is pinned recursively", c)
	default:
		err = p.db.Delete(pinKey(c), pebble.NoSync)
	}
	p.mu.Unlock()
	return p.sync(c, err)
}

// sync makes a change durable, outside the lock: many share one turn of the disk.
func (p *pins) sync(c cid.Cid, err error) error {
	if err == nil {
		if err = p.db.LogData(nil, pebble.Sync); err != nil {
			err = fmt.Errorf("write pin %s: %w", c, err)
		}
	}
	return err
}

// all yields the records of a moment, that of the first step.
func (p *pins) all(ctx context.Context) iter.Seq2[pinRecord, error] {
	return func(yield func(pinRecord, error) bool) {
		it, err := p.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: []byte{pinPrefix}, UpperBound: []byte{pinPrefix + 1}})
		if err != nil {
			yield(pinRecord{}, fmt.Errorf("list pins: %w", err))
			return
		}
		defer it.Close()
		for ok := it.First(); ok; ok = it.Next() {
			r, err := decodePin(it.Key(), it.Value())
			if err == nil {
				err = ctx.Err()
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
		if err := it.Error(); err != nil {
			yield(pinRecord{}, fmt.Errorf("list pins: %w", err))
		}
	}
}
