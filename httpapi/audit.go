package httpapi

import (
	"context"
	"iter"

	"github.com/pinfold/pinfold/pinset"
)

// Audit tells whether what is promised is kept.
type Audit interface {
	// Deficit yields what has too few copies at members that are heard, in the
	// order of the pinset's keys. It asks nobody.
	Deficit(ctx context.Context) iter.Seq2[pinset.Summary, error]
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
