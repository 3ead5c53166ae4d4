package cluster

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pinfold/pinfold/cluster/internal/brake"
	"github.com/pinfold/pinfold/cluster/internal/deficit"
	"github.com/pinfold/pinfold/cluster/internal/roster"
	"github.com/pinfold/pinfold/cluster/internal/upkeep"
	"github.com/pinfold/pinfold/pinset"
)

// Cluster is one cluster as its doors see it. It is safe for concurrent use.
type Cluster struct {
	*Members
	parts  Parts
	expiry *upkeep.Expiry
	short  *deficit.Keeper
	brake  brake.Brake

	leaving sync.Once
	left    chan struct{}

	mu        sync.Mutex
	loneSince time.Time // nobody was heard since, zero: somebody is
	oddSince  time.Time // somebody was heard and disagrees since
	sayErr    error     // of the last statement that could not be said
	sizeErr   error     // of the last sizes that could not be published
	annalsErr error     // of what could not be kept of removed pins and merges
	besides   map[*context.CancelFunc]struct{}
	ended     bool
	work      sync.WaitGroup
}

// New joins the members to the network and the tracker. m must not be joined to
// others before.
func New(m *Members, p Parts) *Cluster {
	c := &Cluster{Members: m, parts: p, expiry: upkeep.NewExpiry(), left: make(chan struct{}), besides: map[*context.CancelFunc]struct{}{}}
	c.short = deficit.NewKeeper(shortSource{c}, m.cfg.Log)
	m.parts.Store(&c.parts)
	return c
}

// Run keeps the peer's word, its sizes and the expiry of pins until ctx ends,
// which is no error.
func (c *Cluster) Run(ctx context.Context) error {
	defer c.endBesides()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.follow(gctx) })
	g.Go(func() error { return c.speak(gctx) })
	g.Go(func() error { return c.publishSizes(gctx) })
	g.Go(func() error { return c.expire(gctx) })
	g.Go(func() error { return c.watch(gctx) })
	g.Go(func() error { return c.attest(gctx) })
	g.Go(func() error { return c.short.Run(gctx) })
	g.Go(func() error { return c.annals.Run(gctx, c.noteAnnals) })
	g.Go(func() error { return c.keepShare(gctx) })
	err := g.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Left is closed when this peer has left the cluster and should stop.
func (c *Cluster) Left() <-chan struct{} { return c.left }

// beside runs f beside a request, for a short while; Run waits for it.
func (c *Cluster) beside(ctx context.Context, f func(context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.AskTime+c.cfg.NodeTime)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		cancel()
		return
	}
	c.besides[&cancel] = struct{}{}
	c.work.Go(func() {
		f(ctx)
		cancel()
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.besides, &cancel)
	})
}

func (c *Cluster) endBesides() {
	c.mu.Lock()
	c.ended = true
	for cancel := range c.besides {
		(*cancel)()
	}
	c.mu.Unlock()
	c.work.Wait()
}

// follow looks at what changed: the membership, and when pins expire.
func (c *Cluster) follow(ctx context.Context) error {
	for {
		ch, err := c.parts.Feed.Next(ctx)
		if err != nil {
			return pinset.Wrap(pinset.KindInternal, err, "follow the state")
		}
		if ch.Authority || ch.Rescan {
			c.replanSizes(ctx)
		}
		c.annals.Wake()
		c.expiry.Note(ch.CIDs, ch.Rescan || ch.Authority) // other writers are other turns
		c.short.Changed(ch.CIDs, ch.Rescan || ch.Authority)
	}
}

// watchEvery is how often it is looked whether others are heard.
const watchEvery = 10 * time.Second

// watch notes since when this peer is alone or at odds, for Health, and who is away.
func (c *Cluster) watch(ctx context.Context) error {
	for {
		c.lookForAway()
		a := c.agreement()
		c.sides.Look(c.cfg.Now(), a)
		c.mu.Lock()
		c.loneSince = since(c.loneSince, a.Members > 1 && a.Heard == 1, c.cfg.Now())
		c.oddSince = since(c.oddSince, len(a.Behind) > 0, c.cfg.Now())
		c.mu.Unlock()
		if err := pause(ctx, min(watchEvery, c.cfg.Outage/4)); err != nil {
			return err
		}
	}
}

func since(old time.Time, is bool, now time.Time) time.Time {
	switch {
	case !is:
		return time.Time{}
	case old.IsZero():
		return now
	}
	return old
}

// oddTime is how long members may differ before it is worth a word: deltas are on
// their way all the time.
const oddTime = 2 * time.Minute

// Health tells the faults that are present now, the worst first.
func (c *Cluster) Health(context.Context) []pinset.HealthEntry {
	var out []pinset.HealthEntry
	for _, f := range c.parts.Faults {
		out = append(out, f.Health()...)
	}
	out = append(out, c.ownFaults()...)
	rank := map[pinset.Severity]int{pinset.SeverityError: 0, pinset.SeverityWarning: 1, pinset.SeverityInfo: 2}
	slices.SortStableFunc(out, func(a, b pinset.HealthEntry) int { return rank[a.Severity] - rank[b.Severity] })
	return out
}

func (c *Cluster) ownFaults() []pinset.HealthEntry {
	now, a := c.cfg.Now(), c.agreement()
	c.mu.Lock()
	lone, odd, sayErr, sizeErr, annalsErr := c.loneSince, c.oddSince, c.sayErr, c.sizeErr, c.annalsErr
	c.mu.Unlock()
	members := c.base.State.Authority()
	var out []pinset.HealthEntry
	add := func(code string, sev pinset.Severity, at time.Time, title, detail, do string) {
		out = append(out, pinset.HealthEntry{Code: code, Severity: sev, Title: title, Detail: detail, Do: do, Since: at})
	}
	switch {
	case !lone.IsZero():
		add("alone", pinset.SeverityWarning, lone, "no other member is heard", "", "check this machine's network; see `pinfold peers`")
	case len(a.Silent) > 0 && a.Members > 1:
		add("members-silent", pinset.SeverityInfo, c.silentSince(a), fmt.Sprintf("%d of %d members are not heard", len(a.Silent), a.Members),
			"silent: "+roster.Names(members, a.Silent), "see `pinfold peers`; nothing moves because of it")
	}
	if !odd.IsZero() && now.Sub(odd) > oddTime {
		add("disagreement", pinset.SeverityWarning, odd, fmt.Sprintf("%d members have another pinset", len(a.Behind)),
			"differing: "+roster.Names(members, a.Behind), "wait while they catch up; if it stays, see their `pinfold health`")
	}
	if m, ok := members.Member(c.self); !ok {
		add("no-member", pinset.SeverityWarning, time.Time{}, "this peer is not in the cluster's membership", "it reads, and writes nothing",
			"wait until the first synchronisation is done; if an admin removed this peer, ask for a new invite")
	} else if m.Lent == 0 {
		add("nothing-lent", pinset.SeverityInfo, time.Time{}, "this peer lends no disk", "", "set `give` in the configuration")
	}
	out = append(out, c.absenceFaults()...)
	out = append(out, c.recordFaults()...)
	for _, group := range c.sums().twins.Groups {
		text := "they are counted once, as " + c.nameOf(group.Members[0]) + ": " + roster.Names(members, group.Members)
		if group.Unproven {
			text = "it vouched for none of them, so each is counted; their copies of one item count as one: " + roster.Names(members, group.Members)
		}
		add("shared-ipfs-node", pinset.SeverityWarning, time.Time{}, fmt.Sprintf("%d members use one IPFS node", len(group.Members)),
			text, "give each an IPFS node of its own, or evict the one that is no more")
	}
	if sayErr != nil {
		add("statement", pinset.SeverityError, time.Time{}, "this peer cannot say what it holds", sayErr.Error(), "make room on the disk of pinfold's directory")
	}
	if annalsErr != nil {
		add("annals", pinset.SeverityWarning, time.Time{}, "removed pins are not kept for `pin restore`", annalsErr.Error(), "make room on the disk of pinfold's directory; it is tried again")
	}
	if sizeErr != nil {
		add("sizes", pinset.SeverityInfo, time.Time{}, "sizes that were found here could not be published", sizeErr.Error(), "nothing: it is tried again")
	}
	return out
}

func (c *Cluster) silentSince(a pinset.Agreement) time.Time {
	var last time.Time
	for _, p := range c.parts.Network.Peers() {
		if slices.Contains(a.Silent, p.ID) && p.LastHeard.After(last) {
			last = p.LastHeard
		}
	}
	return last
}

// pause waits, or returns the error of ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
