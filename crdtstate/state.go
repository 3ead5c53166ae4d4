package crdtstate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	dsbadger "github.com/ipfs/go-ds-badger"
	dspebble "github.com/ipfs/go-ds-pebble"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pinfold/pinfold/crdtstate/internal/epoch"
	"github.com/pinfold/pinfold/crdtstate/internal/kv"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// Config of a State. All fields are needed but Log and Reserve.
type Config struct {
	Dir      string // made if missing; holds one directory for each epoch
	Store    string // "badger" or "pebble"; "memory" keeps nothing and is for tests
	Founding *identity.Founding
	Secret   identity.Secret
	Key      identity.Key
	Log      *slog.Logger
	Reserve  uint64 // bytes left free on the file system, below which nothing is written; 0: 64 MiB

	Compact bool          // begin a new epoch when the history has grown far beyond what is live
	Rest    time.Duration // between two epochs that other members ask for; 0: 10 minutes
}

const (
	defaultReserve = 64 << 20
	probeSize      = 16 << 20 // a memory table of a store, which opening may write out
)

// Validate names the field that is wrong. Errors are of kind KindInvalid.
func (c Config) Validate() error {
	switch {
	case c.Store != kv.Badger && c.Store != kv.Pebble && c.Store != kv.Memory:
		return pinset.Invalid("datastore %q: want badger or pebble", c.Store)
	case c.Dir == "" && c.Store != kv.Memory:
		return pinset.Invalid("state directory: missing")
	case c.Founding == nil:
		return pinset.Invalid("founding record: missing")
	case c.Key.Private() == nil:
		return pinset.Invalid("key: missing")
	}
	return nil
}

// outside is what a State has of the machine, and what tests replace.
type outside struct {
	disk  disk
	free  func() (uint64, error)
	probe func() error // whether the disk takes what opening the store may write
}

// State is the replicated state of one cluster at this peer. Its methods may be
// called concurrently.
type State struct {
	cfg     Config
	self    peer.ID
	log     *slog.Logger
	out     outside
	lock    *flock.Flock
	health  *health
	feeds   feeds
	lookups lookups

	// write is held by who works on the epoch; swap is held besides, while the epoch
	// is replaced, so that readers have one to read.
	write sync.Mutex
	swap  sync.RWMutex
	epoch *epoch.Epoch
	down  error // the last write failed: the epoch must be opened again

	number  uint64 // of the epoch; changed with write and swap held
	closing closing

	unsigned bool       // there may be pending deltas to be signed anew; used with write held
	stageM   sync.Mutex // held by who prepares an epoch
	adoption *adoption

	view    atomic.Pointer[view]
	vectorM sync.RWMutex // held while the feeds are told what brought the vector where it is
	vector  map[peer.ID]uint64

	queue     queue
	flusher   flusher
	announced chan Announcement
	cancel    context.CancelFunc
	committer sync.WaitGroup
	closeOnce sync.Once
	closeErr  error
}

// view is what was true after the last round.
type view struct {
	Summary
	authority *identity.Authority
	folded    uint64 // of the blocks: those of which only what is live is kept
}

// Open opens the state in cfg.Dir or makes a new one, which is empty until the
// founder's first delta is there. It refuses a directory that is open already
// (KindConflict) or was made by another kind of store (KindInvalid).
func Open(ctx context.Context, cfg Config) (*State, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Store == kv.Memory {
		return open(ctx, cfg, outside{
			disk:  &inMemory{},
			free:  func() (uint64, error) { return 1 << 40, nil },
			probe: func() error { return nil },
		})
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	return open(ctx, cfg, outside{
		disk:  directory{cfg.Dir, cfg.Store},
		free:  func() (uint64, error) { return kv.Free(cfg.Dir) },
		probe: func() error { return kv.Probe(cfg.Dir, probeSize) },
	})
}

func open(ctx context.Context, cfg Config, out outside) (_ *State, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Rest == 0 {
		cfg.Rest = defaultRest
	}
	if cfg.Reserve == 0 {
		cfg.Reserve = defaultReserve
	}
	s := &State{
		cfg: cfg, self: cfg.Key.ID(), log: cfg.Log.With("component", "crdtstate"), out: out,
		announced: make(chan Announcement, maxAnnounced), vector: map[peer.ID]uint64{},
	}
	s.health = newHealth()
	s.queue.init()
	s.flusher.awake = make(chan struct{}, 1)
	if cfg.Dir != "" && cfg.Store != kv.Memory {
		if s.lock, err = lockDir(cfg.Dir); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, s.lock.Close())
			}
		}()
	}
	if free, err := out.free(); err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	} else if free < probeSize {
		return nil, diskFull(free, cfg.Reserve)
	}
	if s.number, err = s.current(); err != nil {
		return nil, err
	}
	if s.epoch, err = s.openEpoch(ctx, s.number); err != nil {
		return nil, err
	}
	err = s.publishAll()
	if err == nil {
		err = s.loadClosing()
	}
	if err != nil {
		return nil, errors.Join(err, s.epoch.Close())
	}
	s.flusher.received() // the process before may have been killed before it flushed
	s.adoptIfDue()
	s.queue.wakeUp()
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.committer.Go(func() { s.runCommitter(running) })
	s.committer.Go(func() { s.runFlusher(running) })
	s.committer.Go(func() { s.runCloser(running) })
	return s, nil
}

// lockDir keeps a second process, or a second State, out of a directory.
func lockDir(dir string) (*flock.Flock, error) {
	lock := flock.New(filepath.Join(dir, "LOCK"))
	if ok, err := lock.TryLock(); err != nil {
		return nil, fmt.Errorf("lock state directory: %w", err)
	} else if !ok {
		return nil, pinset.Errorf(pinset.KindConflict, "state in %s: open already", dir).
			WithHint("is another pinfold running here? stop it first")
	}
	return lock, nil
}

// current is the number of the epoch in force. A crash may have come between its
// being written and its being on the disk: it is, before the others are removed.
func (s *State) current() (uint64, error) {
	n, err := s.out.disk.Current()
	if err == nil && n > 0 {
		err = s.out.disk.Begin(n)
	}
	if err == nil {
		err = s.out.disk.Clean(n)
	}
	return n, err
}

func (s *State) openEpoch(ctx context.Context, number uint64) (*epoch.Epoch, error) {
	db, err := s.out.disk.Open(number)
	if err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	e, err := epoch.Open(ctx, db, history, identity.NewAuthority(s.cfg.Founding, s.cfg.Secret))
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return e, nil
}

// history is signed in every delta: a cluster has one, through all its epochs.
const history = 0

// Close waits for the write under way, refuses those that wait, and closes the
// store.
func (s *State) Close() error {
	s.closeOnce.Do(func() {
		s.queue.close()
		s.cancel()
		s.committer.Wait()
		s.write.Lock()
		defer s.write.Unlock()
		s.swap.Lock()
		defer s.swap.Unlock()
		close(s.announced)
		s.feeds.close()
		s.closeErr = s.epoch.Close()
		s.epoch, s.down = nil, errClosed
		s.lookups.clear()
		if s.lock != nil {
			s.closeErr = errors.Join(s.closeErr, s.lock.Close())
		}
	})
	return s.closeErr
}

var errClosed = pinset.Errorf(pinset.KindUnavailable, "the state is closed")

// read runs f on the epoch while nobody replaces it.
func (s *State) read(f func(*epoch.Epoch) error) error {
	s.swap.RLock()
	defer s.swap.RUnlock()
	if s.epoch == nil {
		return errClosed
	}
	return f(s.epoch)
}

// ready is called with write held, before a write: it opens the epoch again if the
// last write failed, and refuses when the disk is nearly full.
func (s *State) ready(ctx context.Context) error {
	if errors.Is(s.down, errClosed) {
		return errClosed
	}
	free, err := s.out.free()
	if err != nil {
		return pinset.Wrap(pinset.KindUnavailable, err, "write state")
	}
	if free < s.cfg.Reserve {
		return diskFull(free, s.cfg.Reserve)
	}
	if s.down == nil {
		s.health.well()
		return nil
	}
	if err := s.out.probe(); err != nil {
		// The old epoch still reads; opening it again could wait for the disk for ever.
		return pinset.Wrap(pinset.KindUnavailable, errors.Join(s.down, err), "write state: the disk takes nothing")
	}
	return s.reopen(ctx)
}

func diskFull(free, reserve uint64) error {
	return pinset.Errorf(pinset.KindUnavailable, "disk full: %s free, pinfold writes nothing below %s",
		pinset.FormatSize(free), pinset.FormatSize(reserve)).WithHint("make room on the disk; nothing is lost, and writing goes on by itself")
}

// reopen replaces an epoch whose last write failed by what is on the disk.
func (s *State) reopen(ctx context.Context) error {
	s.swap.Lock()
	defer s.swap.Unlock()
	if s.epoch != nil {
		if err := s.epoch.Close(); err != nil {
			s.log.Warn("close store after a failure", "err", err)
		}
	}
	s.epoch = nil
	number, err := s.current()
	var e *epoch.Epoch
	if err == nil {
		e, err = s.openEpoch(ctx, number)
	}
	if err != nil {
		s.down = err
		return pinset.Wrap(pinset.KindUnavailable, err, "open the state again")
	}
	s.epoch, s.number, s.down = e, number, nil
	s.lookups.clear()
	s.health.well()
	s.flusher.received()
	s.log.Info("store opened again after a failure")
	err = s.publishAll()
	s.feeds.rescan() // a change that failed half-way may be there now
	return err
}

// broke is called with write held when a write failed, for whatever reason: what
// is in memory may be ahead of the disk.
func (s *State) broke(err error) error {
	s.down = err
	s.flusher.due.Store(true) // it will see whether the store can be opened again
	s.health.failed(err)
	s.log.Error("write state", "err", err)
	return pinset.Wrap(pinset.KindUnavailable, err, "write state")
}

// publish shows the outcome of a round to readers and feeds.
func (s *State) publish(o epoch.Outcome) error {
	e := s.epoch
	auth, err := e.Authority()
	if err != nil {
		return err
	}
	changed := changedCIDs(o)
	s.lookups.forget(changed)
	s.view.Store(&view{summarise(e), auth, e.Reader().Folded()})
	s.health.forks(o.Forks)
	s.vectorM.Lock()
	defer s.vectorM.Unlock()
	for a := range e.Lately() {
		s.vector[a.ID] = a.Seq
	}
	s.feeds.notify(changed, o.Control)
	return nil
}

// publishAll is publish for an epoch that was just opened.
func (s *State) publishAll() error {
	s.unsigned = true
	s.vectorM.Lock()
	clear(s.vector)
	for _, a := range s.epoch.Authors() {
		s.vector[a.ID] = a.Seq
	}
	s.vectorM.Unlock()
	forks, err := s.epoch.Reader().Forks()
	if err != nil {
		return err
	}
	return s.publish(epoch.Outcome{Forks: forks})
}

// OpenStore opens a plain datastore of a kind ("badger", "pebble", "memory") with
// the same settings as the state's own: small, and synced only on demand.
func OpenStore(kind, dir string) (ds.Batching, error) {
	if kind == kv.Memory {
		return dssync.MutexWrap(ds.NewMapDatastore()), nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make store directory: %w", err)
	}
	switch kind {
	case kv.Badger:
		return dsbadger.NewDatastore(dir, kv.BadgerOptions())
	case kv.Pebble:
		return dspebble.NewDatastore(dir, dspebble.WithPebbleOpts(kv.PebbleOptions(vfs.Default)), dspebble.WithCacheSize(1<<20))
	}
	return nil, pinset.Invalid("datastore %q: want badger or pebble", kind)
}
