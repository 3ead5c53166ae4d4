package httpproxy

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// listed is a line of pin/ls.
type listed struct {
	Cid  string `json:",omitempty"`
	Name string `json:",omitempty"`
	Type string `json:",omitempty"`
}

// listing is one pin/ls under way.
type listing struct {
	c     *call
	enc   encoder
	kind  string
	names bool
	like  string // what the name must contain
	out   *lines // nil: gathered in keys
	keys  map[string]listedKey
}

type listedKey struct{ Type, Name string }

// pinLs lists what is held: a pin whose data is on its way is not pinned yet.
func (c *call) pinLs() (err error) {
	l := listing{c: c, kind: "all", like: c.opts["name"]}
	if err := kuboName(l.like); err != nil && len(l.like) > 255 {
		return err
	}
	if text, ok := c.opts["type"]; ok {
		l.kind = text
	}
	if !slices.Contains([]string{"all", "direct", "indirect", "recursive"}, l.kind) {
		return kuboError("invalid type '%s', must be one of {direct, indirect, recursive, all}", l.kind)
	}
	l.names = c.flag("names", false) || l.like != ""
	if l.enc, err = c.encoder(); err != nil {
		return err
	}
	if c.flag("stream", false) {
		l.out = c.lines()
	} else {
		l.keys = map[string]listedKey{}
	}
	if len(c.args) > 0 {
		err = l.some()
	} else {
		err = l.all()
	}
	if l.out != nil {
		return l.out.end(err)
	}
	if err != nil {
		return err
	}
	return c.once(struct {
		Keys map[string]listedKey `json:",omitempty"`
	}{l.keys})
}

func (l *listing) add(k cid.Cid, kind, name string) error {
	if !l.names {
		name = ""
	}
	text := l.enc.encode(k)
	if l.out == nil {
		l.keys[text] = listedKey{kind, name}
		return nil
	}
	return l.out.add(func(b []byte) []byte {
		b = append(append(append(b, `{"Cid":"`...), text...), '"')
		if name != "" {
			quoted, _ := json.Marshal(name) // a string always encodes
			b = append(append(b, `,"Name":`...), quoted...)
		}
		return append(append(append(b, `,"Type":"`...), kind...), "\"}\n"...)
	})
}

// some lists the arguments; one that is not pinned is an error, and then nothing
// is listed.
func (l *listing) some() error {
	type found struct {
		cid        cid.Cid
		kind, name string
	}
	var all []found
	cids := make([]cid.Cid, len(l.c.args))
	for i, arg := range l.c.args {
		k, err := l.c.resolve(arg)
		if err != nil {
			return err
		}
		cids[i] = k
	}
	for i, k := range cids {
		kind, name, err := l.look(k)
		if err != nil {
			return err
		}
		if kind == "" {
			return kuboError("path '%s' is not pinned", l.c.args[i])
		}
		all = append(all, found{k, kind, name})
	}
	for _, f := range all {
		if err := l.add(f.cid, f.kind, f.name); err != nil {
			return err
		}
	}
	return nil
}

// look returns how a CID is pinned, "" when it is not in the way that was asked for.
func (l *listing) look(k cid.Cid) (kind, name string, err error) {
	s, err := l.c.s.deps.Statuses.Status(l.c.ctx, k, false)
	if err != nil {
		return "", "", err
	}
	if p, own := l.c.own(s); own && stored(s) {
		if mode := p.Mode.String(); l.kind == "all" || l.kind == mode {
			return mode, p.Name, nil
		}
		if p.Mode == pinset.Recursive {
			return "", "", nil
		}
	}
	if l.kind != "all" && l.kind != "indirect" {
		return "", "", nil
	}
	kind, err = l.indirect(k)
	return kind, "", err
}

// all lists every root pin, and what this peer's Kubo holds below them.
func (l *listing) all() error {
	if l.kind != "indirect" {
		for s, err := range l.c.s.deps.Statuses.StatusAll(l.c.ctx, false) {
			if err != nil {
				return err
			}
			p, own := l.c.own(s)
			if !own || !strings.Contains(p.Name, l.like) || !stored(s) {
				continue
			}
			if mode := p.Mode.String(); l.kind == "all" || l.kind == mode {
				if err := l.add(p.CID, mode, p.Name); err != nil {
					return err
				}
			}
		}
	}
	if l.c.ctx.Err() != nil || l.like != "" || l.kind != "all" && l.kind != "indirect" || l.c.s.deps.Kubo == nil {
		return l.c.ctx.Err()
	}
	return l.below()
}

// below lists what is pinned as part of something else at this peer's Kubo.
func (l *listing) below() error {
	for m, err := range l.c.ask(Forward{Name: "pin/ls", Query: "type=indirect&stream=true"}) {
		if err != nil {
			return err
		}
		var at listed
		if err := json.Unmarshal(m, &at); err != nil {
			return err
		}
		k, err := cid.Decode(at.Cid)
		if err != nil {
			return err
		}
		if _, err := l.c.s.deps.Pinset.PinOf(l.c.ctx, k, l.c.grant.Owner); err == nil {
			continue // listed above, or not held yet
		}
		if err := l.add(k, at.Type, ""); err != nil {
			return err
		}
	}
	return nil
}

// indirect asks this peer's Kubo whether a CID is part of something pinned, and
// believes it where that is a pin of the caller.
func (l *listing) indirect(k cid.Cid) (string, error) {
	if l.c.s.deps.Kubo == nil {
		return "", nil
	}
	q := url.Values{"arg": {k.String()}, "type": {"indirect"}, "stream": {"true"}}
	for m, err := range l.c.ask(Forward{Name: "pin/ls", Query: q.Encode()}) {
		var at listed
		if err != nil || json.Unmarshal(m, &at) != nil {
			var said *saidError
			if errors.As(err, &said) {
				return "", nil // not pinned
			}
			return "", err
		}
		via, err := cid.Decode(strings.TrimPrefix(at.Type, "indirect through "))
		if err != nil {
			return "", nil
		}
		if _, err := l.c.s.deps.Pinset.PinOf(l.c.ctx, via, l.c.grant.Owner); err != nil {
			return "", nil
		}
		return at.Type, nil
	}
	return "", nil
}
