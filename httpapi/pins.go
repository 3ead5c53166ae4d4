package httpapi

import (
	"context"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

func (c *call) cluster() (*Cluster, error) { return c.s.deps.Daemon.Cluster(c.ctx()) }

// pin is the API's hot path.
func (s *Server) pin(c *call) error {
	id, err := parseCID(c.arg)
	if err != nil {
		return err
	}
	return c.pinAs(func(*Cluster) (cid.Cid, error) { return id, nil })
}

func (s *Server) pinPath(c *call) error {
	return c.pinAs(func(cl *Cluster) (cid.Cid, error) { return c.resolve(cl, c.arg) })
}

// pinAs reads the pin that the request describes, and makes it.
func (c *call) pinAs(resolve func(*Cluster) (cid.Cid, error)) error {
	p := c.params.pinTemplate(c.s.now())
	wish, ch := c.params.wish(), c.params.change()
	if err := c.params.err; err != nil {
		return err
	}
	if ch.unpin && wish.pinned == 0 {
		wish.pinned = -1
	}
	var err error
	if p.Owner, err = c.actsFor(); err != nil {
		return err
	}
	if err := c.mayName(p.Name); err != nil {
		return err
	}
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	if err := cl.canCome(c.ctx(), wish); err != nil {
		return err
	}
	if err := ch.allow(c, cl); err != nil {
		return err
	}
	if p.CID, err = resolve(cl); err != nil {
		return err
	}
	if p, err = ch.update(c, cl, p); err != nil {
		return err
	}
	p.Normalise()
	if err := p.Validate(); err != nil {
		return err
	}
	if err := c.mayTouch(cl, p.CID, p.Owner); err != nil && pinset.KindOf(err) != pinset.KindNotFound {
		return err
	}
	done, receipt, err := cl.Pinset.Pin(c.ctx(), p)
	if err == nil && ch.adopt {
		err = cl.TakeOver(c.ctx(), done.CID)
	}
	if err != nil {
		return err
	}
	if err := cl.await(c.ctx(), done.CID, receipt, wish); err != nil {
		return err
	}
	if ch.unpin { // what another pin follows is no removal that would need a second thought
		if _, _, err := cl.Pinset.Unpin(c.ctx(), pinset.Removal{CID: ch.from, Owner: p.Owner, Force: true}); err != nil && pinset.KindOf(err) != pinset.KindNotFound {
			return err
		}
	}
	return c.pinReply(dialect.PinReply{Pin: done, Receipt: receipt})
}

func (c *call) pinReply(p dialect.PinReply) error {
	var e dialect.Encoder
	c.w.Header()["Content-Type"] = c.s.headers.json
	return c.raw(200, append(e.Pin(make([]byte, 0, 768), p), '\n'))
}

// canCome refuses a wish that no waiting fulfils, before anything is changed.
func (cl *Cluster) canCome(ctx context.Context, w wish) error {
	if w.seen == 0 {
		return nil
	}
	if cl.Spread == nil {
		return pinset.Errorf(pinset.KindConflict, "wait=seen is not possible in this cluster").WithHint("use wait=pinned")
	}
	a, err := cl.Statuses.Agreement(ctx)
	if err == nil && w.seen > max(a.Members, 1) {
		err = pinset.Errorf(pinset.KindConflict, "wait=seen:%d: the cluster has %d members", w.seen, a.Members).
			WithHint("wait for at most that many; nothing was pinned")
	}
	return err
}

// await returns when the wish has come true, or an error of KindTimeout: the
// change stays, and goes on.
func (cl *Cluster) await(ctx context.Context, id cid.Cid, r pinset.Receipt, w wish) error {
	if w.seen == 0 && w.pinned == 0 {
		return nil
	}
	limit := time.NewTimer(w.limit)
	defer limit.Stop()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		done, state, err := cl.reached(ctx, id, r, w)
		if done || err != nil {
			return err
		}
		next := time.NewTimer(pause)
		select {
		case <-next.C:
		case <-ctx.Done():
			next.Stop()
			return ctx.Err()
		case <-limit.C:
			next.Stop()
			return pinset.Errorf(pinset.KindTimeout, "pin %s: accepted, and after %s %s; it goes on", id, w.limit, state).
				WithHint("pinfold status %s", id)
		}
	}
}

func (cl *Cluster) reached(ctx context.Context, id cid.Cid, r pinset.Receipt, w wish) (done bool, state string, err error) {
	if w.seen > 0 {
		n, err := cl.Spread.Seen(ctx, r)
		if err != nil || n < w.seen {
			return false, strings.Join([]string{"seen by", itoa(n), "of", itoa(w.seen), "members"}, " "), err
		}
	}
	if w.pinned == 0 {
		return true, "", nil
	}
	st, err := cl.Statuses.Status(ctx, id, false)
	if err != nil {
		return false, "", err
	}
	want := w.pinned
	if want < 0 {
		want = st.Copies + st.Short
		if able := len(st.Allocation); able > 0 {
			want = min(want, able) // fewer members than copies hold what they can
		}
		want = max(want, 1)
	}
	return st.Copies >= want, strings.Join([]string{"pinned at", itoa(st.Copies), "of", itoa(want), "members"}, " "), nil
}

func (s *Server) unpin(c *call) error {
	id, err := parseCID(c.arg)
	if err != nil {
		return err
	}
	return c.unpinAs(func(*Cluster) (cid.Cid, error) { return id, nil })
}

func (s *Server) unpinPath(c *call) error {
	return c.unpinAs(func(cl *Cluster) (cid.Cid, error) { return c.resolve(cl, c.arg) })
}

func (c *call) unpinAs(resolve func(*Cluster) (cid.Cid, error)) error {
	removal := pinset.Removal{Together: uint64(max(0, c.params.integer("together"))), Force: c.params.flag("force")}
	if err := c.params.err; err != nil {
		return err
	}
	var err error
	if removal.Owner, err = c.actsFor(); err != nil {
		return err
	}
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	if removal.CID, err = resolve(cl); err != nil {
		return err
	}
	if err := c.mayTouch(cl, removal.CID, removal.Owner); err != nil {
		return err
	}
	p, receipt, err := cl.Pinset.Unpin(c.ctx(), removal)
	if err != nil {
		return err
	}
	return c.pinReply(dialect.PinReply{Pin: p, Receipt: receipt})
}

// mayTouch refuses what would change a pin whose name is outside of the token's prefix.
// KindNotFound: there is no such pin.
func (c *call) mayTouch(cl *Cluster, id cid.Cid, owner string) error {
	if c.grant.NamePrefix == "" {
		return nil
	}
	p, err := cl.Pinset.PinOf(c.ctx(), id, owner)
	if err != nil {
		return err
	}
	return c.mayName(p.Name)
}

// resolve finds the CID at CID/name/name.
func (c *call) resolve(cl *Cluster, path string) (cid.Cid, error) {
	parent, name, deep := cutLast(path)
	if !deep {
		return parseCID(path)
	}
	root, _, _ := strings.Cut(path, "/")
	if _, err := parseCID(root); err != nil {
		return cid.Undef, err
	}
	for link, err := range cl.Data.List(c.ctx(), "/ipfs/"+parent) {
		if err != nil {
			return cid.Undef, err
		}
		if link.Name == name {
			return link.CID, nil
		}
	}
	return cid.Undef, pinset.NotFound("path /ipfs/%s: there is no %q in it", path, name)
}

func cutLast(path string) (parent, name string, found bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}

// onlyOwner is the owner whose pins alone the caller may see; all of them for
// admins and for tokens that are bound to no owner.
func (c *call) onlyOwner() (owner string, only bool) {
	return c.grant.Owner, c.grant.Owner != "" && !c.grant.Has(pinset.ScopeAdmin)
}

func (s *Server) allocations(c *call) error {
	kinds := c.params.words("filter")
	for _, k := range kinds {
		if !slices.Contains([]string{"all", "pin", "meta-pin", "clusterdag-pin", "shard-pin"}, k) {
			c.params.bad("filter", "all, pin, meta-pin, clusterdag-pin or shard-pin")
		}
	}
	with := c.params.flagOr("allocations", true)
	owner, only := c.params.optional("owner")
	if err := c.params.err; err != nil {
		return err
	}
	if own, bound := c.onlyOwner(); bound {
		if only && owner != own {
			return forbidden("%s acts for owner %q, not for %q", user(c.grant), own, owner)
		}
		owner, only = own, true
	}
	if len(kinds) > 0 && !slices.Contains(kinds, "all") && !slices.Contains(kinds, "pin") {
		return c.empty(204) // there are no sharded pins
	}
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	pins := cl.Pinset.Pins(c.ctx())
	if only {
		pins = keep(pins, func(p *pinset.Pin) bool { return p.Owner == owner })
	}
	var e dialect.Encoder
	return lines(c, pins, func(b []byte, p pinset.Pin) []byte {
		reply := dialect.PinReply{Pin: p}
		if with && cl.Allocate != nil {
			reply.Allocations = cl.Allocate(p)
		}
		return e.Pin(b, reply)
	})
}

func (s *Server) allocation(c *call) error {
	id, err := parseCID(c.arg)
	if err != nil {
		return err
	}
	owner, err := c.actsFor()
	if err != nil {
		return err
	}
	cl, err := c.cluster()
	if err != nil {
		return err
	}
	p, err := cl.Pinset.PinOf(c.ctx(), id, owner)
	if err != nil {
		return err
	}
	reply := dialect.PinReply{Pin: p}
	if cl.Allocate != nil {
		reply.Allocations = cl.Allocate(p)
	}
	return c.pinReply(reply)
}

// keep passes on the elements that want says yes to, and errors.
func keep[T any](seq iter.Seq2[T, error], want func(*T) bool) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for v, err := range seq {
			if err == nil && !want(&v) {
				continue
			}
			if !yield(v, err) {
				return
			}
		}
	}
}
