package ipfsnode

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipldlegacy "github.com/ipfs/go-ipld-legacy"
	_ "github.com/ipld/go-ipld-prime/codec/dagcbor" // so that links in such blocks are found
	_ "github.com/ipld/go-ipld-prime/codec/dagjson"

	"github.com/pinfold/pinfold/pinset"
)

// walk visits every distinct block of a DAG once, several at a time, in no
// particular order.
type walk struct {
	workers int
	tmp     string // for what does not fit into memory

	// note marks c in a set and says what of it is new. Concurrent calls.
	note func(c cid.Cid) (fresh, descend bool, err error)
	// load returns a block's bytes, which may be nil for raw ones, and their number.
	// Concurrent calls.
	load func(ctx context.Context, c cid.Cid) ([]byte, int, error)
	// found is told of each distinct block. Calls one after the other. May be nil.
	found func(size int)
}

// localWorkers is how many blocks are read from the disk at a time.
func localWorkers() int { return min(4, runtime.GOMAXPROCS(0)) }

func (w *walk) run(ctx context.Context, root cid.Cid) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := newFrontier(w.tmp)
	defer f.close()
	stop := context.AfterFunc(ctx, func() { f.fail(ctx.Err()) })
	defer stop()
	if err := w.offer(f, root); err != nil {
		return err
	}
	var wg sync.WaitGroup
	for range w.workers {
		wg.Go(func() {
			for {
				v, ok := f.next()
				if !ok {
					return
				}
				if err := w.visit(ctx, f, v); err != nil {
					f.fail(err)
					cancel()
				}
				f.done()
			}
		})
	}
	wg.Wait()
	return f.err
}

// visit is a block to load: to be counted if its bytes are new, and to be followed
// if its links are.
type visit struct {
	cid            cid.Cid
	fresh, descend bool
}

func (w *walk) offer(f *frontier, cids ...cid.Cid) error {
	var out []visit
	for _, c := range cids {
		fresh, descend, err := w.note(c)
		if err != nil {
			return err
		}
		if fresh || descend {
			out = append(out, visit{c, fresh, descend})
		}
	}
	return f.push(out)
}

func (w *walk) visit(ctx context.Context, f *frontier, v visit) error {
	data, size, err := w.load(ctx, v.cid)
	if err != nil {
		return err
	}
	if v.fresh && w.found != nil {
		f.serial.Lock()
		w.found(size)
		f.serial.Unlock()
	}
	if !v.descend {
		return nil
	}
	next, err := linksOf(ctx, v.cid, data)
	if err != nil {
		return err
	}
	return w.offer(f, next...)
}

// linksOf returns the CIDs that a block links to.
func linksOf(ctx context.Context, c cid.Cid, data []byte) ([]cid.Cid, error) {
	switch c.Type() {
	case cid.Raw:
		return nil, nil
	case cid.DagProtobuf:
		out, err := linksPB(data)
		if err != nil {
			return nil, pinset.Invalid("block %s: %w", c, err)
		}
		return out, nil
	}
	b, err := blocks.NewBlockWithCid(data, c)
	if err != nil {
		return nil, err
	}
	nd, err := ipldlegacy.NewDecoder().DecodeNode(ctx, b)
	if err != nil {
		return nil, pinset.Invalid("block %s: cannot read its links: %w", c, err)
	}
	var out []cid.Cid
	for _, l := range nd.Links() {
		out = append(out, l.Cid)
	}
	return out, nil
}

var errNotPB = errors.New("not a dag-pb node")

// linksPB reads the links of a dag-pb node: field 2, and in it field 1, the CID.
func linksPB(b []byte) ([]cid.Cid, error) {
	var out []cid.Cid
	for len(b) > 0 {
		field, body, rest, err := pbField(b)
		if err != nil {
			return nil, err
		}
		b = rest
		if field != 2 {
			continue
		}
		for len(body) > 0 {
			field, hash, rest, err := pbField(body)
			if err != nil {
				return nil, err
			}
			body = rest
			if field != 1 {
				continue
			}
			c, err := cid.Cast(hash)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", errNotPB, err)
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// pbField splits the first field off a protobuf message. Fields other than
// length-delimited ones have no body.
func pbField(b []byte) (field uint64, body, rest []byte, err error) {
	tag, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, nil, errNotPB
	}
	b = b[n:]
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, nil, errNotPB
	}
	b = b[n:]
	switch tag & 7 {
	case 0:
		return tag >> 3, nil, b, nil
	case 2:
		if v > uint64(len(b)) {
			return 0, nil, nil, errNotPB
		}
		return tag >> 3, b[:v], b[v:], nil
	}
	return 0, nil, nil, errNotPB // dag-pb has no others
}
