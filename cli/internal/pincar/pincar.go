package pincar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/ipfs/go-cid"
	car "github.com/ipld/go-car/v2"
	"github.com/ipld/go-car/v2/storage"
	"github.com/ipld/go-ipld-prime/codec/dagcbor"
	"github.com/ipld/go-ipld-prime/codec/dagjson"
	"github.com/ipld/go-ipld-prime/datamodel"
	"github.com/ipld/go-ipld-prime/fluent/qp"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"
	"github.com/ipld/go-ipld-prime/node/basicnode"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/pinset"
)

const (
	version    = 1
	chunkPins  = 1000
	chunkBytes = 256 << 10 // of JSON; blocks stay well below what bitswap takes
)

// writer makes a CAR whose root is known last: its header is written again.
type writer struct {
	path   string
	file   *os.File
	car    storage.WritableCar
	chunk  []datamodel.Node
	size   int
	chunks []cid.Cid
	head   datamodel.Node
	end    datamodel.Node
}

// Write makes a CAR file of the lines of an export. The file must not exist. What was
// written before an error is removed.
func Write(ctx context.Context, path string, lines iter.Seq2[[]byte, error]) (root cid.Cid, err error) {
	w := &writer{path: path}
	if w.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return root, err
	}
	defer func() {
		err = errors.Join(err, w.file.Close())
		if err == nil {
			err = car.ReplaceRootsInFile(path, []cid.Cid{root})
		}
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	later, err := sum(nil)
	if err != nil {
		return root, err
	}
	if w.car, err = storage.NewWritable(w.file, []cid.Cid{later}, car.WriteAsCarV1(true)); err != nil {
		return root, err
	}
	for line, err := range lines {
		if err == nil {
			err = w.line(ctx, line)
		}
		if err != nil {
			return root, err
		}
	}
	if root, err = w.root(ctx); err != nil {
		return root, err
	}
	return root, errors.Join(w.car.Finalize(), w.file.Sync())
}

func (w *writer) line(ctx context.Context, line []byte) error {
	n, err := decode(line, dagjson.DecodeOptions{}.Decode)
	if err != nil {
		return fmt.Errorf("read export: %w", err)
	}
	switch {
	case w.head == nil:
		w.head = n
		return nil
	case has(n, "pinfold_export_pins"):
		w.end = n
		return nil
	}
	text, err := stringAt(n, "cid")
	if err != nil {
		return err
	}
	c, err := cid.Decode(text)
	if err != nil {
		return fmt.Errorf("cid %q: %w", text, err)
	}
	pin, err := qp.BuildMap(basicnode.Prototype.Any, 2, func(m datamodel.MapAssembler) {
		qp.MapEntry(m, "cid", qp.Link(cidlink.Link{Cid: c}))
		qp.MapEntry(m, "pin", qp.Node(n))
	})
	if err != nil {
		return err
	}
	w.chunk, w.size = append(w.chunk, pin), w.size+len(line)
	if len(w.chunk) >= chunkPins || w.size >= chunkBytes {
		return w.flush(ctx)
	}
	return nil
}

func (w *writer) flush(ctx context.Context) error {
	if len(w.chunk) == 0 {
		return nil
	}
	n, err := qp.BuildList(basicnode.Prototype.Any, int64(len(w.chunk)), func(l datamodel.ListAssembler) {
		for _, p := range w.chunk {
			qp.ListEntry(l, qp.Node(p))
		}
	})
	if err != nil {
		return err
	}
	c, err := w.put(ctx, n)
	w.chunk, w.size, w.chunks = w.chunk[:0], 0, append(w.chunks, c)
	return err
}

func (w *writer) root(ctx context.Context) (cid.Cid, error) {
	if w.head == nil || w.end == nil {
		return cid.Undef, pinset.Errorf(pinset.KindUnavailable, "the export was cut off")
	}
	if err := w.flush(ctx); err != nil {
		return cid.Undef, err
	}
	n, err := qp.BuildMap(basicnode.Prototype.Any, 4, func(m datamodel.MapAssembler) {
		qp.MapEntry(m, "pinfold_export", qp.Int(version))
		qp.MapEntry(m, "head", qp.Node(w.head))
		qp.MapEntry(m, "end", qp.Node(w.end))
		qp.MapEntry(m, "pins", qp.List(int64(len(w.chunks)), func(l datamodel.ListAssembler) {
			for _, c := range w.chunks {
				qp.ListEntry(l, qp.Link(cidlink.Link{Cid: c}))
			}
		}))
	})
	if err != nil {
		return cid.Undef, err
	}
	return w.put(ctx, n)
}

func (w *writer) put(ctx context.Context, n datamodel.Node) (cid.Cid, error) {
	var b bytes.Buffer
	if err := dagcbor.Encode(n, &b); err != nil {
		return cid.Undef, err
	}
	c, err := sum(b.Bytes())
	if err != nil {
		return c, err
	}
	return c, w.car.Put(ctx, c.KeyString(), b.Bytes())
}

func sum(b []byte) (cid.Cid, error) {
	return cid.V1Builder{Codec: cid.DagCBOR, MhType: multihash.SHA2_256}.Sum(b)
}

func decode(b []byte, as func(datamodel.NodeAssembler, io.Reader) error) (datamodel.Node, error) {
	nb := basicnode.Prototype.Any.NewBuilder()
	if err := as(nb, bytes.NewReader(b)); err != nil {
		return nil, err
	}
	return nb.Build(), nil
}

func has(n datamodel.Node, field string) bool {
	_, err := n.LookupByString(field)
	return err == nil
}

func stringAt(n datamodel.Node, field string) (string, error) {
	v, err := n.LookupByString(field)
	if err != nil {
		return "", err
	}
	return v.AsString()
}
