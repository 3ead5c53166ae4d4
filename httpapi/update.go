package httpapi

import (
	"strconv"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// change is what a pin request says beside the pin.
type change struct {
	from  cid.Cid // whose options the pin takes; undefined: nobody's
	unpin bool    // from goes once enough members hold the pin
	adopt bool    // the pin that the IPFS node's owner has becomes the cluster's
}

// change reads pin-update, unpin and adopt.
func (p *params) change() (ch change) {
	ch.unpin, ch.adopt = p.flag("unpin"), p.flag("adopt")
	if v := p.get("pin-update"); v != "" {
		var err error
		if ch.from, err = cid.Decode(v); err != nil {
			p.bad("pin-update", "the CID of a pin")
		}
	}
	if ch.unpin && !ch.from.Defined() {
		p.bad("unpin", "it together with pin-update")
	}
	return ch
}

// allow refuses what the caller may not do, or nobody can.
func (ch change) allow(c *call, cl *Cluster) error {
	switch {
	case !ch.adopt:
		return nil
	case !c.grant.Has(pinset.ScopeAdmin):
		return forbidden("%s may not hand over pins of the IPFS node's owner: that needs scope %s", user(c.grant), pinset.ScopeAdmin)
	case cl.TakeOver == nil:
		return notOffered("adopt")
	}
	return nil
}

// update returns the pin with the options of the one that it follows, but for those
// that the request names.
func (ch change) update(c *call, cl *Cluster, p pinset.Pin) (pinset.Pin, error) {
	if !ch.from.Defined() {
		return p, nil
	}
	if pinset.V1(ch.from).Equals(pinset.V1(p.CID)) {
		return p, pinset.Invalid("query parameter pin-update: %s is the CID that is pinned", ch.from)
	}
	old, err := cl.Pinset.PinOf(c.ctx(), ch.from, p.Owner)
	if err != nil {
		return p, err
	}
	if err := c.mayName(old.Name); err != nil {
		return p, err
	}
	return c.params.over(old.Moved(p.CID), p), nil
}

// over returns old with what the parameters name of p.
func (p *params) over(old, pin pinset.Pin) pinset.Pin {
	given := func(names ...string) bool {
		for _, n := range names {
			if p.get(n) != "" {
				return true
			}
		}
		return false
	}
	if given("name") {
		old.Name = pin.Name
	}
	if given("mode") {
		old.Mode = pin.Mode
	}
	if !pin.Replication.IsDefault() {
		old.Replication = pin.Replication
	}
	if given("tags") {
		old.Tags = pin.Tags
	}
	if given("user-allocations") {
		old.Include = pin.Include
	}
	if given("origins") {
		old.Origins = pin.Origins
	}
	if given("priority") {
		old.Priority = pin.Priority
	}
	if given("expire-at", "expire-in") {
		old.ExpireAt = pin.ExpireAt
	}
	if len(pin.Metadata) > 0 {
		old.Metadata = pin.Metadata
	}
	return old
}

// queueLimit is how much of the queue is told unasked, and at most.
const (
	queueLimit = 100
	queueMost  = 10_000
)

// queue tells what runs and waits at this peer; whose token is bound to an owner
// sees that one's.
func (s *Server) queue(c *call) error {
	most := queueLimit
	if text := c.params.get("limit"); text != "" {
		var err error
		if most, err = strconv.Atoi(text); err != nil || most < 0 || most > queueMost {
			c.params.bad("limit", "a number up to "+itoa(queueMost))
		}
	}
	if err := c.params.err; err != nil {
		return err
	}
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	if cl.Queue == nil {
		return notOffered("queue")
	}
	q, err := cl.Queue(c.ctx(), most)
	if err != nil {
		return err
	}
	if owner, only := c.onlyOwner(); only {
		for _, turns := range []*[]pinset.Turn{&q.Running, &q.Ready, &q.Later} {
			own := []pinset.Turn{}
			for _, t := range *turns {
				if t.Owner == owner {
					own = append(own, t)
				}
			}
			*turns = own
		}
	}
	return c.json(q)
}
