package httpapi

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// Audit tells whether what is promised is kept.
type Audit interface {
	// Deficit yields what has too few copies at members that are heard, in the
	// order of the pinset's keys. It asks nobody.
	Deficit(ctx context.Context) iter.Seq2[pinset.Summary, error]
	// Audit holds what the members signed against the allocation, and challenges
	// them so many times.
	Audit(ctx context.Context, since time.Duration, challenges int) (pinset.Audit, error)
	// Receipt signs a document on who holds a CID. KindNotFound: it is not in the
	// pinset; KindUnavailable: nobody says yet that it holds it.
	Receipt(ctx context.Context, c cid.Cid) (pinset.SignedReceipt, error)
}

func (c *call) audit() (Audit, error) {
	cl, err := c.cluster()
	if err != nil {
		return nil, err
	}
	if cl.Audit == nil {
		return nil, notOffered("audit")
	}
	return cl.Audit, nil
}

func (s *Server) deficit(c *call) error {
	a, err := c.audit()
	if err != nil {
		return err
	}
	return c.statusLines(keep(a.Deficit(c.ctx()), func(st *pinset.Summary) bool { return c.mayShow(st, true) }))
}

const (
	auditTime      = 30 * 24 * time.Hour // looked back by default
	mostChallenges = 1000                // of one audit
)

func (s *Server) auditAll(c *call) error {
	since, n := auditTime, c.params.integer("challenge")
	if text, given := c.params.optional("since"); given {
		var err error
		if since, err = time.ParseDuration(text); err != nil || since <= 0 {
			c.params.bad("since", "a duration, as in 720h")
		}
	}
	if n < 0 || n > mostChallenges {
		c.params.bad("challenge", "a number from 0 to 1000")
	}
	if err := c.params.err; err != nil {
		return err
	}
	a, err := c.audit()
	if err != nil {
		return err
	}
	out, err := a.Audit(c.ctx(), since, n)
	if err != nil {
		return err
	}
	if owner, only := c.onlyOwner(); only {
		out.Lost = slices.DeleteFunc(out.Lost, func(l pinset.LostPromise) bool { return l.Owner != owner })
		out.Tests = nil // they are of all owners' data
	}
	return c.json(out)
}

func (s *Server) receipt(c *call) error {
	id, err := parseCID(c.arg)
	if err != nil {
		return err
	}
	a, err := c.audit()
	if err != nil {
		return err
	}
	doc, err := a.Receipt(c.ctx(), id)
	if err != nil {
		return err
	}
	if owner, only := c.onlyOwner(); only {
		// What is signed cannot be cut to the caller's own pins.
		if slices.ContainsFunc(doc.Claims.Pins, func(p pinset.Claimed) bool { return p.Owner != owner }) {
			return pinset.Errorf(pinset.KindForbidden, "receipt of %s: it would show pins of other owners than %q", id, owner)
		}
	}
	return c.json(doc)
}
