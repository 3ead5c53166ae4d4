package httpapi

import (
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/ipfs/boxo/files"

	"github.com/pinfold/pinfold/pinset"
)

// maxDepth of directories in a body.
const maxDepth = 256

// multipart is the body as a directory that is read as it arrives.
func (c *call) multipart() (files.Directory, error) {
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return nil, &statusError{http.StatusUnsupportedMediaType, pinset.Invalid("Content-Type %q: want multipart/form-data", c.r.Header.Get("Content-Type"))}
	}
	rc := http.NewResponseController(c.w)
	if err := rc.EnableFullDuplex(); err != nil {
		return nil, pinset.Wrap(pinset.KindInternal, err, "answer while reading")
	}
	c.r.Body = &patientBody{ReadCloser: c.r.Body, deadline: rc.SetReadDeadline}
	parts, err := c.r.MultipartReader()
	if err != nil {
		return nil, pinset.Wrap(pinset.KindInvalid, err, "body")
	}
	dir, err := files.NewFileFromPartReader(parts, kind)
	return bodyDir{dir, 0}, pinset.Wrap(pinset.KindInvalid, err, "body")
}

// patientBody waits for each piece of a body for a while, and for all of it
// without end.
type patientBody struct {
	io.ReadCloser
	deadline func(time.Time) error
}

func (b *patientBody) Read(p []byte) (int, error) {
	if err := b.deadline(time.Now().Add(stallTime)); err != nil {
		return 0, err
	}
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		_ = b.deadline(time.Time{}) // what follows the body takes the time it takes
	}
	return n, err
}

// bodyDir is the body with errors that say whose fault they are, and without the
// paths that a client may claim for its files on this machine.
type bodyDir struct {
	files.Directory
	depth int
}

func (d bodyDir) Entries() files.DirIterator {
	return &bodyEntries{DirIterator: d.Directory.Entries(), depth: d.depth + 1}
}

type bodyEntries struct {
	files.DirIterator
	depth int
}

func (e *bodyEntries) Next() bool { return e.depth <= maxDepth && e.DirIterator.Next() }

func (e *bodyEntries) Err() error {
	if e.depth > maxDepth {
		return pinset.Invalid("body: directories more than %d deep", maxDepth)
	}
	return badBody(e.DirIterator.Err())
}

func (e *bodyEntries) Node() files.Node {
	switch n := e.DirIterator.Node().(type) {
	case files.Directory:
		return bodyDir{n, e.depth}
	case *files.Symlink:
		return n
	case files.File:
		return bodyFile{n}
	default:
		return n
	}
}

type bodyFile struct{ files.File }

func (f bodyFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	if err != nil && err != io.EOF {
		err = badBody(err)
	}
	return n, err
}

func badBody(err error) error { return pinset.Wrap(pinset.KindInvalid, err, "body") }
