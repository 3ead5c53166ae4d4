package httpapi

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"time"

	"github.com/ipfs/boxo/files"

	"github.com/pinfold/pinfold/pinset"
)

const (
	maxDepth = 256 // of directories in a body
	tailSize = 256 // bytes: a boundary has at most 70
)

// multipart is the body as a directory that is read as it arrives.
func (c *call) multipart() (files.Directory, error) {
	kind, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return nil, &statusError{http.StatusUnsupportedMediaType, pinset.Invalid("Content-Type %q: want multipart/form-data", c.r.Header.Get("Content-Type"))}
	}
	if params["boundary"] == "" {
		return nil, pinset.Invalid("Content-Type %q: no boundary", c.r.Header.Get("Content-Type"))
	}
	// The request keeps its own Body: by it net/http knows of one that was not read
	// to its end, and then gives the client time to read the answer.
	body := &patientBody{ReadCloser: c.r.Body, deadline: http.NewResponseController(c.w).SetReadDeadline}
	dir, err := files.NewFileFromPartReader(multipart.NewReader(body, params["boundary"]), kind)
	whole := func() error { return body.endsWith("--" + params["boundary"] + "--") }
	return bodyDir{dir, 0, whole}, pinset.Wrap(pinset.KindInvalid, err, "body")
}

// patientBody waits for each piece of a body for a while, and for all of it
// without end.
type patientBody struct {
	io.ReadCloser
	deadline func(time.Time) error
	tail     []byte // the last bytes that were read
}

func (b *patientBody) Read(p []byte) (int, error) {
	if err := b.deadline(time.Now().Add(stallTime)); err != nil {
		return 0, err
	}
	n, err := b.ReadCloser.Read(p)
	b.tail = append(b.tail, p[max(0, n-tailSize):n]...)
	b.tail = b.tail[max(0, len(b.tail)-tailSize):]
	if err == io.EOF {
		_ = b.deadline(time.Time{}) // what follows the body takes the time it takes
	}
	return n, err
}

// endsWith reads what is left and tells whether the form came to its end: one that
// was cut off between two files looks complete to package multipart.
func (b *patientBody) endsWith(mark string) error {
	if _, err := io.Copy(io.Discard, io.LimitReader(b, maxBody)); err != nil {
		return badBody(err)
	}
	if !bytes.Contains(b.tail, []byte(mark)) {
		return badBody(io.ErrUnexpectedEOF)
	}
	return nil
}

// bodyDir is the body with errors that say whose fault they are, and without the
// paths that a client may claim for its files on this machine.
type bodyDir struct {
	files.Directory
	depth int
	whole func() error // says whether the end came
}

func (d bodyDir) Entries() files.DirIterator {
	return &bodyEntries{DirIterator: d.Directory.Entries(), depth: d.depth + 1, whole: d.whole}
}

type bodyEntries struct {
	files.DirIterator
	depth int
	whole func() error
}

func (e *bodyEntries) Next() bool { return e.depth <= maxDepth && e.DirIterator.Next() }

func (e *bodyEntries) Err() error {
	if e.depth > maxDepth {
		return pinset.Invalid("body: directories more than %d deep", maxDepth)
	}
	if err := e.DirIterator.Err(); err != nil || e.depth > 1 {
		return badBody(err)
	}
	return e.whole()
}

func (e *bodyEntries) Node() files.Node {
	switch n := e.DirIterator.Node().(type) {
	case files.Directory:
		return bodyDir{n, e.depth, nil}
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
