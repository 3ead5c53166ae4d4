package deficit

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/cluster/internal/statement"
	"github.com/pinfold/pinfold/cluster/internal/upkeep"
	"github.com/pinfold/pinfold/pinset"
)

// Source is what the list is made from. It is safe for concurrent use.
type Source interface {
	// All yields the pins of each CID together, in the order of the pinset's keys.
	All(ctx context.Context) iter.Seq2[[]pinset.Pin, error]
	PinsOf(ctx context.Context, c cid.Cid) ([]pinset.Pin, error)
	// Judge counts the copies of one CID at members that are heard, by what these
	// have said; of no pins it says that nothing is short.
	Judge(ctx context.Context, pins []pinset.Pin, words Words) (pinset.Summary, error)
	Words() Words
}

// Words are what counts of the members at one time.
type Words struct {
	View [32]byte // digest of the membership in force
	Of   map[peer.ID]Word
}

const (
	look = 2 * time.Second // how often it is looked whether words changed
	part = 20              // keeping the list takes at most this part of the time

	// What was pinned a moment ago lacks its copies anyway: the list waits until no
	// pins came for a while, not for ever.
	quiet = 5 * time.Second
	most  = time.Minute
)

// Keeper keeps a list. It is safe for concurrent use.
type Keeper struct {
	source  Source
	log     *slog.Logger
	list    *List
	changed *upkeep.Changed

	came atomic.Int64 // when the last change did, Unix nanoseconds

	mu    sync.Mutex // one looks for changes at a time
	words Words
}

// NewKeeper returns one with an empty list.
func NewKeeper(s Source, log *slog.Logger) *Keeper {
	return &Keeper{source: s, log: log, list: NewList(0), changed: upkeep.NewChanged(4096)}
}

// Changed notes CIDs whose pins changed, or that all may have.
func (k *Keeper) Changed(cids []cid.Cid, all bool) {
	k.changed.Add(cids, all)
	k.came.Store(time.Now().UnixNano())
}

// Whole says whether what is short can be told without a walk over the pinset.
func (k *Keeper) Whole() bool {
	_, whole := k.list.Rows()
	return whole
}

// Run keeps the list until ctx ends, and returns its error.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	last, next := time.Now(), time.Time{}
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		began := time.Now()
		if pouring := began.Sub(time.Unix(0, k.came.Load())) < quiet && began.Sub(last) < most; pouring || began.Before(next) {
			continue // who asks meanwhile brings the list up to date
		}
		if k.note(ctx, k.source.Words()); k.list.Stale() {
			if err := k.Find(ctx); err != nil && ctx.Err() == nil {
				k.log.Warn("what lacks copies not listed; tried again", "err", err)
			}
		}
		last = time.Now()
		next = last.Add(part * last.Sub(began))
	}
}

// Short yields what is short now, in the order of the pinset's keys.
func (k *Keeper) Short(ctx context.Context) iter.Seq2[pinset.Summary, error] {
	return func(yield func(pinset.Summary, error) bool) {
		words := k.source.Words()
		k.note(ctx, words)
		for pins, err := range k.candidates(ctx) {
			var s pinset.Summary
			if err == nil {
				s, err = k.source.Judge(ctx, pins, words)
			}
			if err != nil {
				yield(s, err)
				return
			}
			s.Since = k.list.Since(pinset.CIDPrefix(s.CID))
			if s.Short > 0 && !yield(s, nil) {
				return
			}
		}
	}
}

// candidates are the pins of what is in the list, or, where that is not all, of
// everything.
func (k *Keeper) candidates(ctx context.Context) iter.Seq2[[]pinset.Pin, error] {
	rows, whole := k.list.Rows()
	if !whole {
		return k.source.All(ctx)
	}
	return func(yield func([]pinset.Pin, error) bool) {
		for _, r := range rows {
			pins, err := k.source.PinsOf(ctx, r.CID)
			if err == nil && len(pins) == 0 {
				continue
			}
			if !yield(pins, err) || err != nil {
				return
			}
		}
	}
}

// Find makes the list anew. What changes meanwhile is noted after it.
func (k *Keeper) Find(ctx context.Context) error {
	k.mu.Lock()
	k.changed.Take()
	words := k.source.Words()
	k.words = words
	k.mu.Unlock()
	f := k.list.Fill()
	for pins, err := range k.source.All(ctx) {
		if err != nil {
			return err
		}
		s, err := k.source.Judge(ctx, pins, words)
		if err != nil {
			return err
		}
		if s.Short > 0 {
			f.Put(rowOf(s.CID))
		}
	}
	f.Done()
	return nil
}

// note brings the list up to date, or says that it has to be made anew.
func (k *Keeper) note(ctx context.Context, words Words) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.list.Stale() {
		return // what changed is seen, or noted, when it is made
	}
	cids, all := k.changed.Take()
	effect := Compare(k.words.Of, words.Of, words.View, k.list.Knows)
	k.words = words
	if all || effect == All || effect == Rows && k.list.Over() {
		k.list.MakeStale()
		return
	}
	if effect == Rows {
		rows, _ := k.list.Rows()
		for _, r := range rows {
			cids = append(cids, r.CID)
		}
	}
	for _, c := range cids {
		if err := k.judge(ctx, c, words); err != nil {
			k.list.MakeStale()
			return
		}
	}
}

func (k *Keeper) judge(ctx context.Context, c cid.Cid, words Words) error {
	pins, err := k.source.PinsOf(ctx, c)
	if err != nil {
		return err
	}
	s, err := k.source.Judge(ctx, pins, words)
	if err == nil {
		k.list.Put(rowOf(c), s.Short > 0)
	}
	return err
}

func rowOf(c cid.Cid) Row {
	return Row{Key: pinset.CIDPrefix(c), CID: c, Hash: statement.Hash(c.Hash()), Since: time.Now()}
}
