package httpproxy

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// addedMessage is a line of add.
type addedMessage struct {
	Name       string
	Hash       string `json:",omitempty"`
	Bytes      int64  `json:",omitempty"`
	Size       string `json:",omitempty"`
	Mode       string `json:",omitempty"`
	Mtime      int64  `json:",omitempty"`
	MtimeNsecs int    `json:",omitempty"`
}

// add brings files in and pins them in the cluster. What is not pinned is Kubo's
// alone.
func (c *call) add() error {
	if name := c.opts["pin-name"]; name != "" {
		if err := kuboName(name); err != nil {
			return err
		}
	}
	if c.flag("nocopy", false) && !c.grant.Has(pinset.ScopeAdmin) {
		return forbidden("add --nocopy lets Kubo read any file of its machine: it needs scope %s", pinset.ScopeAdmin)
	}
	if c.opts["to-files"] != "" && !c.grant.Has(pinset.ScopeFiles) {
		return forbidden("add --to-files needs scope %s", pinset.ScopeFiles)
	}
	if _, err := c.waiting(one); err != nil {
		return err
	}
	pins := c.flag("pin", true) && !c.flag("only-hash", false)
	if pins {
		if err := c.mayName(c.opts["pin-name"]); err != nil {
			return err
		}
	}
	switch {
	case c.s.deps.Kubo == nil:
		return c.addHere()
	case !pins:
		return c.forward()
	}
	return c.addAtKubo()
}

// template is a pin of what is added, but for the CID.
func (c *call) template(name string) pinset.Pin {
	return pinset.Pin{Owner: c.grant.Owner, Name: name}
}

// addAtKubo lets Kubo import without a pin, by its own rules and options, and pins
// each root in the cluster before the caller hears of it. Kubo's own pin would
// rename the pin of whoever pinned the same content before.
func (c *call) addAtKubo() error {
	q := c.query()
	for _, name := range []string{"pin-name", "silent"} {
		q.Del(name)
	}
	q.Set("pin", "false")
	r, err := c.send(c.outbound(q))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		c.copyHead(r)
		return c.copyBody(r)
	}
	a := adding{c: c, out: c.lines(), wrap: c.flag("wrap-with-directory", false), silent: c.flag("silent", false)}
	for line, err := range linesOf(r) {
		if err == nil {
			err = a.take(line)
		}
		if err != nil {
			return a.out.end(err)
		}
	}
	return a.out.end(a.settle())
}

// adding is an add under way. Of each root Kubo speaks last, and syncs after that:
// it is held back until Kubo speaks of the next one, or ends well. Many small ones
// share one change of the pinset.
type adding struct {
	c            *call
	out          *lines
	wrap, silent bool

	held  [][]byte // lines from the first held root on
	roots []pinset.Added
	since time.Time
}

const (
	addGroup = 256
	addWait  = 200 * time.Millisecond
)

func (a *adding) take(line []byte) error {
	var m addedMessage
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	if err := json.Unmarshal(line, &m); err != nil {
		return pinset.Wrap(pinset.KindUnavailable, err, "read the ipfs node's answer")
	}
	if len(a.roots) >= addGroup || len(a.roots) > 0 && time.Since(a.since) >= addWait {
		if err := a.settle(); err != nil {
			return err
		}
	}
	if m.Hash != "" && a.isRoot(m.Name) {
		k, err := cid.Decode(m.Hash)
		if err != nil {
			return pinset.Wrap(pinset.KindUnavailable, err, "read the ipfs node's answer")
		}
		if len(a.roots) == 0 {
			a.since = time.Now()
		}
		size, _ := strconv.ParseUint(m.Size, 10, 64) // 0 is: not known
		a.roots = append(a.roots, pinset.Added{CID: k, Size: size})
	}
	if len(a.roots) == 0 {
		return a.tell(line)
	}
	a.held = append(a.held, bytes.Clone(line))
	return nil
}

func (a *adding) tell(line []byte) error {
	if a.silent {
		return nil
	}
	return a.out.add(func(b []byte) []byte { return append(b, line...) })
}

func (a *adding) isRoot(name string) bool {
	if a.wrap {
		return name == ""
	}
	return !strings.Contains(name, "/")
}

// settle pins the roots that are held back, and then tells of them.
func (a *adding) settle() error {
	if err := a.c.adopt(a.c.opts["pin-name"], one, a.roots...); err != nil {
		return err
	}
	for _, line := range a.held {
		if err := a.tell(line); err != nil {
			return err
		}
	}
	a.held, a.roots = nil, nil
	return nil
}

// adopt makes what Kubo, or the embedded node, has just taken in stay, and waits
// until it shows.
func (c *call) adopt(name string, def waiting, roots ...pinset.Added) error {
	if len(roots) == 0 {
		return nil
	}
	if err := c.mayName(name); err != nil {
		return err
	}
	if err := c.s.deps.Data.Adopt(c.ctx, c.template(name), roots...); err != nil {
		return err
	}
	w, err := c.waiting(def)
	if err != nil {
		return err
	}
	for _, r := range roots {
		if err := c.until(c.ctx, r.CID, w, nil); err != nil {
			return err
		}
	}
	return nil
}

// addHere imports into the embedded node, which knows fewer ways to.
func (c *call) addHere() error {
	opts, err := c.addOptions()
	if err != nil {
		return err
	}
	w, err := c.waiting(one)
	if err != nil {
		return err
	}
	dir, err := c.files()
	if err != nil {
		return err
	}
	c.body.answerMeanwhile()
	out, silent := c.lines(), c.flag("silent", false)
	a := adding{wrap: opts.Wrap}
	var roots []cid.Cid
	for e, err := range c.s.deps.Data.Add(c.ctx, dir, opts, c.template(opts.Name)) {
		if err != nil {
			return out.end(err)
		}
		m := addedMessage{Name: e.Path, Bytes: int64(e.Bytes)}
		if e.CID.Defined() {
			m.Hash, m.Size, m.Bytes = e.CID.String(), strconv.FormatUint(e.Size, 10), 0
			if w != one && !opts.OnlyHash && a.isRoot(e.Path) { // one copy is here
				roots = append(roots, e.CID)
			}
		}
		if silent {
			continue
		}
		if err := out.emit(m); err != nil {
			return out.end(err)
		}
	}
	for _, k := range roots {
		if err := c.until(c.ctx, k, w, nil); err != nil {
			return out.end(err)
		}
	}
	return out.end(c.ctx.Err())
}

func (c *call) addOptions() (pinset.AddOptions, error) {
	for name, only := range map[string]string{"hash": "sha2-256", "trickle": "false", "inline": "false", "nocopy": "false", "fscache": "false",
		"preserve-mode": "false", "preserve-mtime": "false", "mode": "", "mtime": "", "mtime-nsecs": "", "to-files": "", "pin": "true",
		"max-file-links": "174", "max-directory-links": "0", "max-hamt-fanout": "256", "empty-dirs": "true"} {
		if text, ok := c.opts[name]; ok && text != only && !(name == "pin" && c.flag("only-hash", false)) {
			return pinset.AddOptions{}, kuboError("add --%s=%s: not possible over pinfold's embedded IPFS node (run Kubo beside pinfold)", name, text)
		}
	}
	o := pinset.AddOptions{CIDVersion: c.number("cid-version", 0), Chunker: c.opts["chunker"], Wrap: c.flag("wrap-with-directory", false),
		Hidden: true, Progress: c.flag("progress", false), Name: c.opts["pin-name"], OnlyHash: c.flag("only-hash", false)}
	if _, ok := c.opts["raw-leaves"]; ok {
		raw := c.flag("raw-leaves", false)
		o.RawLeaves = &raw
	}
	return o, nil
}

// without returns a query that does not say a thing.
func without(q url.Values, names ...string) url.Values {
	for _, n := range names {
		q.Del(n)
	}
	return q
}
