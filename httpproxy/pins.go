package httpproxy

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/ipfs/boxo/path"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multibase"

	"github.com/pinfold/pinfold/pinset"
)

// pinsMessage is the answer of pin/add, pin/rm and pin/update.
type pinsMessage struct {
	Pins     []string `json:",omitempty"`
	Progress uint64   `json:",omitempty"`
	Bytes    uint64   `json:",omitempty"`
}

// encoder writes CIDs as the caller wants them.
type encoder struct {
	base    multibase.Encoder
	upgrade bool
}

func (c *call) encoder() (e encoder, err error) {
	e.base, _ = multibase.NewEncoder(multibase.Base32)
	if name := c.opts["cid-base"]; name != "" {
		if e.base, err = multibase.EncoderByName(name); err != nil {
			return e, kuboError("%v", err)
		}
		e.upgrade = e.base.Encoding() != multibase.Base58BTC
	}
	e.upgrade = c.flag("upgrade-cidv0-in-output", e.upgrade)
	return e, nil
}

func (e encoder) encode(k cid.Cid) string {
	if k.Version() == 0 {
		if !e.upgrade {
			return k.String()
		}
		k = pinset.V1(k)
	}
	return k.Encode(e.base)
}

// resolve reads an argument: a CID or a path. Only one with names costs a look.
func (c *call) resolve(arg string) (cid.Cid, error) {
	p, err := path.NewPath(arg)
	if err != nil {
		whole, again := path.NewPath("/ipfs/" + arg)
		if again != nil {
			return cid.Undef, kuboError("%v", err)
		}
		p = whole
	}
	if im, err := path.NewImmutablePath(p); err == nil && len(p.Segments()) == 2 {
		return im.RootCid(), nil
	}
	if c.s.deps.Kubo == nil {
		k, err := c.s.deps.Blocks.Resolve(c.ctx, p.String())
		return k, said(err)
	}
	var m struct {
		Cid struct {
			To string `json:"/"`
		}
	}
	if err := c.askOne(Forward{Name: "dag/resolve", Query: url.Values{"arg": {p.String()}}.Encode()}, &m); err != nil {
		return cid.Undef, err
	}
	return cid.Decode(m.Cid.To)
}

// kuboName checks a pin's name by Kubo's rule, and by ours.
func kuboName(name string) error {
	if limit := 255; len(name) > limit {
		return kuboError("pin name is %d bytes (max %d bytes)", len(name), limit)
	}
	if len(name) > pinset.MaxName {
		return kuboError("pin name is %d bytes (max %d bytes)", len(name), pinset.MaxName)
	}
	return nil
}

func (c *call) pinAdd() error {
	name := c.opts["name"]
	if err := kuboName(name); err != nil {
		return err
	}
	e, err := c.encoder()
	if err != nil {
		return err
	}
	w, err := c.waiting(least)
	if err != nil {
		return err
	}
	out := c.lines()
	var done pinset.Progress // of the pins before
	tell := func(p pinset.Progress) error {
		return out.emit(pinsMessage{Progress: done.Blocks + p.Blocks, Bytes: done.Bytes + p.Bytes})
	}
	if !c.flag("progress", false) {
		tell = nil
	}
	answer, err := c.pinAll(e, w, tell)
	switch {
	case tell == nil && err == nil:
		return c.once(answer)
	case tell == nil:
		return err
	case err == nil:
		err = out.emit(answer)
	}
	return out.end(err)
}

func (c *call) pinAll(e encoder, w waiting, tell func(pinset.Progress) error) (m pinsMessage, err error) {
	for _, arg := range c.args {
		k, err := c.resolve(arg)
		if err != nil {
			return m, err
		}
		if err := c.claim(k, c.flag("recursive", true)); err != nil {
			return m, err
		}
		if err := c.until(c.ctx, k, w, tell); err != nil {
			return m, prefixed("pin: ", err)
		}
		m.Pins = append(m.Pins, e.encode(k))
	}
	return m, nil
}

func prefixed(text string, err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return kuboError("%s%v", text, err)
	}
	return err
}

// claim makes the owner's pin of a CID durable. What Kubo's RPC cannot say of a
// pin that is there (copies, tags, expiry) stays as it is.
func (c *call) claim(k cid.Cid, recursive bool) error {
	p, err := c.s.deps.Pinset.PinOf(c.ctx, k, c.grant.Owner)
	switch {
	case err == nil && p.Mode == pinset.Recursive && !recursive:
		return kuboError("pin: %s already pinned recursively", k)
	case err == nil:
		if err := c.mayName(p.Name); err != nil {
			return err
		}
	case pinset.KindOf(err) == pinset.KindNotFound:
		p = pinset.Pin{Owner: c.grant.Owner}
	default:
		return err
	}
	p.CID, p.Mode = k, pinset.Recursive
	if !recursive {
		p.Mode = pinset.Direct
	}
	p.Name = c.opts["name"]
	if err := c.mayName(p.Name); err != nil {
		return err
	}
	_, _, err = c.s.deps.Pinset.Pin(c.ctx, p)
	return err
}

func (c *call) pinRm() error {
	e, err := c.encoder()
	if err != nil {
		return err
	}
	var m pinsMessage
	together := uint64(len(c.args)) // judged before the first goes
	for _, arg := range c.args {
		k, err := c.resolve(arg)
		if err != nil {
			return err
		}
		if err := c.unclaim(pinset.Removal{CID: k, Owner: c.grant.Owner, Together: together}, c.flag("recursive", true)); err != nil {
			return err
		}
		together = 0
		m.Pins = append(m.Pins, e.encode(k))
	}
	return c.once(struct{ Pins []string }{m.Pins})
}

func (c *call) unclaim(r pinset.Removal, recursive bool) error {
	p, err := c.s.deps.Pinset.PinOf(c.ctx, r.CID, r.Owner)
	if err == nil {
		switch {
		case p.Mode == pinset.Recursive && !recursive:
			return kuboError("%s is pinned recursively", r.CID)
		default:
			err = c.mayName(p.Name)
		}
		if err != nil {
			return err
		}
		_, _, err = c.s.deps.Pinset.Unpin(c.ctx, r)
	}
	if pinset.KindOf(err) == pinset.KindNotFound {
		return kuboError("not pinned or pinned indirectly")
	}
	return err
}

// pinUpdate pins the second path as the first one is, and lets that go.
func (c *call) pinUpdate() error {
	e, err := c.encoder()
	if err != nil {
		return err
	}
	w, err := c.waiting(least)
	if err != nil {
		return err
	}
	from, err := c.resolve(c.args[0])
	if err != nil {
		return err
	}
	to, err := c.resolve(c.args[1])
	if err != nil {
		return err
	}
	old, err := c.recursivePin(from)
	if err != nil {
		return err
	}
	if old == nil {
		return kuboError("'from' cid was not recursively pinned already")
	}
	if !pinset.V1(from).Equals(pinset.V1(to)) {
		if err := c.move(*old, to, w); err != nil {
			return err
		}
	}
	return c.once(struct{ Pins []string }{[]string{e.encode(from), e.encode(to)}})
}

func (c *call) move(old pinset.Pin, to cid.Cid, w waiting) error {
	if err := c.mayName(old.Name); err != nil {
		return err
	}
	there, err := c.recursivePin(to)
	if err != nil {
		return err
	}
	if there != nil {
		return kuboError("'to' cid was already recursively pinned")
	}
	next := old.Moved(to)
	if _, _, err := c.s.deps.Pinset.Pin(c.ctx, next); err != nil {
		return err
	}
	if err := c.until(c.ctx, to, w, nil); err != nil {
		return err
	}
	if !c.flag("unpin", true) {
		return nil
	}
	gone := pinset.Removal{CID: old.CID, Owner: old.Owner, Force: true} // its successor is there
	if _, _, err := c.s.deps.Pinset.Unpin(c.ctx, gone); pinset.KindOf(err) != pinset.KindNotFound {
		return err
	}
	return nil
}

// recursivePin returns the owner's recursive pin of a CID, or nil.
func (c *call) recursivePin(k cid.Cid) (*pinset.Pin, error) {
	p, err := c.s.deps.Pinset.PinOf(c.ctx, k, c.grant.Owner)
	switch {
	case pinset.KindOf(err) == pinset.KindNotFound, err == nil && p.Mode != pinset.Recursive:
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &p, nil
}

// badNode is a block that pin/verify did not find.
type badNode struct{ Cid, Err string }

type verifyMessage struct {
	Cid      string
	Ok       bool      `json:",omitempty"`
	BadNodes []badNode `json:",omitempty"`
}

// pinVerify reads every block of what this peer holds, and takes the other
// members' word for the rest.
func (c *call) pinVerify() error {
	verbose, quiet := c.flag("verbose", false), c.flag("quiet", false)
	if verbose && quiet {
		return kuboError("the --verbose and --quiet options can not be used at the same time")
	}
	e, err := c.encoder()
	if err != nil {
		return err
	}
	out := c.lines()
	for s, err := range c.s.deps.Statuses.StatusAll(c.ctx, false) {
		if err != nil {
			return out.end(err)
		}
		p, own := c.own(s)
		if !own || p.Mode != pinset.Recursive {
			continue
		}
		m := verifyMessage{Cid: e.encode(p.CID)}
		why := c.verify(s)
		if m.Ok = why == nil; !m.Ok && !quiet {
			m.BadNodes = []badNode{{m.Cid, why.Error()}}
		}
		if m.Ok && !verbose {
			continue
		}
		if err := out.emit(m); err != nil {
			return out.end(err)
		}
	}
	return out.end(c.ctx.Err())
}

func (c *call) verify(s pinset.Summary) error {
	for _, h := range s.Holdings {
		if h.Age == 0 && h.Status == pinset.StatusPinned && c.isSelf(h) {
			_, err := c.s.deps.Node.DAGSize(c.ctx, s.CID, pinset.Recursive)
			return err
		}
	}
	if !stored(s) {
		return fmt.Errorf("%d copies, want %d", s.Copies, max(1, s.Want.Min))
	}
	return nil
}

func (c *call) isSelf(h pinset.Holding) bool { return h.Peer == c.s.cfg.Self }

// own returns the caller's pin among a CID's.
func (c *call) own(s pinset.Summary) (pinset.Pin, bool) {
	for _, p := range s.Pins {
		if p.Owner == c.grant.Owner && strings.HasPrefix(p.Name, c.grant.NamePrefix) {
			return p, true
		}
	}
	return pinset.Pin{}, false
}
