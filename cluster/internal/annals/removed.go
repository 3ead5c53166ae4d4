package annals

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/canon"
)

// What is kept of removed pins at most, the newest: pins, and deltas that took them
// out.
const (
	maxGone   = 1_000_000
	maxDeltas = 100_000
)

// Removed is a pin that was removed.
type Removed struct {
	Gone
	By  peer.ID
	Seq uint64 // of the delta
	At  time.Time
}

const gonePrefix = "/annals/gone/"

// shelf has a record for each delta that took pins out, and in memory where they are.
type shelf struct {
	store ds.Datastore

	mu    sync.Mutex
	rows  []shelved // in the order of the log
	count int       // pins
}

type shelved struct {
	key  string
	at   int64 // Unix seconds
	pins int
}

type goneRecord struct {
	Author []byte `cbor:"by"`
	Seq    uint64 `cbor:"seq"`
	At     int64  `cbor:"at"`
	Pins   []Gone `cbor:"pins"`
}

func openShelf(ctx context.Context, store ds.Datastore) (*shelf, error) {
	s := &shelf{store: store}
	rows, err := store.Query(ctx, query.Query{Prefix: gonePrefix})
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for row := range rows.Next() {
		if row.Error != nil {
			return nil, row.Error
		}
		var r goneRecord
		if canon.Unmarshal(row.Value, &r) != nil {
			continue
		}
		s.rows = append(s.rows, shelved{row.Key, r.At, len(r.Pins)})
		s.count += len(r.Pins)
	}
	slices.SortFunc(s.rows, func(a, b shelved) int { return strings.Compare(a.key, b.key) })
	return s, nil
}

// add keeps what an entry took out; twice is once.
func (s *shelf) add(ctx context.Context, e Entry, now time.Time) error {
	if len(e.Gone) == 0 {
		return nil
	}
	raw, err := canon.Marshal(goneRecord{[]byte(e.Author), e.Seq, now.Unix(), e.Gone})
	if err != nil {
		return fmt.Errorf("keep removed pins: %w", err)
	}
	key := fmt.Sprintf("%s%08x-%016x", gonePrefix, e.Next.Epoch, e.At)
	if err := s.store.Put(ctx, ds.NewKey(key), raw); err != nil {
		return fmt.Errorf("keep removed pins: %w", err)
	}
	s.mu.Lock()
	if i, again := slices.BinarySearchFunc(s.rows, key, func(r shelved, k string) int { return strings.Compare(r.key, k) }); !again {
		s.rows = slices.Insert(s.rows, i, shelved{key, now.Unix(), len(e.Gone)})
		s.count += len(e.Gone)
	}
	over := s.count > maxGone+maxGone/64 || len(s.rows) > maxDeltas+maxDeltas/64 // not at every one
	s.mu.Unlock()
	if over {
		return s.prune(ctx, time.Time{})
	}
	return nil
}

// prune drops what was removed before a time, and the oldest beyond the limits.
func (s *shelf) prune(ctx context.Context, before time.Time) error {
	s.mu.Lock()
	n, left := 0, s.count
	for n < len(s.rows) && (s.rows[n].at < before.Unix() || left > maxGone || len(s.rows)-n > maxDeltas) {
		left -= s.rows[n].pins
		n++
	}
	drop := slices.Clone(s.rows[:n])
	s.mu.Unlock()
	for _, r := range drop {
		if err := s.store.Delete(ctx, ds.NewKey(r.key)); err != nil {
			return fmt.Errorf("forget removed pins: %w", err)
		}
	}
	if n == 0 {
		return nil
	}
	s.mu.Lock()
	s.rows, s.count = slices.Delete(s.rows, 0, n), left
	s.mu.Unlock()
	if g, ok := s.store.(ds.GCDatastore); ok {
		return g.CollectGarbage(ctx)
	}
	return nil
}

// Removed yields the removals within the retention time, the newest first. A pin
// that was removed twice comes twice; one that is there again comes too. A delta that
// a new epoch took over was read twice, and comes once.
func (a *Annals) Removed(ctx context.Context) iter.Seq2[Removed, error] {
	return func(yield func(Removed, error) bool) {
		oldest := a.cfg.Now().Add(-a.cfg.Retention()).Unix()
		s := a.removed
		s.mu.Lock()
		rows := slices.Clone(s.rows)
		s.mu.Unlock()
		type delta struct {
			by  string
			seq uint64
		}
		told := map[delta]bool{}
		for _, row := range slices.Backward(rows) {
			if row.at < oldest {
				return
			}
			raw, err := s.store.Get(ctx, ds.NewKey(row.key))
			if errors.Is(err, ds.ErrNotFound) {
				continue // pruned meanwhile
			}
			var r goneRecord
			if err == nil {
				err = canon.Unmarshal(raw, &r)
			}
			if err != nil {
				yield(Removed{}, fmt.Errorf("read removed pins: %w", err))
				return
			}
			if told[delta{string(r.Author), r.Seq}] {
				continue
			}
			told[delta{string(r.Author), r.Seq}] = true
			for _, g := range r.Pins {
				if !yield(Removed{g, peer.ID(r.Author), r.Seq, time.Unix(r.At, 0).UTC()}, nil) {
					return
				}
			}
		}
	}
}
