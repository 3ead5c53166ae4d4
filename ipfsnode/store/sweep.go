package store

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// sweepBatch is how many blocks are deleted before those wait no longer who want to
// touch one.
const sweepBatch = 64

var errStopped = errors.New("stopped")

// Collect deletes every block that is neither in the set which mark returns nor
// touched by a session that was at work at any time since mark was called, and
// yields it as a raw CIDv1. A pin counts if mark sees it or if its session ended
// after Collect began. One collection runs at a time; a second one waits.
func (s *Store) Collect(ctx context.Context, mark func(context.Context) (*Seen, error)) iter.Seq2[cid.Cid, error] {
	return func(yield func(cid.Cid, error) bool) {
		select {
		case s.collector <- struct{}{}:
			defer func() { <-s.collector }()
		case <-ctx.Done():
			yield(cid.Undef, ctx.Err())
			return
		}
		s.retain(true)
		defer s.retain(false)
		live, err := mark(ctx)
		if err != nil {
			yield(cid.Undef, err)
			return
		}
		defer live.Close()
		for part := range shards {
			if err := s.sweep(ctx, part, live, yield); err != nil {
				if err != errStopped {
					yield(cid.Undef, fmt.Errorf("sweep blocks: %w", err))
				}
				return
			}
		}
	}
}

// retain keeps the sessions that end, or lets them go.
func (s *Store) retain(on bool) {
	s.sessionsMu.Lock()
	defer s.sessionsMu.Unlock()
	s.collecting = on
	for ss := range s.sessions {
		if !on && ss.ended {
			delete(s.sessions, ss)
			ss.seen.Close()
		}
	}
}

func (s *Store) sweep(ctx context.Context, part int, live *Seen, yield func(cid.Cid, error) bool) error {
	var batch []multihash.Multihash
	remove := func() error {
		gone, err := s.removeUntouched(ctx, batch)
		batch = batch[:0]
		for _, h := range gone {
			if !yield(cid.NewCidV1(cid.Raw, h), nil) {
				return errStopped
			}
		}
		return err
	}
	err := s.disk.scan(ctx, part, func(b stored) error {
		if has, err := live.Has(b.hash); err != nil || has {
			return err
		}
		if batch = append(batch, b.hash); len(batch) < sweepBatch {
			return nil
		}
		return remove()
	})
	if err != nil {
		return err
	}
	return remove()
}

// removeUntouched deletes those blocks that no session has touched, and returns them.
func (s *Store) removeUntouched(ctx context.Context, hashes []multihash.Multihash) (gone []multihash.Multihash, err error) {
	s.touch.Lock()
	defer s.touch.Unlock()
	s.sessionsMu.Lock()
	var at []*Session
	for ss := range s.sessions {
		at = append(at, ss)
	}
	s.sessionsMu.Unlock()
next:
	for _, h := range hashes {
		for _, ss := range at {
			if held, err := ss.seen.Has(h); err != nil {
				return gone, err
			} else if held {
				continue next
			}
		}
		removed, err := s.remove(ctx, h)
		if err != nil {
			return gone, err
		}
		if removed {
			gone = append(gone, h)
		}
	}
	return gone, nil
}
