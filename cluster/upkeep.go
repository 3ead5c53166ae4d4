package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/cluster/internal/roster"
	"github.com/pinfold/pinfold/cluster/internal/statement"
	"github.com/pinfold/pinfold/cluster/internal/upkeep"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// speak says what this peer holds whenever that has changed, not too often.
func (c *Cluster) speak(ctx context.Context) error {
	for {
		began := time.Now()
		err := c.say(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			c.cfg.Log.Error("statement not said", "err", err)
		}
		c.mu.Lock()
		c.sayErr = err
		c.mu.Unlock()
		// A report of a long queue costs something: at most a twentieth of the time.
		if err := pause(ctx, max(c.cfg.SayEvery, 20*time.Since(began))); err != nil {
			return err
		}
	}
}

// say shares a statement if it would say something new.
func (c *Cluster) say(ctx context.Context) error {
	if !c.base.State.Authority().Is(c.self) {
		return nil
	}
	r := c.parts.Keeper.Report()
	if !r.Ready {
		return nil
	}
	last := c.book.Latest(c.self)
	next := c.statement(r, last)
	if last != nil && !c.book.Behind() && last.SaysTheSame(&next) {
		return nil
	}
	if err := c.base.State.Sync(ctx); err != nil { // no word on what a crash may undo
		return err
	}
	raw, err := c.book.Say(ctx, next)
	if raw != nil {
		c.parts.Network.Share(raw)
	}
	return err
}

func (c *Cluster) statement(r Report, last *statement.Statement) statement.Statement {
	s := statement.Statement{At: c.cfg.Now(), View: r.View, Vector: r.Vector, Items: r.Items, Bytes: r.Bytes, Refused: r.Refused}
	s.Except = statement.Except(func(yield func(uint64) bool) {
		for k := range r.Exceptions {
			s.Missing++
			if !yield(statement.Hash(k.Hash())) {
				return
			}
		}
	})
	if s.Missing == 0 {
		if s.Since = s.At; last != nil && !last.Since.IsZero() && last.Since.Before(s.At) {
			s.Since = last.Since
		}
	}
	// The digest is of the present state: it fits only if nothing came meanwhile.
	sum := c.base.State.Summary()
	if maps.Equal(r.Vector, c.base.State.Vector()) && sum == c.base.State.Summary() {
		s.Digest, s.Count = sum.Digest[:], sum.Count
	}
	return s
}

// maxOps is how many changes go into one delta.
const maxOps = 500

// publishSizes writes the sizes that were found here, when it is this peer's turn
// and nobody else has.
func (c *Cluster) publishSizes(ctx context.Context) error {
	for {
		if err := c.sizes.Wait(ctx, c.cfg.Now); err != nil {
			return err
		}
		due := c.sizes.Due(c.cfg.Now(), maxOps)
		err := c.commitSizes(ctx, due)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			for _, s := range due {
				s.At = c.cfg.Now().Add(time.Minute)
				c.sizes.Add(s)
			}
		}
		c.mu.Lock()
		c.sizeErr = err
		c.mu.Unlock()
		if err := pause(ctx, c.cfg.SizeEvery); err != nil {
			return err
		}
	}
}

// replanSizes finds out whose turn it is after the members changed: two that did not
// know of each other yet may each have left it to somebody else.
func (c *Cluster) replanSizes(ctx context.Context) {
	view := c.View()
	c.sizes.Replan(func(d upkeep.Due[foundSize]) time.Time {
		pins, err := c.base.State.PinsOf(ctx, d.CID)
		if err != nil {
			return d.At
		}
		best := -1
		for _, p := range pins {
			rank := slices.Index(view.Allocate(roster.Item(p, d.Value.bytes)).Holders, c.self)
			if rank >= 0 && (best < 0 || rank < best) {
				best = rank
			}
		}
		if best < 0 {
			return d.At
		}
		return d.Value.turn(best)
	})
}

func (c *Cluster) commitSizes(ctx context.Context, due []upkeep.Due[foundSize]) error {
	if !c.base.State.Authority().Is(c.self) {
		return nil
	}
	var ops []Op
	for _, d := range due {
		news, err := c.isNews(ctx, d.CID, d.Value.bytes)
		if err != nil {
			return err
		}
		if news {
			ops = append(ops, c.base.State.SizeOp(d.CID, d.Value.bytes))
		}
	}
	if len(ops) == 0 {
		return nil
	}
	_, err := c.base.State.Commit(ctx, ops...)
	return err
}

// isNews says whether a size is more than what the pinset knows of a CID.
func (c *Cluster) isNews(ctx context.Context, k cid.Cid, bytes uint64) (bool, error) {
	known, err := c.base.State.Size(ctx, k)
	if err != nil {
		return false, err
	}
	pins, err := c.base.State.PinsOf(ctx, k)
	if err != nil || len(pins) == 0 {
		return false, err
	}
	for _, p := range pins {
		known = max(known, p.Size)
	}
	return bytes > known, nil
}

// expire unpins what is over its time. All members see that; they take turns, in
// an order of their own for each pin, so that mostly one of them does it.
func (c *Cluster) expire(ctx context.Context) error {
	if err := pause(ctx, c.cfg.ExpirySlot/10); err != nil { // a start has better things to do
		return err
	}
	for {
		if err := c.lookForExpiry(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Log.Warn("expired pins not unpinned", "err", err)
			c.expiry.Again()
			if err := pause(ctx, time.Minute); err != nil {
				return err
			}
		}
		if err := c.expiry.Wait(ctx, c.cfg.Now); err != nil {
			return err
		}
	}
}

// lookForExpiry takes up what changed and removes what is due.
func (c *Cluster) lookForExpiry(ctx context.Context) error {
	cids, all := c.expiry.Take()
	if all {
		for p, err := range c.base.State.Pins(ctx, "") {
			if err != nil {
				return err
			}
			c.noteExpiry(p)
		}
	}
	for _, k := range cids {
		pins, err := c.base.State.PinsOf(ctx, k)
		if err != nil {
			return err
		}
		for _, p := range pins {
			c.noteExpiry(p)
		}
	}
	for {
		due := c.expiry.Soonest.Due(c.cfg.Now(), maxOps)
		if len(due) == 0 {
			return nil
		}
		if err := c.removeExpired(ctx, due); err != nil {
			return err
		}
	}
}

func (c *Cluster) noteExpiry(p pinset.Pin) {
	if p.ExpireAt.IsZero() {
		return
	}
	turn, ok := c.turn(p.Key())
	if !ok {
		return
	}
	c.expiry.Soonest.Add(upkeep.Due[string]{
		Key: p.Key(), CID: p.CID, Value: p.Owner, At: p.ExpireAt.Add(time.Duration(turn) * c.cfg.ExpirySlot),
	})
}

// turn is this peer's place among the writers, in the order that a key gives
// them; false: it may not write.
func (c *Cluster) turn(key string) (int, bool) {
	a := c.base.State.Authority()
	if !a.CanWrite(c.self) {
		return 0, false
	}
	mine, turn := upkeep.Rank(string(c.self), key), 0
	for _, m := range a.Members() {
		if m.Peer != c.self && m.State == identity.Active && a.CanWrite(m.Peer) && upkeep.Rank(string(m.Peer), key) < mine {
			turn++
		}
	}
	return turn, true
}

func (c *Cluster) removeExpired(ctx context.Context, due []upkeep.Due[string]) error {
	if !c.base.State.Authority().CanWrite(c.self) {
		return nil // it could when it took its turn
	}
	var ops []Op
	for _, d := range due {
		p, err := c.base.State.Pin(ctx, d.CID, d.Value)
		if pinset.KindOf(err) == pinset.KindNotFound {
			continue
		}
		if err != nil {
			return err
		}
		if p.Expired(c.cfg.Now()) {
			ops = append(ops, Op{Key: p.Key()})
		}
	}
	if len(ops) == 0 {
		return nil
	}
	if _, err := c.base.State.Commit(ctx, ops...); err != nil {
		return fmt.Errorf("unpin %d expired pins: %w", len(ops), err)
	}
	c.cfg.Log.Info("expired pins unpinned", "count", len(ops))
	return nil
}
