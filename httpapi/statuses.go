package httpapi

import (
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

// filter is what a list of statuses is narrowed to: the CIDs that have one of
// these statuses at some member, or too few copies. The zero filter lets all pass.
type filter struct {
	any      bool // something was asked for
	statuses [pinset.StatusClusterError + 1]bool
	short    bool
}

// filter reads status names with commas between: ipfs-cluster's, its groups
// "error" and "queued", and "short".
func (p *params) filter() (f filter) {
	for _, name := range p.words("filter") {
		name = strings.TrimSpace(name)
		var match []pinset.Status
		switch name {
		case "all", "undefined":
			continue
		case "error":
			match = []pinset.Status{pinset.StatusClusterError, pinset.StatusPinError, pinset.StatusUnpinError, pinset.StatusRefused}
		case "queued":
			match = []pinset.Status{pinset.StatusQueued, pinset.StatusUnpinQueued}
		case "short":
			f.short = true
		case "sharded": // there are none
		default:
			s, err := pinset.ParseStatus(name)
			if err != nil {
				p.bad("filter", "names of statuses with commas between, error, queued or short; "+err.Error())
				return f
			}
			match = []pinset.Status{s}
		}
		f.any = true
		for _, s := range match {
			f.statuses[s] = true
		}
	}
	return f
}

func (f *filter) matches(s *pinset.Summary) bool {
	if !f.any || f.short && s.Short > 0 {
		return true
	}
	return slices.ContainsFunc(s.Holdings, func(h pinset.Holding) bool { return h.Status <= pinset.StatusClusterError && f.statuses[h.Status] })
}

func (s *Server) statuses(c *call) error {
	f, local, ids := c.params.filter(), c.params.flag("local"), c.params.cids("cids")
	if err := c.params.err; err != nil {
		return err
	}
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	all := cl.Statuses.StatusAll
	if len(ids) > 0 {
		all = nil
	}
	var seq iter.Seq2[pinset.Summary, error]
	if all != nil {
		seq = all(c.ctx(), local)
	} else {
		seq = c.statusesOf(cl, ids, local)
	}
	return c.statusLines(keep(seq, func(s *pinset.Summary) bool { return c.mayShow(s, all != nil) && f.matches(s) }))
}

func (c *call) statusesOf(cl *Cluster, ids []cid.Cid, local bool) iter.Seq2[pinset.Summary, error] {
	return func(yield func(pinset.Summary, error) bool) {
		for _, id := range ids {
			s, err := cl.Statuses.Status(c.ctx(), id, local)
			if !yield(s, err) || err != nil {
				return
			}
		}
	}
}

func (c *call) statusLines(seq iter.Seq2[pinset.Summary, error]) error {
	var e dialect.Encoder
	return lines(c, seq, e.Status)
}

// mayShow leaves out other owners' pins where the caller may not see them, and
// with mustOwn says no to what the caller's owner has no pin of.
func (c *call) mayShow(s *pinset.Summary, mustOwn bool) bool {
	owner, only := c.onlyOwner()
	if !only {
		return true
	}
	s.Pins = slices.DeleteFunc(slices.Clone(s.Pins), func(p pinset.Pin) bool { return p.Owner != owner })
	return !mustOwn || len(s.Pins) > 0
}

func (s *Server) status(c *call) error {
	local := c.params.flag("local")
	if err := c.params.err; err != nil {
		return err
	}
	return c.statusBy(func(cl *Cluster, id cid.Cid) (pinset.Summary, error) {
		return cl.Statuses.Status(c.ctx(), id, local)
	})
}

func (s *Server) recover(c *call) error {
	c.params.flag("local")
	if err := c.params.err; err != nil {
		return err
	}
	return c.statusBy(func(cl *Cluster, id cid.Cid) (pinset.Summary, error) {
		return cl.Statuses.Recover(c.ctx(), id)
	})
}

func (c *call) statusBy(ask func(*Cluster, cid.Cid) (pinset.Summary, error)) error {
	id, err := parseCID(c.arg)
	if err != nil {
		return err
	}
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	st, err := ask(cl, id)
	if err != nil {
		return err
	}
	c.mayShow(&st, false)
	var e dialect.Encoder
	c.w.Header()["Content-Type"] = c.s.headers.json
	return c.raw(200, append(e.Status(nil, st), '\n'))
}

// recoverAll tries again what failed and lists what is not yet as it should be.
func (s *Server) recoverAll(c *call) error {
	local := c.params.flag("local")
	if err := c.params.err; err != nil {
		return err
	}
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	if err := cl.Statuses.RecoverAll(c.ctx()); err != nil {
		return err
	}
	return c.statusLines(keep(cl.Statuses.StatusAll(c.ctx(), local), func(st *pinset.Summary) bool {
		return c.mayShow(st, true) && unsettled(st)
	}))
}

func unsettled(s *pinset.Summary) bool {
	return slices.ContainsFunc(s.Holdings, func(h pinset.Holding) bool {
		return h.Status != pinset.StatusPinned && h.Status != pinset.StatusRemote && h.Status != pinset.StatusUnpinned
	})
}

func itoa(n int) string { return strconv.Itoa(n) }
