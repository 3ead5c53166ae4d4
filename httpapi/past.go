package httpapi

import (
	"slices"
	"time"

	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

// removedFilter reads which removed pins are meant; those that the caller may not
// see are never among them.
func (c *call) removedFilter() (f pinset.RemovedFilter, err error) {
	f.CIDs, f.Name, f.NamePrefix = c.params.cids("cids"), c.params.get("name"), c.grant.NamePrefix
	f.Since = c.params.past("since", c.s.now())
	f.Owner, f.Owned = c.params.optional("owner")
	if err := c.params.err; err != nil {
		return f, err
	}
	if own, bound := c.onlyOwner(); bound {
		if f.Owned && f.Owner != own {
			return f, forbidden("%s acts for owner %q, not for %q", user(c.grant), own, f.Owner)
		}
		f.Owner, f.Owned = own, true
	}
	return f, nil
}

// past reads a time: as it is written in JSON, or how long ago it was.
func (p *params) past(name string, now time.Time) time.Time {
	v := p.get(name)
	if v == "" {
		return time.Time{}
	}
	if d, err := time.ParseDuration(v); err == nil && d > 0 {
		return now.Add(-d)
	}
	at, err := time.Parse(time.RFC3339, v)
	if err != nil {
		p.bad(name, "a time as in 2027-01-31T12:00:00Z, or how long ago, as in 2h")
	}
	return at
}

func (s *Server) removed(c *call) error {
	f, err := c.removedFilter()
	if err != nil {
		return err
	}
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	return lines(c, cl.Past.Removed(c.ctx(), f), new(dialect.Encoder).Removed)
}

// restore pins again what was removed. Whoever names nothing has to say that all is
// meant.
func (s *Server) restore(c *call) error {
	all := c.params.flag("all")
	f, err := c.removedFilter()
	if err != nil {
		return err
	}
	if !all && len(f.CIDs) == 0 && f.Name == "" && f.Since.IsZero() {
		return pinset.Invalid("restore: which pins?").WithHint("give cids, name or since, or all=true")
	}
	if _, err := c.actsFor(); err != nil {
		return err
	}
	if !f.Owned && !c.grant.Has(pinset.ScopeAdmin) { // who may see all pins may pin for one owner
		f.Owner, f.Owned = c.grant.Owner, true
	}
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	var e dialect.Encoder
	return lines(c, cl.Past.Restore(c.ctx(), f), func(b []byte, p pinset.Pin) []byte {
		return e.Pin(b, dialect.PinReply{Pin: p})
	})
}

func (s *Server) merges(c *call) error {
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	merges, err := cl.Past.Merges(c.ctx())
	if err != nil {
		return err
	}
	owner, only := c.onlyOwner()
	out := make([]dialect.Merge, len(merges))
	for i, m := range merges {
		if only {
			m.Contested = slices.DeleteFunc(slices.Clone(m.Contested), func(o pinset.Contest) bool { return o.Owner != owner })
		}
		out[i] = dialect.NewMerge(m)
	}
	return c.json(out)
}
