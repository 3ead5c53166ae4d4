package crdtstate

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pinfold/pinfold/crdtstate/internal/epoch"
	"github.com/pinfold/pinfold/crdtstate/internal/kv"
	"github.com/pinfold/pinfold/pinset"
)

// flushTime bounds how long what others sent may wait for the disk. They have it
// too, and a crash cuts the log at its end: what is lost is asked for again. What
// this peer writes itself waits for nothing, and takes along all that came before.
const flushTime = 200 * time.Millisecond

// flusher knows whether received deltas have reached the disk.
type flusher struct {
	mu    sync.Mutex  // held while the disk is flushed
	due   atomic.Bool // set and, by own writes, cleared with State.write held
	awake chan struct{}
}

// received is called with write held, after a round that was not flushed.
func (f *flusher) received() {
	f.due.Store(true)
	select {
	case f.awake <- struct{}{}:
	default:
	}
}

// Sync returns when everything merged so far has reached the disk. This peer must
// not give its word on less. KindUnavailable: it cannot be written.
func (s *State) Sync(ctx context.Context) error {
	s.flusher.mu.Lock()
	defer s.flusher.mu.Unlock()
	if !s.flusher.due.Load() {
		return nil
	}
	if err := s.revive(ctx); err != nil {
		return err
	}
	s.flusher.due.Store(false)
	err := s.read(func(e *epoch.Epoch) error { return e.DB().Apply(&kv.Batch{}, true) })
	if err == nil {
		return nil
	}
	s.write.Lock()
	defer s.write.Unlock()
	if s.down != nil {
		s.flusher.due.Store(true)
		return pinset.Wrap(pinset.KindUnavailable, s.down, "write state")
	}
	return s.broke(err)
}

// revive opens the epoch again if a write failed. A disk that could not be
// flushed once says the next time that all is well.
func (s *State) revive(ctx context.Context) error {
	s.write.Lock()
	defer s.write.Unlock()
	if s.down == nil {
		return nil
	}
	return s.ready(ctx)
}

// recoverTime is between attempts to open a store that failed, if nobody writes.
const recoverTime = 5 * time.Second

// runFlusher flushes what was received, until ctx ends.
func (s *State) runFlusher(ctx context.Context) {
	wait := time.NewTimer(0)
	defer wait.Stop()
	beat := time.NewTicker(recoverTime)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		case <-s.flusher.awake:
			wait.Reset(flushTime)
			select {
			case <-ctx.Done():
				return
			case <-wait.C:
			}
		}
		_ = s.Sync(ctx) // the state's health says it
	}
}
