package ipfsnode

import (
	"context"
	"fmt"
	"iter"
	"sync/atomic"

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
	if err == nil {
		err = ctx.Err() // whoever cancelled with the last block does not want the pin
	}
	if err != nil {
		return fmt.Errorf("pin %s: %w", c, err)
	}
	return n.pins.put(pinRecord{cid: c, mode: opts.Mode, name: opts.Name, size: size})
}

func (n *Node) fetchDAG(ctx context.Context, ss *store.Session, c cid.Cid, opts pinset.PinOptions) (pinset.Progress, error) {
	ex := n.swarm.fetcher.NewSession(ctx)
	var sum pinset.Progress
	var received atomic.Uint64
	w := walk{
		workers: fetchers,
		tmp:     n.tmp,
		note:    ss.Hold,
		load: func(ctx context.Context, c cid.Cid) ([]byte, int, error) {
			data, size, err := n.local(ctx, c)
			if isNotFound(err) {
				data, size, err = n.obtain(ctx, ss, ex, c)
				received.Add(uint64(size))
			}
			return data, size, err
		},
		found: func(size int) {
			sum.Blocks++
			sum.Bytes += uint64(size)
			if opts.Received != nil {
				opts.Received(received.Load())
			}
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

// obtain gets a block that is not on disk from a peer; the session holds it.
func (n *Node) obtain(ctx context.Context, ss *store.Session, ex exchange.Fetcher, c cid.Cid) ([]byte, int, error) {
	if err := checkHash(c); err != nil {
		return nil, 0, err
	}
	b, err := ex.GetBlock(ctx, c)
	if err != nil {
		return nil, 0, err
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

// PinSize returns the distinct blocks that a pin had when it was made, without looking
// for them. KindNotFound: there is no pin.
func (n *Node) PinSize(_ context.Context, c cid.Cid) (pinset.Progress, error) {
	r, err := n.pins.get(c)
	return r.size, err
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
