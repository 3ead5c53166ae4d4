package ipfsclient

import (
	"strings"
	"sync/atomic"

	"github.com/ipfs/boxo/files"

	"github.com/pinfold/pinfold/pinset"
)

// Visible returns dir without what `ipfs add` leaves out unless it is told
// --hidden: entries below the named ones whose name begins with a dot. The
// entries of dir itself were named by somebody and stay. It reads dir once, as it
// is read.
func Visible(dir files.Directory) files.Directory { return visible{dir, false} }

type visible struct {
	files.Directory
	below bool // an entry of a named one: hidden names are left out
}

func (d visible) Entries() files.DirIterator {
	return &visibleEntries{d.Directory.Entries(), d.below}
}

type visibleEntries struct {
	files.DirIterator
	below bool
}

func (it *visibleEntries) Next() bool {
	for it.DirIterator.Next() {
		if !it.below || !strings.HasPrefix(it.Name(), ".") {
			return true
		}
		it.DirIterator.Node().Close() // what is passed over is not kept open
	}
	return false
}

func (it *visibleEntries) Node() files.Node {
	n := it.DirIterator.Node()
	if d, ok := n.(files.Directory); ok {
		return visible{d, true}
	}
	return n
}

// named refuses names that Kubo would take for paths, at any depth, and remembers
// what is being read.
type named struct {
	files.Directory
	open *reading
}

// reading is the file that is read at present, for an upload that breaks off to
// close. It is used by one goroutine at a time.
type reading struct{ file files.Node }

func (r *reading) close() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}

func (d named) Entries() files.DirIterator {
	return &namedEntries{DirIterator: d.Directory.Entries(), open: d.open}
}

type namedEntries struct {
	files.DirIterator
	open *reading
	err  error
}

func (it *namedEntries) Next() bool {
	it.open.file = nil // who read it closed it
	if !it.DirIterator.Next() {
		return false
	}
	if name := it.Name(); name == "." || name == ".." || strings.Contains(name, "/") {
		it.err = pinset.Invalid("file name %q: want a name, not a path", name)
		return false
	}
	return true
}

func (it *namedEntries) Err() error {
	if it.err != nil {
		return it.err
	}
	return it.DirIterator.Err()
}

func (it *namedEntries) Node() files.Node {
	n := it.DirIterator.Node()
	if d, ok := n.(files.Directory); ok {
		return named{d, it.open}
	}
	it.open.file = n
	return n
}

// group is the next entries of a directory, as many as belong into one request.
type group struct {
	files.Directory
	it   files.DirIterator // of the whole directory, at the first entry if there is one
	some bool              // there is
	read *atomic.Int64     // bytes of the group
}

func (g *group) Entries() files.DirIterator { return &groupEntries{DirIterator: g.it, group: g} }

// The bounds of a group: what comes in waits for its end before it is acknowledged,
// and the node may not collect its garbage meanwhile.
const (
	groupEntriesMost = 128
	groupBytesMost   = 64 << 20
)

type groupEntries struct {
	files.DirIterator
	group *group
	n     int
}

func (it *groupEntries) Next() bool {
	if it.n++; it.n == 1 {
		return it.group.some
	}
	if it.n > groupEntriesMost || it.group.read.Load() >= groupBytesMost {
		return false
	}
	return it.DirIterator.Next()
}
