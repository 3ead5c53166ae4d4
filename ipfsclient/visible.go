package ipfsclient

import (
	"strings"

	"github.com/ipfs/boxo/files"
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
