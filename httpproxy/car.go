package httpproxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"slices"
	"sync"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"
	"github.com/ipld/go-ipld-prime/codec/dagcbor"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"
	"github.com/ipld/go-ipld-prime/node/basicnode"
)

// files is the body as a directory that is read as it arrives.
func (c *call) files() (files.Directory, error) {
	kind, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return nil, badRequest("no multipart boundary param in Content-Type")
	}
	dir, err := files.NewFileFromPartReader(multipart.NewReader(c.body, params["boundary"]), kind)
	if err != nil {
		return nil, badRequest("%v", err)
	}
	return dir, nil
}

// carRoots are the roots of CAR files, read while the files pass by.
type carRoots struct {
	mu   sync.Mutex
	cids []cid.Cid
	seen cid.Set
}

func (r *carRoots) add(found []cid.Cid) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range found {
		if r.seen.Visit(k) {
			r.cids = append(r.cids, k)
		}
	}
}

func (r *carRoots) list() []cid.Cid {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.cids)
}

// carDir lets its files be looked at.
type carDir struct {
	files.Directory
	roots *carRoots
}

func (d carDir) Entries() files.DirIterator { return carEntries{d.Directory.Entries(), d.roots} }

type carEntries struct {
	files.DirIterator
	roots *carRoots
}

func (e carEntries) Node() files.Node {
	n := e.DirIterator.Node()
	if f, ok := n.(files.File); ok {
		return &carFile{File: f, roots: e.roots}
	}
	return n
}

// carFile keeps the first bytes that are read until its header is known.
type carFile struct {
	files.File
	roots *carRoots
	head  []byte
	known bool
}

// maxCarHead bounds what is kept for a header. Kubo refuses longer ones, too.
const maxCarHead = 1 << 20

func (f *carFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	if !f.known {
		f.head = append(f.head, p[:n]...)
		found, bad := readCarHeader(f.head)
		if f.known = bad != io.ErrUnexpectedEOF || len(f.head) > maxCarHead; f.known {
			f.roots.add(found)
			f.head = nil
		}
	}
	return n, err
}

var errNotCar = errors.New("not a CAR file")

// readCarHeader returns the roots in the header of a CAR, version 1 or 2 (the
// specification: https://ipld.io/specs/transport/car/). io.ErrUnexpectedEOF: there
// is more to come.
func readCarHeader(b []byte) ([]cid.Cid, error) {
	version, roots, err := carHeader(b)
	if err != nil || version == 1 {
		return roots, err
	}
	// A pragma of 11 bytes, then 16 of characteristics and the data's place.
	const place = 11 + 16
	if len(b) < place+8 {
		return nil, io.ErrUnexpectedEOF
	}
	at := binary.LittleEndian.Uint64(b[place:])
	switch {
	case at > maxCarHead:
		return nil, errNotCar
	case at > uint64(len(b)):
		return nil, io.ErrUnexpectedEOF
	}
	_, roots, err = carHeader(b[at:])
	return roots, err
}

func carHeader(b []byte) (version int64, roots []cid.Cid, err error) {
	size, n := binary.Uvarint(b)
	switch {
	case n < 0 || size > maxCarHead:
		return 0, nil, errNotCar
	case n == 0 || uint64(len(b)-n) < size:
		return 0, nil, io.ErrUnexpectedEOF
	}
	build := basicnode.Prototype.Map.NewBuilder()
	if err := dagcbor.Decode(build, bytes.NewReader(b[n:n+int(size)])); err != nil {
		return 0, nil, errNotCar
	}
	head := build.Build()
	v, err := head.LookupByString("version")
	if err != nil {
		return 0, nil, errNotCar
	}
	if version, err = v.AsInt(); err != nil || version != 1 && version != 2 {
		return 0, nil, errNotCar
	}
	list, err := head.LookupByString("roots")
	if err != nil {
		return version, nil, nil
	}
	for it := list.ListIterator(); it != nil && !it.Done(); {
		_, item, err := it.Next()
		if err != nil {
			return 0, nil, errNotCar
		}
		link, err := item.AsLink()
		if err != nil {
			return 0, nil, errNotCar
		}
		if to, ok := link.(cidlink.Link); ok {
			roots = append(roots, to.Cid)
		}
	}
	return version, roots, nil
}
