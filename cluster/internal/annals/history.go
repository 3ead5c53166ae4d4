package annals

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/canon"
)

// History is the log of admitted deltas. It is safe for concurrent use.
type History interface {
	// History yields what deltas did to pins, from a place on, up to now.
	History(ctx context.Context, from Place) iter.Seq2[Entry, error]
	// Follows says whether a place of the log has another among its ancestors.
	Follows(ctx context.Context, later, earlier uint64) (bool, error)
	// Known says whether a delta has been admitted here.
	Known(ctx context.Context, c cid.Cid) (bool, error)
}

// Place is where a reader of the log goes on. The zero Place is the beginning.
type Place struct {
	Epoch uint64   `cbor:"epoch"`
	Block uint64   `cbor:"block"`
	Tips  []uint64 `cbor:"tips"`
}

// Entry is what one delta did to pins.
type Entry struct {
	At      uint64 // place in the log
	Author  peer.ID
	Seq     uint64
	Beside  bool      // others wrote at the same time, and neither knew of the other
	Set     []string  // keys of pins that got a value
	Gone    []Gone    // pins taken out
	Rivals  []Rivalry // of an entry Beside: keys that others set at the same time
	Outcome []Rivalry // of an entry Beside: keys of Gone that others pinned at the same time, and that stay
	Next    Place
}

// Gone is a pin that was taken out, as it was.
type Gone struct {
	Key   string `cbor:"k"`
	Value []byte `cbor:"v"`
}

// Rivalry is a key that two sides changed at the same time.
type Rivalry struct {
	Key    string
	Author peer.ID // whose value counts
	Seq    uint64
	Others []peer.ID
}

// Config of Annals.
type Config struct {
	Self      peer.ID
	Store     ds.Datastore
	History   History
	Retention func() time.Duration // of removed pins
	Apart     func(peer.ID) bool   // whether this peer and a member were apart until a moment ago
	Now       func() time.Time
}

// Annals read the log and keep what it tells. They are safe for concurrent use.
type Annals struct {
	cfg     Config
	ring    chan struct{}
	at      mark
	removed *shelf
	merges  *reports
}

// mark is how far the reader has come.
type mark struct {
	Place  Place `cbor:"place"`
	Joined bool  `cbor:"joined"` // a delta of this peer's own has passed: what follows concerns it
}

func markKey() ds.Key { return ds.NewKey("/annals/mark") }

// Open reads what was kept.
func Open(ctx context.Context, cfg Config) (*Annals, error) {
	a := &Annals{cfg: cfg, ring: make(chan struct{}, 1)}
	raw, err := cfg.Store.Get(ctx, markKey())
	switch {
	case errors.Is(err, ds.ErrNotFound):
	case err != nil:
		return nil, fmt.Errorf("open annals: %w", err)
	case canon.Unmarshal(raw, &a.at) != nil:
		a.at = mark{} // damaged: everything is in the log
	}
	if a.removed, err = openShelf(ctx, cfg.Store); err != nil {
		return nil, fmt.Errorf("open annals: %w", err)
	}
	if a.merges, err = openReports(ctx, cfg.Store); err != nil {
		return nil, fmt.Errorf("open annals: %w", err)
	}
	a.Wake()
	return a, nil
}

// Wake says that the log has grown. It never waits.
func (a *Annals) Wake() {
	select {
	case a.ring <- struct{}{}:
	default:
	}
}

const (
	pruneEvery = time.Hour
	saveEvery  = 256         // entries between two marks
	quiet      = time.Minute // after which a merge is over
)

// Run reads until ctx ends. What it could not keep it tries again, and says so.
func (a *Annals) Run(ctx context.Context, failed func(error)) error {
	tick := time.NewTicker(quiet)
	defer tick.Stop()
	var pruned time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.ring:
		case <-tick.C:
		}
		err := a.read(ctx)
		if now := a.cfg.Now(); err == nil && now.Sub(pruned) >= pruneEvery {
			err = a.removed.prune(ctx, now.Add(-a.cfg.Retention()))
			pruned = now
		}
		if err == nil {
			err = a.merges.flush(ctx, a.cfg.Now())
		}
		if ctx.Err() == nil {
			failed(err)
		}
	}
}

// read takes in what the log has beyond the mark.
func (a *Annals) read(ctx context.Context) error {
	unsaved := 0
	for e, err := range a.cfg.History.History(ctx, a.at.Place) {
		if err != nil {
			return err
		}
		if e.Next.Epoch != a.at.Place.Epoch {
			a.merges.forget()
		}
		a.at.Joined = a.at.Joined || e.Author == a.cfg.Self
		if a.at.Joined {
			if err := a.take(ctx, e); err != nil {
				return err
			}
		}
		a.at.Place = e.Next
		if unsaved++; unsaved >= saveEvery {
			if err := a.save(ctx); err != nil {
				return err
			}
			unsaved = 0
		}
	}
	if unsaved == 0 {
		return nil
	}
	return a.save(ctx)
}

func (a *Annals) take(ctx context.Context, e Entry) error {
	now := a.cfg.Now()
	if err := a.removed.add(ctx, e, now); err != nil {
		return err
	}
	kept, err := a.merges.repinned(ctx, a.cfg.History, e)
	if err != nil {
		return err
	}
	if e.Author != a.cfg.Self {
		a.merges.note(e, kept, sight{now, a.cfg.Apart(e.Author)})
	}
	return nil
}

// save writes the mark, after what it stands for.
func (a *Annals) save(ctx context.Context) error {
	if err := a.merges.flush(ctx, a.cfg.Now()); err != nil {
		return err
	}
	raw, err := canon.Marshal(a.at)
	if err == nil {
		err = a.cfg.Store.Put(ctx, markKey(), raw)
	}
	if err != nil {
		return fmt.Errorf("keep annals: %w", err)
	}
	return nil
}
