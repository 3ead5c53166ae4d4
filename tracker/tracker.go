package tracker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"github.com/pinfold/pinfold/pinset"
	"github.com/pinfold/pinfold/tracker/internal/queue"
)

// Tracker keeps this node's pins equal to its allocation. It is safe for
// concurrent use.
type Tracker struct {
	cfg    Config
	deps   Deps
	mark   marker
	ledger *ledger
	acct   account

	wake chan struct{} // the dispatcher has something to look at
	look chan struct{} // the sweeper has
	full chan struct{} // the disk may be down to its reserve
	back chan struct{} // the node went away: see whether it is back

	mu      sync.Mutex // guards what follows
	queue   *queue.Queue
	runs    map[key]*run
	ahead   uint64        // bytes that runs want and did not reserve yet
	settled chan struct{} // closed when a job is loosed, if somebody waits for that
	view    evaluated
	swept   bool
	missing int    // jobs that a report names
	version uint64 // rises when Report would say something else
	faults  faults
}

// evaluated is what was looked at in full.
type evaluated struct {
	stable bool
	digest [32]byte
	vector map[peer.ID]uint64
}

// New opens the ledger. It does not ask the IPFS node for anything.
func New(ctx context.Context, cfg Config, deps Deps) (*Tracker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Turns == nil {
		deps.Turns = &Turns{}
	}
	if deps.Traffic == nil {
		deps.Traffic = &Traffic{rules: func() Rules { return Rules{} }}
	}
	if deps.Absence == nil {
		deps.Absence = allHere{}
	}
	l, err := openLedger(ctx, deps.Ledger, cfg.Cluster, deps.Turns)
	if err != nil {
		return nil, pinset.Wrap(pinset.KindUnavailable, err, "start tracker")
	}
	cfg = cfg.withDefaults()
	return &Tracker{
		cfg: cfg, deps: deps, mark: marker(cfg.Mark), ledger: l,
		acct: account{lent: cfg.Lent, spare: cfg.Reserve},
		wake: make(chan struct{}, 1), look: make(chan struct{}, 1), back: make(chan struct{}, 1), full: make(chan struct{}, 1),
		queue: queue.New(queue.Limits{Moving: cfg.Concurrency, Seeking: cfg.Waiting, Looking: cfg.Concurrency}), runs: map[key]*run{},
	}, nil
}

// MarkName returns the name that a pin called name has at the IPFS node.
func (t *Tracker) MarkName(name string) string { return t.mark.name(name) }

// Run works until ctx ends, which is no error, or until the feed or the ledger
// fails for good. Fetches under way are cancelled and taken up at the next start.
func (t *Tracker) Run(ctx context.Context) error {
	for it, err := range t.ledger.all(ctx) {
		if err != nil {
			return pinset.Wrap(pinset.KindUnavailable, err, "start tracker")
		}
		t.acct.load(it.entry)
		t.ledger.recent.load(it.key)
	}
	t.ledger.recent.loaded()
	changes := make(chan Changes)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return t.listen(gctx, changes) })
	g.Go(func() error { return t.evaluate(gctx, changes) })
	g.Go(func() error { return t.dispatch(gctx) })
	g.Go(func() error { return t.sweepAlways(gctx) })
	g.Go(func() error { return t.probe(gctx) })
	err := g.Wait()
	// What is not written now is found again by one look at the node.
	flushed := t.ledger.flush(context.WithoutCancel(ctx))
	saved := t.deps.Traffic.save(context.WithoutCancel(ctx))
	if ctx.Err() != nil {
		return saved
	}
	return errors.Join(err, flushed, saved)
}

// poke wakes the owner of a channel of one element.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// pause waits; false: ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// claim makes the caller the one who works on an item, waiting for whoever does.
func (t *Tracker) claim(ctx context.Context, k key) (*queue.Job, error) {
	for {
		t.mu.Lock()
		if !t.queue.IsBusy(string(k)) {
			j := t.queue.Get(string(k))
			t.queue.Lift(j)
			t.mu.Unlock()
			return j, nil
		}
		if t.settled == nil {
			t.settled = make(chan struct{})
		}
		settled := t.settled
		t.mu.Unlock()
		select {
		case <-settled:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// store writes entries to the ledger and books them.
func (t *Tracker) store(ctx context.Context, changes ...change) error {
	return t.book(t.ledger.put(ctx, changes...), changes...)
}

// book books entries as it went with writing them.
func (t *Tracker) book(err error, changes ...change) error {
	for _, c := range changes {
		if err != nil {
			t.acct.unsure(c.key, c.old)
		} else {
			t.acct.apply(c.key, c.old, c.new)
		}
	}
	t.ledgerFault(err)
	return err
}

// load reads an entry.
func (t *Tracker) load(ctx context.Context, k key) (entry, error) {
	e, err := t.ledger.get(ctx, k)
	if err == nil {
		t.acct.resolve(k, e)
	}
	return e, err
}

// outcome is how an item stands after somebody worked on it.
type outcome struct {
	entry entry
	at    time.Time // not before, unless the entry says so itself
	fresh bool      // a new pin, not a move or a repair
	class pinset.Priority
}

// course says in which lane an item goes on, and when; done: it is at rest. It is
// a pure function.
func course(o outcome) (l queue.Lane, due time.Time, done bool) {
	e := o.entry
	l = queue.LaneFor(o.class, o.fresh, e.Binding)
	retry := time.UnixMilli(e.Retry)
	switch {
	case !e.exists():
		return l, due, true
	case e.State == pinset.StatusUnpinError:
		return queue.Release, retry, false
	case e.held() >= max(e.Want, e.Interim):
		if e.held() > e.Want || e.Want == nothing || e.State != pinset.StatusPinned {
			return queue.Release, o.at, false // a look will tell
		}
		return l, due, true
	case e.State == pinset.StatusWaiting:
		return queue.Waiting, retry, false
	case e.State == pinset.StatusPinError, e.State == pinset.StatusRefused, e.Line:
		return l, retry, false
	}
	return l, o.at, false
}

// judge changes what a report says of a job's item. The caller holds t.mu.
func (t *Tracker) judge(j *queue.Job, change func()) {
	before := j.Missing()
	change()
	switch after := j.Missing(); {
	case after && !before:
		t.missing++
		t.version++
	case before && !after:
		t.missing--
		t.version++
	}
}

// settle puts a job where it belongs. The caller holds t.mu and works on the job.
func (t *Tracker) settle(j *queue.Job, o outcome) {
	e := o.entry
	t.judge(j, func() {
		j.Wanted, j.Held, j.Suspect = e.Want > nothing, e.held() >= e.Want, false
	})
	j.Binding, j.Need, j.Refused, j.Put = e.Binding, e.Need, e.State == pinset.StatusRefused && !e.Line, e.Line
	var due time.Time
	var done bool
	o.class = j.Class
	j.Lane, due, done = course(o)
	switch {
	case j.Again:
		j.Again = false
		t.queue.Place(j, time.Now(), time.Time{})
	case done:
		t.queue.Drop(j)
	default:
		t.queue.Place(j, time.Now(), due)
	}
	t.loosed()
}

// loosed tells those who wait for an item, and the dispatcher, that nobody works
// on some item any more. The caller holds t.mu.
func (t *Tracker) loosed() {
	if t.settled != nil {
		close(t.settled)
		t.settled = nil
	}
	poke(t.wake)
}

// Recover has a CID looked at and tried again now, whatever it waits for.
// KindNotFound: it has no business here.
func (t *Tracker) Recover(ctx context.Context, c cid.Cid) error {
	k := keyOf(c)
	e, err := t.ledger.get(ctx, k)
	if err != nil {
		return pinset.Wrap(pinset.KindUnavailable, err, "recover %s", c)
	}
	if !e.exists() {
		return pinset.NotFound("recover %s: it is neither here nor assigned here", c)
	}
	t.suspect(k)
	return nil
}

// RecoverAll has everything that failed or waits tried again now, and the IPFS
// node compared with the ledger.
func (t *Tracker) RecoverAll(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue.Hurry(time.Now(), func(*queue.Job) bool { return true })
	poke(t.wake)
	poke(t.look)
	return nil
}

// Protect keeps the DAG of c, which was brought in here a moment ago, until enough
// of the members that shall hold it say that they do. It returns when the IPFS
// node has it pinned and the ledger says so. PinName is the name under which it
// was pinned when it came in; what came in unpinned is pinned now. Size is in
// bytes, 0: not known.
//
// KindConflict: the node's owner has pinned the root directly. KindRefused: it
// does not fit into the lent bytes; a pin under pinName is taken off again.
func (t *Tracker) Protect(ctx context.Context, c cid.Cid, pinName string, size uint64) error {
	j, err := t.claim(ctx, keyOf(c))
	if err != nil {
		return err
	}
	e, err := t.protect(ctx, c, pinName, size)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.putBack(j)
		return pinset.Wrap(protectKind(err), err, "protect %s", c)
	}
	t.settle(j, outcome{entry: e, at: time.Now().Add(t.cfg.Recheck)})
	return nil
}

func protectKind(err error) pinset.Kind {
	if errors.Is(err, errAway) {
		return pinset.KindUnavailable
	}
	return pinset.KindOf(err)
}

func (t *Tracker) protect(ctx context.Context, c cid.Cid, pinName string, size uint64) (entry, error) {
	k := keyOf(c)
	if !t.mark.on(pinName) {
		pinName = t.mark.name(pinName)
	}
	old, err := t.load(ctx, k)
	if err != nil {
		return old, err
	}
	g := &gathered{facts: facts{key: k, entry: old}, stored: old}
	if old.held() == nothing {
		g.entry.V0 = c.Version() == 0
	}
	g.entry.Name = pinName // whoever brought it in used it, or nobody pinned it yet
	if old.held() > nothing {
		g.entry.Name = old.Name
	}
	if err := t.askNode(ctx, g); err != nil {
		return old, err
	}
	e := &g.entry
	ours := g.node.name == pinName || old.Placed > nothing && g.node.name == old.Name
	switch {
	case g.node.extent == wholeDAG && ours:
		e.Name = g.node.name
	case g.node.extent == wholeDAG:
		*e = lent(*e, g.node)
	case g.node.extent == oneBlock && !ours:
		return old, pinset.Errorf(pinset.KindConflict, "%s", obstructed)
	default:
		e.Name = pinName
	}
	if e.Want < wholeDAG {
		e.Interim = wholeDAG
	}
	return t.place(ctx, g, size)
}

// lent returns the entry of what a pin of the node's owner keeps.
func lent(e entry, by present) entry {
	e.Placed, e.Size, e.Borrowed, e.Owner = nothing, 0, by.extent, by.name
	return e
}

// place makes what protect decided true and durable.
func (t *Tracker) place(ctx context.Context, g *gathered, size uint64) (entry, error) {
	e, form := &g.entry, g.entry.form(g.key)
	now := time.Now()
	if e.Borrowed == nothing {
		if old := g.stored; old.Placed < wholeDAG && t.acct.room(nil, old).over(size) {
			if g.node.extent == wholeDAG {
				_ = t.deps.Node.Unpin(ctx, form, pinset.Recursive) // what cannot be taken off stays, marked
			}
			return old, pinset.Errorf(pinset.KindRefused, "it needs %s, and the lent bytes are used up", pinset.FormatSize(size))
		}
		if g.node.extent < wholeDAG {
			// The name is in the ledger before the node is asked.
			asked := *e
			asked.become(pinset.StatusQueued, now)
			asked.Line = false
			if err := t.write(ctx, g, asked); err != nil {
				return g.stored, err
			}
			if err := t.deps.Node.Pin(ctx, form, pinset.PinOptions{Name: e.Name}); err != nil {
				return g.stored, err
			}
		}
		e.Placed, e.Size = wholeDAG, max(e.Size, size)
	}
	e.Attempts, e.Retry, e.Error, e.Line = 0, 0, "", false
	e.become(pinset.StatusPinned, now)
	return *e, t.write(ctx, g, *e)
}
