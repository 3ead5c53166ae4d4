package ipfsnode

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/boxo/exchange"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/ipfsnode/store"
	"github.com/pinfold/pinfold/pinset"
)

// maxPinName is Kubo's limit of a pin's name, in bytes.
const maxPinName = 255

// fetchers is how many blocks of one pin are asked for at a time: as many as it
// takes to fill a line of 100 ms, at most 2 MiB each.
const fetchers = 32

// Pin fetches what is missing of a DAG (or of one block) and pins it. What it has
// fetched when it is cancelled stays until the next collection, so that a later Pin
// goes on from there. Over a direct pin, a recursive one replaces it; the other way
// round is a KindConflict; the same pin again verifies it and takes the new name.
// opts.Progress is called with each block, fetched or found here, one call at a time.
func (n *Node) Pin(ctx context.Context, c cid.Cid, opts pinset.PinOptions) error {
	if len(opts.Name) > maxPinName {
		return pinset.Invalid("pin name of %d bytes: at most %d", len(opts.Name), maxPinName)
	}
	if err := n.pins.admits(c, opts.Mode); err != nil {
		return err
	}
	ss := n.store.Begin()
	defer ss.End()
	ctx, cancel := context.WithCancel(ctx) // ends the exchange's session
	defer cancel()
	size, err := n.fetchDAG(ctx, ss, c, opts)
	if err == nil {
		err = n.store.Flush(ctx)
	}
	if err != nil {
		return fmt.Errorf("pin %s: %w", c, err)
	}
	return n.pins.put(pinRecord{cid: c, mode: opts.Mode, name: opts.Name, size: size})
}

func (n *Node) fetchDAG(ctx context.Context, ss *store.Session, c cid.Cid, opts pinset.PinOptions) (pinset.Progress, error) {
	ex := n.swarm.session(ctx)
	var sum pinset.Progress
	w := walk{
		workers: fetchers,
		tmp:     n.tmp,
		note:    ss.Hold,
		load: func(ctx context.Context, c cid.Cid) ([]byte, int, error) {
			return n.obtain(ctx, ss, ex, c)
		},
		found: func(size int) {
			sum.Blocks++
			sum.Bytes += uint64(size)
			if opts.Progress != nil {
				opts.Progress(sum)
			}
		},
	}
	if opts.Mode == pinset.Direct {
		w.note = func(c cid.Cid) (bool, bool, error) {
			fresh, _, err := ss.Hold(c)
			return fresh, false, err
		}
	}
	err := w.run(ctx, c)
	return sum, err
}

// obtain returns a block that the session holds, from the disk or else from a peer.
func (n *Node) obtain(ctx context.Context, ss *store.Session, ex exchange.Fetcher, c cid.Cid) ([]byte, int, error) {
	data, size, err := n.local(ctx, c)
	if !isNotFound(err) {
		return data, size, err
	}
	if err := checkHash(c); err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	got, err := ex.GetBlocks(ctx, []cid.Cid{c})
	if err != nil {
		return nil, 0, fmt.Errorf("fetch block %s: %w", c, err)
	}
	// It may have come here between the look and the asking; nobody would tell.
	if data, size, err := n.local(ctx, c); !isNotFound(err) {
		return data, size, err
	}
	b, ok := <-got
	if !ok {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		return nil, 0, pinset.Errorf(pinset.KindUnavailable, "fetch block %s: the exchange gave up", c)
	}
	if _, err := ss.Put(ctx, b); err != nil {
		return nil, 0, err
	}
	return b.RawData(), len(b.RawData()), nil
}

// local returns a block on disk: the length of a raw one, the bytes of others.
func (n *Node) local(ctx context.Context, c cid.Cid) ([]byte, int, error) {
	if c.Type() == cid.Raw {
		size, err := n.store.Size(ctx, c)
		return nil, size, err
	}
	data, err := n.store.Get(ctx, c)
	return data, len(data), err
}

// Unpin lets go of a pin, if there is one; its blocks stay until the next collection.
// pinset.Recursive lets go of either kind, pinset.Direct of a direct pin only (else
// KindConflict).
func (n *Node) Unpin(ctx context.Context, c cid.Cid, mode pinset.Mode) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("unpin %s: %w", c, err)
	}
	err := n.pins.remove(c, mode)
	if pinset.KindOf(err) == pinset.KindNotFound {
		return nil
	}
	n.unpinned.Add(1)
	return err
}

// PinOf returns the root pin of c as it is spelled, or KindNotFound.
func (n *Node) PinOf(ctx context.Context, c cid.Cid) (pinset.NodePin, error) {
	if err := ctx.Err(); err != nil {
		return pinset.NodePin{}, fmt.Errorf("read pin %s: %w", c, err)
	}
	r, err := n.pins.get(c)
	return r.nodePin(), err
}

// Pins yields all root pins there are at its start, in no order of meaning.
func (n *Node) Pins(ctx context.Context) iter.Seq2[pinset.NodePin, error] {
	return func(yield func(pinset.NodePin, error) bool) {
		for r, err := range n.pins.all(ctx) {
			if !yield(r.nodePin(), err) || err != nil {
				return
			}
		}
	}
}

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
