package pincar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ipfs/go-cid"
	"github.com/ipld/go-car/v2/storage"
	"github.com/ipld/go-ipld-prime/codec/dagcbor"
	"github.com/ipld/go-ipld-prime/codec/dagjson"
	"github.com/ipld/go-ipld-prime/datamodel"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"

	"github.com/pinfold/pinfold/pinset"
)

// Is says whether a file begins as a CAR does.
func Is(f io.ReaderAt) bool {
	begin := make([]byte, 16)
	n, _ := f.ReadAt(begin, 0) // what is too short is none
	return n == len(begin) && (bytes.Contains(begin, []byte("eroots")) || bytes.Contains(begin, []byte("gversion")))
}

// Read writes the export in a CAR file as its lines.
func Read(f *os.File, out io.Writer) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read %s: %w", f.Name(), err)
	}
	r, err := storage.OpenReadable(f)
	if err != nil {
		return pinset.Wrap(pinset.KindInvalid, err, "read %s", f.Name())
	}
	if len(r.Roots()) != 1 {
		return pinset.Invalid("%s: a CAR of %d roots: want one, an export of pinfold's", f.Name(), len(r.Roots()))
	}
	root, err := block(r, r.Roots()[0])
	if err != nil {
		return err
	}
	v, err := root.LookupByString("pinfold_export")
	if err != nil {
		return pinset.Invalid("%s: a CAR, but no export of pinfold's", f.Name())
	}
	if n, err := v.AsInt(); err != nil || n != version {
		return pinset.Invalid("%s: export of version %d: this pinfold reads version %d", f.Name(), n, version).WithHint("update pinfold")
	}
	if err := writeField(out, root, "head"); err != nil {
		return err
	}
	chunks, err := root.LookupByString("pins")
	if err != nil {
		return pinset.Wrap(pinset.KindInvalid, err, "read export")
	}
	for i := range chunks.Length() {
		if err := writeChunk(r, out, chunks, i); err != nil {
			return err
		}
	}
	return writeField(out, root, "end")
}

func writeChunk(r storage.ReadableCar, out io.Writer, chunks datamodel.Node, i int64) error {
	v, err := chunks.LookupByIndex(i)
	if err != nil {
		return pinset.Wrap(pinset.KindInvalid, err, "read export")
	}
	l, err := v.AsLink()
	if err != nil {
		return pinset.Wrap(pinset.KindInvalid, err, "read export")
	}
	link, ok := l.(cidlink.Link)
	if !ok {
		return pinset.Invalid("read export: pins are a %T", l)
	}
	chunk, err := block(r, link.Cid)
	if err != nil {
		return err
	}
	for j := range chunk.Length() {
		p, err := chunk.LookupByIndex(j)
		if err != nil {
			return pinset.Wrap(pinset.KindInvalid, err, "read export")
		}
		if err := writeField(out, p, "pin"); err != nil {
			return err
		}
	}
	return nil
}

// block reads one and checks that it is what its CID says.
func block(r storage.ReadableCar, c cid.Cid) (datamodel.Node, error) {
	in, err := r.GetStream(context.Background(), c.KeyString())
	if err != nil {
		return nil, pinset.Invalid("block %s is not in the file: %v", c, err)
	}
	raw, err := io.ReadAll(io.LimitReader(in, 4<<20))
	if err = errors.Join(err, in.Close()); err != nil {
		return nil, fmt.Errorf("read block %s: %w", c, err)
	}
	if again, err := c.Prefix().Sum(raw); err != nil || !again.Equals(c) {
		return nil, pinset.Invalid("block %s: its bytes are others", c)
	}
	n, err := decode(raw, dagcbor.Decode)
	return n, pinset.Wrap(pinset.KindInvalid, err, "block %s", c)
}

func writeField(out io.Writer, n datamodel.Node, field string) error {
	v, err := n.LookupByString(field)
	if err != nil {
		return pinset.Wrap(pinset.KindInvalid, err, "read export")
	}
	var b bytes.Buffer
	if err := (dagjson.EncodeOptions{}).Encode(v, &b); err != nil {
		return pinset.Wrap(pinset.KindInvalid, err, "read export")
	}
	b.WriteByte('\n')
	_, err = out.Write(b.Bytes())
	return err
}
