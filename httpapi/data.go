package httpapi

import (
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ipfs/boxo/files"

	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

// addOptions reads how files are brought in: ipfs-cluster's names and Kubo's.
// What neither of the IPFS nodes can do alike is refused, not ignored.
func (p *params) addOptions() pinset.AddOptions {
	o := pinset.AddOptions{
		CIDVersion: p.integer("cid-version"), Chunker: p.get("chunker"), Wrap: p.flag("wrap-with-directory"),
		Hidden: p.flag("hidden"), Progress: p.flag("progress"), OnlyHash: p.flag("only-hash"), Name: p.get("name"),
	}
	if o.CIDVersion != 0 && o.CIDVersion != 1 {
		p.bad("cid-version", "0 or 1")
	}
	if p.get("raw-leaves") != "" {
		raw := p.flag("raw-leaves")
		o.RawLeaves = &raw
	}
	if name := p.get("pin-name"); name != "" {
		o.Name = name
	}
	p.oneOf("layout", "balanced")
	p.oneOf("hash", "sha2-256")
	p.oneOf("format", "unixfs")
	p.oneOf("encoding", "json")
	for _, name := range []string{"shard", "nocopy", "no-pin"} {
		if p.flag(name) {
			p.bad(name, "false: it is not possible here")
		}
	}
	if !p.flagOr("pin", true) && !o.OnlyHash {
		p.bad("pin", "true: what is added is pinned")
	}
	for _, name := range []string{"local", "recursive", "quiet", "quieter", "silent"} {
		p.flag(name) // no effect here
	}
	return o
}

// add brings files in. The answer streams while the body is still being read.
func (s *Server) add(c *call) error {
	opts, template := c.params.addOptions(), c.params.pinTemplate(s.now())
	stream := c.params.flagOr("stream-channels", true)
	if c.params.get("wait") != "" {
		c.params.bad("wait", "nothing: added data is held here when it is answered")
	}
	if err := c.params.err; err != nil {
		return err
	}
	template.Name = opts.Name
	if err := c.mayAdd(&template); err != nil {
		return err
	}
	c.w.Header().Set("Connection", "close") // after a body that was not read to its end nothing can follow
	dir, err := c.multipart()
	if err != nil {
		return err
	}
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	if err := http.NewResponseController(c.w).EnableFullDuplex(); err != nil {
		return pinset.Wrap(pinset.KindInternal, err, "answer while reading")
	}
	added := cl.Data.Add(c.ctx(), dir, opts, template)
	if !stream {
		return c.addedList(added)
	}
	c.w.Header().Set("X-Chunked-Output", "1")
	return jsonLines(c, added, dialect.NewAdded)
}

func (c *call) mayAdd(template *pinset.Pin) (err error) {
	if template.Owner, err = c.actsFor(); err != nil {
		return err
	}
	if err := c.mayName(template.Name); err != nil {
		return err
	}
	template.Normalise()
	return validateTemplate(*template)
}

// validateTemplate checks a pin that has no CID yet.
func validateTemplate(p pinset.Pin) error {
	p.CID = emptyDir()
	return p.Validate()
}

// addedList answers with one array, as ipfs-cluster does without stream-channels.
// Progress is left out of it.
func (c *call) addedList(added iter.Seq2[pinset.Added, error]) error {
	out := []dialect.Added{}
	for a, err := range added {
		if err != nil {
			return err
		}
		if a.CID.Defined() {
			out = append(out, dialect.NewAdded(a))
		}
	}
	return c.json(out)
}

// data gives a file's bytes, a directory as tar, or either's entries.
func (s *Server) data(c *call) error {
	format := c.params.oneOf("format", "raw", "tar", "list")
	if err := c.params.err; err != nil {
		return err
	}
	root, rest, _ := strings.Cut(c.arg, "/")
	if _, err := parseCID(root); err != nil {
		return err
	}
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	path := "/ipfs/" + c.arg
	if format == "list" {
		return jsonLines(c, cl.Data.List(c.ctx(), path), dialect.NewLink)
	}
	node, err := cl.Data.Open(c.ctx(), path)
	if err != nil {
		return err
	}
	defer node.Close()
	name := root
	if rest != "" {
		_, name, _ = cutLast(c.arg)
	}
	switch n := node.(type) {
	case files.File:
		if format != "tar" {
			return c.file(n, path)
		}
	case files.Directory:
		if format != "tar" {
			return pinset.Invalid("%s is a directory: a raw answer is for files", path).WithHint("add ?format=tar or ?format=list")
		}
	}
	return c.tar(node, name, path)
}

// begunData writes the header of an answer of bytes. They are foreign: no browser
// is to take them for a page of ours.
func (c *call) begunData(kind string, size int64) (told bool) {
	h := c.w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Content-Disposition", "attachment")
	if size >= 0 {
		h.Set("X-Content-Length", strconv.FormatInt(size, 10))
	}
	if told = strings.EqualFold(c.r.Header.Get("TE"), "trailers"); told {
		h.Set("Trailer", dialect.TrailerError+", "+dialect.TrailerProblem)
	} else if size >= 0 {
		h.Set("Content-Length", strconv.FormatInt(size, 10))
	}
	c.code = http.StatusOK
	c.w.WriteHeader(http.StatusOK)
	return told
}

// endData tells an error in the trailer to a client that said it reads trailers,
// and breaks the connection for every other one.
func (c *call) endData(told bool, err error) error {
	switch {
	case told:
		(&stream{c: c, flush: http.NewResponseController(c.w)}).end(err)
	case err != nil:
		c.s.logger().Debug("data broke off", "path", c.r.URL.Path, "err", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

func (c *call) file(f files.File, path string) error {
	size, err := f.Size()
	if err != nil {
		size = -1
	}
	told := c.begunData("application/octet-stream", size)
	_, err = io.Copy(&patientWriter{c.w, http.NewResponseController(c.w)}, f)
	return c.endData(told, pinset.Wrap(pinset.KindOf(err), err, "read %s", path))
}

func (c *call) tar(node files.Node, name, path string) error {
	told := c.begunData("application/x-tar", -1)
	w, err := files.NewTarWriter(&patientWriter{c.w, http.NewResponseController(c.w)})
	if err == nil {
		err = w.WriteFile(node, name)
	}
	if err == nil {
		err = w.Close()
	}
	return c.endData(told, pinset.Wrap(pinset.KindOf(err), err, "read %s", path))
}

// patientWriter gives the client a while for each piece.
type patientWriter struct {
	io.Writer
	rc *http.ResponseController
}

func (w *patientWriter) Write(p []byte) (int, error) {
	if err := w.rc.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	return w.Writer.Write(p)
}

// gc answers ipfs-cluster's one object, written as the blocks go. It is about this
// peer's IPFS node only.
func (s *Server) gc(c *call) error {
	c.params.flag("local")
	if err := c.params.err; err != nil {
		return err
	}
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	self, err := cl.Members.Self(c.ctx())
	if err != nil {
		return err
	}
	id, name := quote(self.ID.String()), quote(self.Name)
	st := c.begin("application/json")
	_ = st.add(func(b []byte) []byte {
		return append(b, `{"peer_map":{`+id+`:{"peer":`+id+`,"peername":`+name+`,"keys":[`...)
	})
	comma, failed := "", error(nil)
	for key, err := range cl.Data.GC(c.ctx()) {
		if err == nil {
			err = st.add(func(b []byte) []byte { return append(b, comma+`{"key":"`+key.String()+`"}`...) })
		}
		if err != nil {
			failed = err
			break
		}
		comma = ","
	}
	end := `]}}}`
	if failed != nil {
		end = `],"error":` + quote(failed.Error()) + `}}}`
	}
	_ = st.add(func(b []byte) []byte { return append(b, end+"\n"...) })
	st.end(failed)
	return nil
}

func quote(s string) string {
	q, _ := json.Marshal(s) // a string always encodes
	return string(q)
}
