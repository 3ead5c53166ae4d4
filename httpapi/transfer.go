package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

// Transfer takes the pinset out and brings one in.
type Transfer interface {
	// Export hands the pinset to w, signed, in the order of its keys.
	Export(ctx context.Context, w Exporter) error
	// Import pins lines and counts what became of them; twice is once.
	Import(ctx context.Context, lines iter.Seq2[pinset.ImportLine, error], o pinset.ImportOptions) (pinset.Import, error)
	IsMember(id peer.ID) bool
}

// Exporter takes an export piece by piece.
type Exporter = interface {
	Head(e pinset.Export, signature []byte) error
	Pin(p pinset.Pin) error
	End(e pinset.Export, signature []byte) error
}

// exportLines writes an export as an answer.
type exportLines struct {
	c  *call
	st *stream // nil: not begun
	e  dialect.Encoder
}

func (x *exportLines) object(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return pinset.Wrap(pinset.KindInternal, err, "write the export")
	}
	return x.st.add(func(b []byte) []byte { return append(append(b, line...), '\n') })
}

func (x *exportLines) Head(e pinset.Export, signature []byte) error {
	x.st = x.c.begin("application/x-ndjson")
	return x.object(dialect.NewExportHead(e, signature))
}

func (x *exportLines) Pin(p pinset.Pin) error {
	return x.st.add(func(b []byte) []byte { return append(x.e.Pin(b, dialect.PinReply{Pin: p}), '\n') })
}

func (x *exportLines) End(e pinset.Export, signature []byte) error {
	return x.object(dialect.NewExportEnd(e, signature))
}

func (s *Server) export(c *call) error {
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	x := &exportLines{c: c}
	err = cl.Transfer.Export(c.ctx(), x)
	if x.st != nil {
		x.st.end(err)
	}
	return err
}

// importPins takes an export of pinfold's or of ipfs-cluster's. It answers when all
// of it has come.
func (s *Server) importPins(c *call) error {
	o := pinset.ImportOptions{DryRun: c.params.flag("dry-run"), Replace: c.params.flag("replace")}
	if err := c.params.err; err != nil {
		return err
	}
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	body := &patientBody{ReadCloser: c.r.Body, deadline: http.NewResponseController(c.w).SetReadDeadline}
	r := &importReader{in: bufio.NewReaderSize(body, 64<<10)}
	out, err := cl.Transfer.Import(c.ctx(), r.lines(), o)
	if err != nil {
		c.w.Header().Set("Connection", "close") // the rest of the body is not read
		return err
	}
	out.Source, out.Signed = "ipfs-cluster", r.signed
	if r.headed {
		out.Source, out.By, out.Member = "pinfold", r.export.By.String(), cl.Transfer.IsMember(r.export.By)
	}
	if out.BadLines == nil {
		out.BadLines = []pinset.BadLine{}
	}
	return c.json(out)
}

// maxLine bounds a line of an import, in bytes: a pin has 16 KiB, its JSON a few times
// that.
const maxLine = 256 << 10

// importReader reads the lines of an import, and checks what was signed.
type importReader struct {
	in     *bufio.Reader
	line   uint64
	headed bool // it is an export of pinfold's
	ended  bool
	export pinset.Export
	digest pinset.ExportDigest
	broken bool // something of it could not be used: the digest says nothing
	signed bool
}

func (r *importReader) lines() iter.Seq2[pinset.ImportLine, error] {
	return func(yield func(pinset.ImportLine, error) bool) {
		for {
			text, err := r.next()
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errLongLine) {
				yield(pinset.ImportLine{}, badBody(err))
				return
			}
			if errors.Is(err, io.EOF) && len(text) == 0 {
				if r.headed && !r.ended {
					yield(r.bad(nil, errors.New("the export ends without its last line: it was cut off")), nil)
				}
				return
			}
			var l pinset.ImportLine
			use := true
			if errors.Is(err, errLongLine) {
				l = r.bad(text, err)
			} else {
				l, use = r.read(text)
			}
			if use && !yield(l, nil) {
				return
			}
		}
	}
}

var errLongLine = pinset.Invalid("a line of more than %d bytes", maxLine)

// next returns a line that is not empty, valid until the next call; of one that is
// too long its beginning, and skips the rest.
func (r *importReader) next() ([]byte, error) {
	for {
		r.line++
		var line []byte
		var long bool
		for {
			part, err := r.in.ReadSlice('\n')
			if len(line)+len(part) > maxLine {
				long = true
				part = part[:max(0, min(len(part), 64-len(line)))]
			}
			line = append(line, part...)
			if err == nil || !errors.Is(err, bufio.ErrBufferFull) {
				line = bytes.TrimSpace(line)
				if long {
					return line, errLongLine
				}
				if len(line) > 0 || err != nil {
					return line, err
				}
				break
			}
		}
	}
}

// bad is a line that cannot be used.
func (r *importReader) bad(text []byte, err error) pinset.ImportLine {
	r.broken = true
	return pinset.ImportLine{Line: r.line, Text: string(text[:min(len(text), 200)]), Err: err}
}

// read takes a line; use is false for one that is no pin and all right.
func (r *importReader) read(text []byte) (l pinset.ImportLine, use bool) {
	if r.ended {
		return r.bad(text, errors.New("something follows the export's last line")), true
	}
	var err error
	switch {
	case r.line == 1 && isEdge(text, `"pinfold_export":`):
		err = r.head(text)
	case r.headed && isEdge(text, `"pinfold_export_pins":`):
		err = r.end(text)
	default:
		return r.pin(text), true
	}
	if err != nil {
		return r.bad(text, err), true
	}
	return l, false
}

// isEdge says whether a line has a field of an export's first or last one, and is no
// pin. Within a text a quotation mark has a backslash before it.
func isEdge(line []byte, field string) bool {
	return bytes.Contains(line, []byte(field)) && !bytes.Contains(line, []byte(`"cid":`))
}

func (r *importReader) pin(text []byte) pinset.ImportLine {
	p, err := dialect.DecodeForeignPin(text)
	if err != nil {
		return r.bad(text, err)
	}
	p.Include = p.Named
	p.Normalise()
	if r.headed && !r.broken {
		if err := r.digest.Add(p.Pin); err != nil {
			return r.bad(text, err)
		}
	}
	return pinset.ImportLine{Line: r.line, Text: p.CID.String(), Pin: p.Pin}
}

func (r *importReader) head(text []byte) (err error) {
	var o dialect.ExportHead
	if err := json.Unmarshal(text, &o); err != nil {
		return pinset.Wrap(pinset.KindInvalid, err, "the export's first line")
	}
	if r.export, err = o.Value(); err != nil {
		return err
	}
	r.headed = true
	return r.export.Verify(r.export.Head(), o.Signature)
}

func (r *importReader) end(text []byte) error {
	r.ended = true
	var o dialect.ExportEnd
	if err := json.Unmarshal(text, &o); err != nil || o.Pins == nil {
		return pinset.Invalid("the export's last line: %v", err)
	}
	if r.broken {
		return nil // what is wrong was said
	}
	want := r.export
	want.Pins = *o.Pins
	digest, err := hex.DecodeString(o.Digest)
	if err != nil || len(digest) != len(want.Digest) {
		return pinset.Invalid("digest %q: want %d bytes in hex", o.Digest, len(want.Digest))
	}
	copy(want.Digest[:], digest)
	if err := want.Verify(want.End(), o.Signature); err != nil {
		return err
	}
	if n, sum := r.digest.Sum(); n != want.Pins || sum != want.Digest {
		return pinset.Invalid("%d pins with another digest than its %d that were signed: the export was changed", n, want.Pins)
	}
	r.signed = true
	return nil
}
