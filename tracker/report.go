package tracker

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
	"github.com/pinfold/pinfold/tracker/internal/budget"
	"github.com/pinfold/pinfold/tracker/internal/queue"
)

// Report is what this peer can put its name to: under the membership View, of all
// pins that Vector covers, it holds every one that is assigned to it, except
// those in Exceptions.
type Report struct {
	Ready      bool               // the rest means something: all was evaluated, and the node compared once
	Version    uint64             // rises with every change of the report
	View       [32]byte           // digest of the membership
	Vector     map[peer.ID]uint64 // of each author, the changes that were looked at
	Items      uint64             // assigned and held
	Bytes      uint64             // of them, as far as counted
	Missing    int                // number of exceptions
	Need       uint64             // bytes of the exceptions, as far as known
	Exceptions iter.Seq[cid.Cid]  // assigned and not confirmed by the node; CIDs in version 1, sorted by their bytes
}

// Report returns the present state of things. It does not change afterwards.
func (t *Tracker) Report() Report {
	t.mu.Lock()
	r := Report{
		Ready: t.view.stable && t.swept, Version: t.version,
		View: t.view.digest, Vector: maps.Clone(t.view.vector),
	}
	var missing []key
	if r.Ready && t.missing > 0 {
		for j := range t.queue.All() {
			if j.Missing() {
				r.Need += j.Need
				missing = append(missing, key(j.Key))
			}
		}
	}
	t.mu.Unlock()
	slices.Sort(missing)
	r.Missing = len(missing)
	r.Exceptions = func(yield func(cid.Cid) bool) {
		for _, k := range missing {
			if !yield(k.cid()) {
				return
			}
		}
	}
	t.acct.mu.Lock()
	defer t.acct.mu.Unlock()
	r.Items, r.Bytes = t.acct.assigned, t.acct.bytes
	return r
}

// Stats are figures for people and dashboards. Bytes are of distinct blocks of
// each DAG; what two DAGs share is counted twice.
type Stats struct {
	Version  uint64 // of the Report
	Items    map[pinset.Status]uint64
	Lent     uint64 // bytes
	Used     uint64 // by what pinfold placed
	Reserved uint64 // by fetches under way
	Assigned uint64 // items assigned here and held
	Borrowed uint64 // items kept by pins of the node's owner
	Interim  uint64 // copies kept only until others have them
	Queued   int    // waiting for their turn
	Later    int    // waiting for their time
	Moving   int    // fetches under way
	Waiting  int    // of which nobody was found yet who provides them
	Missing  int    // assigned and not confirmed
	Traffic  TrafficUse
}

// Stats returns the present figures.
func (t *Tracker) Stats() Stats {
	s := Stats{Lent: t.cfg.Lent(), Items: map[pinset.Status]uint64{}, Traffic: t.deps.Traffic.Use(time.Now())}
	t.mu.Lock()
	s.Version, s.Missing = t.version, t.missing
	s.Queued, s.Later = t.queue.Ready(), t.queue.Later()
	s.Waiting = t.queue.Runs(queue.Seeking)
	s.Moving = t.queue.Runs(queue.Trying) + t.queue.Runs(queue.Moving) + s.Waiting
	t.mu.Unlock()
	t.acct.mu.Lock()
	defer t.acct.mu.Unlock()
	for status, n := range t.acct.items {
		if n > 0 {
			s.Items[pinset.Status(status)] = n
		}
	}
	s.Used, s.Reserved, s.Assigned = t.acct.used, t.acct.reserved, t.acct.assigned
	s.Borrowed, s.Interim = t.acct.borrowed, t.acct.interim
	return s
}

// Local says how a CID stands here.
func (t *Tracker) Local(ctx context.Context, c cid.Cid) (pinset.Local, error) {
	k := keyOf(c)
	e, err := t.ledger.get(ctx, k)
	if err != nil {
		return pinset.Local{}, pinset.Wrap(pinset.KindUnavailable, err, "status of %s", c)
	}
	if e.exists() {
		return t.local(item{key: k, entry: e}), nil
	}
	pins, err := t.deps.State.PinsOf(ctx, c)
	if err != nil {
		return pinset.Local{}, err
	}
	l := pinset.Local{CID: c, Status: pinset.StatusUnpinned}
	if len(pins) > 0 {
		l.Status, l.Mode = pinset.StatusRemote, pins[0].Mode
	}
	return l, nil
}

// All streams how everything stands that is, shall be or was to be here, in the
// order of the pinset's keys. What only others hold is not in it.
func (t *Tracker) All(ctx context.Context) iter.Seq2[pinset.Local, error] {
	return func(yield func(pinset.Local, error) bool) {
		for it, err := range t.ledger.all(ctx) {
			if err != nil {
				yield(pinset.Local{}, pinset.Wrap(pinset.KindUnavailable, err, "list what is here"))
				return
			}
			if !yield(t.local(it), nil) {
				return
			}
		}
	}
}

// local joins the ledger with what is going on.
func (t *Tracker) local(it item) pinset.Local {
	e := it.entry
	l := pinset.Local{
		CID: e.form(it.key), Status: e.State, Since: time.UnixMilli(e.Since), Size: max(e.Size, e.Need),
		Mode: max(e.Want, e.held(), e.Interim).mode(), Attempts: int(e.Attempts), Error: e.Error,
		Interim: max(e.held(), e.Interim) > e.Want, Borrowed: e.Borrowed > nothing,
	}
	switch e.State {
	case pinset.StatusWaiting, pinset.StatusPinError, pinset.StatusUnpinError, pinset.StatusRefused:
		l.Retry = time.UnixMilli(e.Retry)
	}
	if e.Line {
		l.Retry = time.UnixMilli(e.Retry)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.faults.node.present() && l.Error == "" {
		l.Error = "the IPFS node is away: " + t.faults.node.err.Error()
	}
	r := t.runs[it.key]
	switch {
	case r == nil && e.State == pinset.StatusQueued && l.Error == "":
		if j := t.queue.Find(string(it.key)); j != nil {
			put := t.deps.Traffic.may(time.Now(), nil, budget.Ask{Bulk: j.Lane.MayWait()})
			l.Error, l.Retry = put.Why, put.At
		}
	case r == nil:
	case r.whole && e.held() == nothing:
		l.Status, l.Since, l.Progress, l.Error = pinset.StatusPinned, r.moved, r.progress, ""
	case r.letting:
		l.Status, l.Since = pinset.StatusUnpinning, r.began
	case r.cancel != nil:
		l.Status, l.Since, l.Progress, l.Error = pinset.StatusPinning, r.began, r.progress, ""
		if r.slot.Class == queue.Seeking && time.Since(r.moved) > t.cfg.Patience {
			l.Status, l.Error = pinset.StatusWaiting, errStalled.Error()
		}
	}
	return l
}

// fault is something that is wrong now. The tracker's mutex guards it.
type fault struct {
	since time.Time
	err   error
}

func (f *fault) present() bool { return f.err != nil }

func (f *fault) set(err error) {
	if err != nil && f.err == nil {
		f.since = time.Now()
	}
	f.err = err
}

type faults struct {
	node, disk, ledger, state, item fault
	unknown                         int // pins with our mark that no ledger has
	named                           int // lost pins named in the log since the last sweep
}

// Health returns what is wrong now.
func (t *Tracker) Health() []pinset.HealthEntry {
	t.mu.Lock()
	f := t.faults
	t.mu.Unlock()
	s := t.Stats()
	var out []pinset.HealthEntry
	add := func(code string, sev pinset.Severity, f fault, title, do string) {
		h := pinset.HealthEntry{Code: code, Severity: sev, Title: title, Do: do, Since: f.since}
		if f.err != nil {
			h.Detail = f.err.Error()
		}
		out = append(out, h)
	}
	if f.node.present() {
		add("ipfs-away", pinset.SeverityError, f.node, "the IPFS node does not answer; everything waits for it",
			"start the IPFS node; pinfold goes on by itself")
	}
	if f.disk.present() && !f.node.present() {
		add("disk-unknown", pinset.SeverityWarning, f.disk, "the IPFS node does not say how full its disk is", "")
	}
	if f.ledger.present() {
		add("ledger", pinset.SeverityError, f.ledger, "the ledger of placed pins cannot be written; nothing new is pinned",
			"make room on the disk of pinfold's directory")
	}
	if f.state.present() {
		add("pinset-unreadable", pinset.SeverityError, f.state, "the pinset cannot be read", "")
	}
	if f.item.present() {
		add("item", pinset.SeverityWarning, f.item, "an item could not be looked at; it is tried again", "")
	}
	if n := s.Items[pinset.StatusUnexpected]; n > 0 {
		add("unexpectedly-unpinned", pinset.SeverityWarning, fault{},
			fmt.Sprintf("%d pins are gone from the IPFS node without pinfold's doing; they are fetched again", n),
			"pinfold status --filter unexpectedly_unpinned")
	}
	if n := s.Items[pinset.StatusRefused]; n > 0 {
		add("refused", pinset.SeverityWarning, fault{},
			fmt.Sprintf("%d assigned items are not held here: no room, or an owner's pin in the way", n),
			"pinfold status --filter refused")
	}
	if s.Used > s.Lent {
		add("over-lent", pinset.SeverityWarning, fault{}, fmt.Sprintf("%s are used and only %s lent",
			pinset.FormatSize(s.Used), pinset.FormatSize(s.Lent)), "lend more, or wait until others hold what is here")
	}
	if h, ok := lineHealth(s.Traffic); ok {
		out = append(out, h)
	}
	if f.unknown > 0 {
		add("marked-unknown", pinset.SeverityInfo, fault{},
			fmt.Sprintf("%d pins of the IPFS node carry this daemon's mark, but its ledger does not know them; it leaves them alone", f.unknown),
			"ipfs pin ls --names, then ipfs pin rm what is not needed")
	}
	return out
}

func (t *Tracker) nodeAway() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.faults.node.present()
}

func (t *Tracker) nodeAnswered() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults.node.set(nil)
	t.faults.item.set(nil)
}

// nodeFault takes an error of the IPFS node. If it says that the node is away,
// everything waits until the probe finds it again.
func (t *Tracker) nodeFault(err error) error {
	if kind := pinset.KindOf(err); kind != pinset.KindUnavailable && kind != pinset.KindTimeout {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.faults.node.present() {
		t.cfg.Log.Warn("IPFS node away", "err", err)
	}
	t.faults.node.set(err)
	poke(t.back)
	return fmt.Errorf("%w: %w", errAway, err)
}

func (t *Tracker) diskFault(err error)   { t.note(&t.faults.disk, err) }
func (t *Tracker) ledgerFault(err error) { t.note(&t.faults.ledger, err) }
func (t *Tracker) stateFault(err error)  { t.note(&t.faults.state, err) }

func (t *Tracker) note(f *fault, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.set(err)
}

// probe finds out when the node is back.
func (t *Tracker) probe(ctx context.Context) error {
	const least, most = time.Second, 30 * time.Second
	for {
		select {
		case <-t.back:
		case <-ctx.Done():
			return ctx.Err()
		}
		for wait := least; t.nodeAway(); wait = min(most, 2*wait) {
			if !pause(ctx, wait) {
				return ctx.Err()
			}
			call, cancel := context.WithTimeout(ctx, t.cfg.CallTime)
			_, err := t.deps.Node.PinOf(call, probeCID)
			cancel()
			if err == nil || pinset.KindOf(err) == pinset.KindNotFound {
				t.nodeAnswered()
				t.cfg.Log.Info("IPFS node back")
			}
		}
		poke(t.wake)
		poke(t.look)
	}
}

// probeCID is asked for to see whether the node answers: the empty raw block.
var probeCID = cid.NewCidV1(cid.Raw, []byte{0x00, 0x00})
