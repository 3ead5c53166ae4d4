package httpapi

import (
	"context"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// Foresight tells why things are where they are, and what changes would do.
type Foresight interface {
	// Explain tells why the pins of a CID are where they are. KindNotFound: there
	// are none.
	Explain(ctx context.Context, c cid.Cid) (pinset.Explanation, error)
	// Outlook tells what changes would do, as "join:2TB@home3", "leave:alice".
	// KindInvalid names the one that is wrong.
	Outlook(ctx context.Context, changes []string) (pinset.Outlook, error)
	Balance(ctx context.Context) (pinset.Balance, error)
}

func (c *call) foresight() (Foresight, error) {
	cl, err := c.cluster()
	if err != nil {
		return nil, err
	}
	if cl.Foresight == nil {
		return nil, notOffered("foresight")
	}
	return cl.Foresight, nil
}

func (s *Server) explain(c *call) error {
	id, err := parseCID(c.arg)
	if err != nil {
		return err
	}
	f, err := c.foresight()
	if err != nil {
		return err
	}
	e, err := f.Explain(c.ctx(), id)
	if err != nil {
		return err
	}
	if owner, only := c.onlyOwner(); only {
		e.Pins = slices.DeleteFunc(e.Pins, func(p pinset.PinExplained) bool { return p.Owner != owner })
		if len(e.Pins) == 0 {
			return pinset.NotFound("explain %s: owner %q has no pin of it", id, owner)
		}
	}
	return c.json(e)
}

func (s *Server) plan(c *call) error {
	f, err := c.foresight()
	if err != nil {
		return err
	}
	var changes []string
	for _, text := range c.params.words("if") {
		changes = append(changes, strings.TrimSpace(text))
	}
	o, err := f.Outlook(c.ctx(), changes)
	if err != nil {
		return err
	}
	if _, only := c.onlyOwner(); only {
		o.Below = nil // they are of other owners too
	}
	return c.json(o)
}

func (s *Server) balance(c *call) error {
	f, err := c.foresight()
	if err != nil {
		return err
	}
	b, err := f.Balance(c.ctx())
	if err != nil {
		return err
	}
	return c.json(b)
}
