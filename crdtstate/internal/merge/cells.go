package merge

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ipfs/boxo/datastore/dshelp"
	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
)

// Where go-ds-crdt v0.6.8 keeps things, below the namespace it is given. A test
// runs the library over a plain store and fails when it writes anything else.
const (
	namespace   = "/c"
	headsKey    = namespace + "/h"
	setKey      = namespace + "/s/"
	processed   = namespace + "/b/"
	dirtyKey    = namespace + "/d"
	versionKey  = namespace + "/crdt_version"
	elementsTag = 's'
	tombsTag    = 't'
	keysTag     = 'k'
)

var errLayout = errors.New("go-ds-crdt asks for a key that it should not know")

// cells is the datastore that the library sees. Only the library's one worker and
// its broadcast loop use it, one after the other.
type cells struct{ m *Merger }

var _ ds.Batching = cells{}

// place is a key of the library, taken apart.
type place struct {
	kind  byte // elementsTag, tombsTag, 'v' or 'p'
	cell  *change
	block hash // of elements and removals
}

func (s cells) place(k string) (place, error) {
	rest, ok := strings.CutPrefix(k, setKey)
	if !ok || len(rest) < 2 || rest[1] != '/' {
		return place{}, fmt.Errorf("%w: %s", errLayout, k)
	}
	kind, path := rest[0], rest[1:]
	cut := strings.LastIndexByte(path, '/')
	key, last := path[:cut], path[cut+1:]
	var p place
	var err error
	switch {
	case kind == keysTag && (last == "v" || last == "p"):
		p.kind = last[0]
	case kind == elementsTag || kind == tombsTag:
		p.kind = kind
		if p.block, err = s.m.block(path[cut:]); err != nil {
			return p, err
		}
	default:
		return place{}, fmt.Errorf("%w: %s", errLayout, k)
	}
	p.cell, err = s.m.change(key)
	return p, err
}

func (s cells) Get(_ context.Context, key ds.Key) ([]byte, error) {
	k := key.String()
	if k == versionKey {
		return binary.AppendUvarint(nil, 2), nil // format 1: nothing to migrate
	}
	p, err := s.place(k)
	switch {
	case err != nil:
		return nil, s.m.fail(err)
	case p.cell.Value == nil:
		return nil, ds.ErrNotFound
	case p.kind == 'v':
		return p.cell.Value, nil
	case p.kind == 'p':
		return binary.AppendUvarint(nil, p.cell.Priority+1), nil
	}
	return nil, s.m.fail(fmt.Errorf("%w: %s", errLayout, k))
}

func (s cells) Has(_ context.Context, key ds.Key) (bool, error) {
	k := key.String()
	if k == dirtyKey {
		return false, nil // a failed round is thrown away, not marked
	}
	if id, ok := strings.CutPrefix(k, processed[:len(processed)-1]); ok && len(id) > 1 {
		return s.processed(id)
	}
	p, err := s.place(k)
	switch {
	case err != nil:
		return false, s.m.fail(err)
	case p.kind == tombsTag:
		return p.cell.awaits(p.block), nil
	case p.kind == 'v' || p.kind == 'p':
		return p.cell.Value != nil, nil
	}
	return false, s.m.fail(fmt.Errorf("%w: %s", errLayout, k))
}

// processed says whether a block was merged, under the library's id of it.
func (s cells) processed(id string) (bool, error) {
	pos, err := s.m.position(id)
	if err != nil || pos >= 0 {
		return pos >= 0 && uint64(pos) < s.m.next, s.m.fail(err)
	}
	h, err := s.m.block(id)
	if err != nil {
		return false, s.m.fail(err)
	}
	folded, err := s.m.log.IsFolded(cidOf(h))
	return folded, s.m.fail(err)
}

func (s cells) GetSize(ctx context.Context, key ds.Key) (int, error) {
	v, err := s.Get(ctx, key)
	return len(v), err
}

// Query answers the two questions the library has: which heads, and which
// elements of one key. Removed elements are not among them.
func (s cells) Query(_ context.Context, q query.Query) (query.Results, error) {
	var out []query.Entry
	prefix := q.Prefix
	if prefix == headsKey {
		for c, height := range s.m.heads {
			out = append(out, query.Entry{
				Key:   headsKey + dshelp.MultihashToDsKey(c.Hash()).String(),
				Value: binary.AppendUvarint(nil, height),
			})
		}
		return query.ResultsWithEntries(q, out), nil
	}
	key, ok := strings.CutPrefix(prefix, setKey+string(elementsTag))
	if !ok {
		return nil, s.m.fail(fmt.Errorf("%w: query %s", errLayout, prefix))
	}
	c, err := s.m.change(key)
	if err != nil {
		return nil, s.m.fail(err)
	}
	for _, pos := range c.Live {
		id, err := s.m.log.CID(pos)
		if err != nil {
			return nil, s.m.fail(err)
		}
		out = append(out, query.Entry{Key: prefix + dshelp.MultihashToDsKey(id.Hash()).String()})
	}
	return query.ResultsWithEntries(q, out), nil
}

func (s cells) Put(ctx context.Context, key ds.Key, value []byte) error {
	b := &cellBatch{cells: s}
	if err := b.Put(ctx, key, value); err != nil {
		return err
	}
	return b.Commit(ctx)
}

func (s cells) Delete(ctx context.Context, key ds.Key) error {
	b := &cellBatch{cells: s}
	if err := b.Delete(ctx, key); err != nil {
		return err
	}
	return b.Commit(ctx)
}

func (s cells) Batch(context.Context) (ds.Batch, error) { return &cellBatch{cells: s}, nil }

func (cells) Sync(context.Context, ds.Key) error { return nil }

func (cells) Close() error { return nil }

// cellBatch holds writes back until Commit, as the library expects it.
type cellBatch struct {
	cells
	writes []func() error
}

func (b *cellBatch) later(f func() error) { b.writes = append(b.writes, f) }

func (b *cellBatch) Put(_ context.Context, key ds.Key, value []byte) error {
	k := key.String()
	if id, ok := strings.CutPrefix(k, headsKey); ok {
		return b.putHead(id, value)
	}
	if id, ok := strings.CutPrefix(k, processed[:len(processed)-1]); ok {
		b.later(func() error { return b.m.markProcessed(id) })
		return nil
	}
	if k == dirtyKey {
		return b.m.fail(errors.New("go-ds-crdt could not merge a delta"))
	}
	p, err := b.place(k)
	if err != nil {
		return b.m.fail(err)
	}
	switch p.kind {
	case elementsTag:
		b.later(func() error { return b.m.putElement(p) })
	case tombsTag:
		b.later(func() error { return b.m.putRemoval(p) })
	case 'v':
		value := slices.Clone(value)
		b.later(func() error { p.cell.Value, p.cell.dirty = value, true; return nil })
	case 'p':
		height, n := binary.Uvarint(value)
		if n <= 0 || height == 0 {
			return b.m.fail(fmt.Errorf("%w: priority %x", errLayout, value))
		}
		b.later(func() error { p.cell.Priority, p.cell.dirty = height-1, true; return nil })
	}
	return nil
}

func (b *cellBatch) putHead(id string, value []byte) error {
	c, err := dshelp.DsKeyToCidV1(ds.RawKey(id), cid.DagProtobuf)
	height, n := binary.Uvarint(value)
	if err != nil || n <= 0 {
		return b.m.fail(fmt.Errorf("%w: head %s", errLayout, id))
	}
	b.later(func() error { b.m.heads[c] = height; return nil })
	return nil
}

func (b *cellBatch) Delete(_ context.Context, key ds.Key) error {
	k := key.String()
	if id, ok := strings.CutPrefix(k, headsKey); ok {
		c, err := dshelp.DsKeyToCidV1(ds.RawKey(id), cid.DagProtobuf)
		if err != nil {
			return b.m.fail(fmt.Errorf("%w: head %s", errLayout, id))
		}
		b.later(func() error { delete(b.m.heads, c); return nil })
		return nil
	}
	p, err := b.place(k)
	if err != nil {
		return b.m.fail(err)
	}
	switch p.kind {
	case 'v':
		b.later(func() error { p.cell.Value, p.cell.dirty = nil, true; return nil })
	case 'p': // goes with the value
	default:
		return b.m.fail(fmt.Errorf("%w: delete %s", errLayout, k))
	}
	return nil
}

func (b *cellBatch) Commit(context.Context) error {
	for _, w := range b.writes {
		if err := w(); err != nil {
			return b.m.fail(err)
		}
	}
	b.writes = nil
	return nil
}
