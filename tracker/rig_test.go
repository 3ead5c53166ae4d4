package tracker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/pinset"
)

const (
	self     = peer.ID("self")
	testMark = "abcdefghijklmnop"
	gb       = uint64(1e9)
)

// sets is a pinset, its feed, the members and what they say, for one tracker.
type sets struct {
	mu      sync.Mutex
	pins    map[string]pinset.Pin
	sizes   map[key]uint64
	seq     uint64
	changed map[key]cid.Cid
	told    uint64
	rescan  bool
	wake    chan struct{}
	view    *allocation.View
	moved   chan struct{}
	covers  func(pinset.Pin, peer.ID) bool
	said    map[cid.Cid]bool // by all, under another membership
	away    map[peer.ID]bool // and whether for long
	gone    chan struct{}    // closed when that changes
	fails   error            // of reading the pins
}

func newSets(members ...peer.ID) *sets {
	s := &sets{pins: map[string]pinset.Pin{}, sizes: map[key]uint64{}, changed: map[key]cid.Cid{},
		wake: make(chan struct{}, 1), moved: make(chan struct{}), gone: make(chan struct{}),
		covers: func(pinset.Pin, peer.ID) bool { return false }}
	s.setMembers(members...)
	return s
}

func (s *sets) setMembers(ids ...peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var members []allocation.Member
	for _, id := range ids {
		members = append(members, allocation.Member{ID: id, Cap: 1 << 20, Phi: allocation.FullPhi})
	}
	s.view = allocation.NewView(members, allocation.Policy{Replication: pinset.Replication{Min: 1, Max: 1}})
	close(s.moved)
	s.moved = make(chan struct{})
}

func (s *sets) View() *allocation.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view
}

func (s *sets) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.moved
}

func (s *sets) Covered(_ context.Context, p pinset.Pin, by peer.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.covers(p, by)
}

// Said is Covered, but for what was said under another membership.
func (s *sets) Said(ctx context.Context, p pinset.Pin, by peer.ID) bool {
	s.mu.Lock()
	said := s.said[p.CID]
	s.mu.Unlock()
	return said || s.Covered(ctx, p, by)
}

func (s *sets) Away() (away, long map[peer.ID]bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	away, long = map[peer.ID]bool{}, map[peer.ID]bool{}
	for id, days := range s.away {
		if away[id] = true; days {
			long[id] = true
		}
	}
	return away, long, s.gone
}

// absent says who is away from now on, and whether for long.
func (s *sets) absent(away map[peer.ID]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
	close(s.gone)
	s.gone = make(chan struct{})
}

func (s *sets) cover(f func(pinset.Pin, peer.ID) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.covers = f
}

// pinAt returns a pin that names who shall hold it.
func pinAt(c cid.Cid, name string, holders ...peer.ID) pinset.Pin {
	p := pinset.Pin{CID: c, Name: name, Include: holders, Created: time.Unix(1, 0).UTC()}
	if n := len(holders); n > 0 {
		p.Replication = pinset.Replication{Min: n, Max: n}
	}
	p.Normalise()
	return p
}

func (s *sets) all() []pinset.Pin {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.pins))
}

func (s *sets) pin(pins ...pinset.Pin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range pins {
		s.pins[p.Key()] = p
		s.changed[keyOf(p.CID)] = p.CID
		s.seq++
	}
	poke(s.wake)
}

func (s *sets) unpin(c cid.Cid, owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pins, pinset.Key(c, owner))
	s.changed[keyOf(c)] = c
	s.seq++
	poke(s.wake)
}

func (s *sets) PinsOf(_ context.Context, c cid.Cid) ([]pinset.Pin, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != nil {
		return nil, s.fails
	}
	if p, ok := s.pins[pinset.Key(c, "")]; ok && len(s.pins) > 1000 {
		return []pinset.Pin{p}, nil // the many of a benchmark have one owner
	}
	var out []pinset.Pin
	for k, p := range s.pins {
		if strings.HasPrefix(k, pinset.CIDPrefix(c)) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b pinset.Pin) int { return cmp.Compare(a.Key(), b.Key()) })
	return out, nil
}

func (s *sets) Pins(_ context.Context, after string) iter.Seq2[pinset.Pin, error] {
	return func(yield func(pinset.Pin, error) bool) {
		s.mu.Lock()
		keys := slices.Sorted(maps.Keys(s.pins))
		s.mu.Unlock()
		for _, k := range keys {
			s.mu.Lock()
			p, ok := s.pins[k]
			err := s.fails
			s.mu.Unlock()
			if ok && k > after && !yield(p, err) {
				return
			}
		}
	}
}

func (s *sets) Size(_ context.Context, c cid.Cid) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sizes[keyOf(c)], nil
}

func (s *sets) Vector() map[peer.ID]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return map[peer.ID]uint64{"author": s.seq}
}

func (s *sets) Next(ctx context.Context) (Changes, error) {
	for {
		s.mu.Lock()
		if s.told != s.seq || s.rescan {
			c := Changes{CIDs: slices.Collect(maps.Values(s.changed)), Rescan: s.rescan,
				Vector: map[peer.ID]uint64{"author": s.seq}}
			s.told, s.rescan = s.seq, false
			clear(s.changed)
			s.mu.Unlock()
			return c, nil
		}
		s.mu.Unlock()
		select {
		case <-s.wake:
		case <-ctx.Done():
			return Changes{}, ctx.Err()
		}
	}
}

// disk is a ledger's store that loses what was not synced when it crashes, and
// fails as told: strike is asked before and after each write.
type disk struct {
	mu       sync.Mutex
	durable  *ds.MapDatastore
	seen     *ds.MapDatastore // what a running process sees
	unsynced []func(ds.Write)
	strike   func(when string) error
}

func newDisk() *disk { return &disk{durable: ds.NewMapDatastore(), seen: ds.NewMapDatastore()} }

// crash returns the store as it is found after kill -9.
func (d *disk) crash() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	again := newDisk()
	res, _ := d.durable.Query(context.Background(), query.Query{})
	all, _ := res.Rest()
	for _, e := range all {
		_ = again.durable.Put(context.Background(), ds.RawKey(e.Key), e.Value)
		_ = again.seen.Put(context.Background(), ds.RawKey(e.Key), e.Value)
	}
	return again
}

func (d *disk) write(op func(ds.Write)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.strike != nil {
		if err := d.strike("before"); err != nil {
			return err
		}
	}
	op(d.seen)
	d.unsynced = append(d.unsynced, op)
	if d.strike != nil {
		return d.strike("after")
	}
	return nil
}

func (d *disk) Put(ctx context.Context, k ds.Key, v []byte) error {
	return d.write(func(w ds.Write) { _ = w.Put(ctx, k, v) })
}

func (d *disk) Delete(ctx context.Context, k ds.Key) error {
	return d.write(func(w ds.Write) { _ = w.Delete(ctx, k) })
}

func (d *disk) Sync(context.Context, ds.Key) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, op := range d.unsynced {
		op(d.durable)
	}
	d.unsynced = nil
	return nil
}

func (d *disk) Get(ctx context.Context, k ds.Key) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen.Get(ctx, k)
}

func (d *disk) Has(ctx context.Context, k ds.Key) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen.Has(ctx, k)
}

func (d *disk) GetSize(ctx context.Context, k ds.Key) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen.GetSize(ctx, k)
}

func (d *disk) Query(ctx context.Context, q query.Query) (query.Results, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen.Query(ctx, q)
}

func (d *disk) Batch(context.Context) (ds.Batch, error) { return &diskBatch{disk: d}, nil }
func (d *disk) Close() error                            { return nil }

type diskBatch struct {
	disk *disk
	ops  []func(ds.Write)
}

func (b *diskBatch) Put(ctx context.Context, k ds.Key, v []byte) error {
	b.ops = append(b.ops, func(w ds.Write) { _ = w.Put(ctx, k, v) })
	return nil
}

func (b *diskBatch) Delete(ctx context.Context, k ds.Key) error {
	b.ops = append(b.ops, func(w ds.Write) { _ = w.Delete(ctx, k) })
	return nil
}

func (b *diskBatch) Commit(context.Context) error {
	return b.disk.write(func(w ds.Write) {
		for _, op := range b.ops {
			op(w)
		}
	})
}

// rig is a tracker with everything around it.
type rig struct {
	t     testing.TB
	world *ipfsclienttest.World
	node  *ipfsclienttest.Fake
	sets  *sets
	store ds.Batching
	cfg   Config
	deps  func(*Deps)
	*Tracker
	stop func()
}

// newRig returns a rig that is not running. Everything imaginable is provided, in
// DAGs of 1 KiB.
func newRig(t testing.TB, members ...peer.ID) *rig {
	w := &ipfsclienttest.World{Imagine: ipfsclienttest.Everything}
	if len(members) == 0 {
		members = []peer.ID{self}
	}
	r := &rig{t: t, world: w, sets: newSets(members...), store: newDisk(), stop: func() {}}
	r.cfg = Config{Self: self, Cluster: "cluster", Mark: testMark, Lent: func() uint64 { return 1000 * gb }}
	if os.Getenv("TRACKER_LOG") != "" {
		r.cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return r
}

// start runs a tracker over what is there. It may be called again after a stop.
func (r *rig) start() *rig {
	r.t.Helper()
	if r.node == nil {
		r.node = r.world.Node()
	}
	deps := Deps{State: r.sets, Feed: r.sets, Views: r.sets, Coverage: r.sets, Absence: r.sets, Node: r.node, Ledger: r.store}
	if r.deps != nil {
		r.deps(&deps)
	}
	tr, err := New(context.Background(), r.cfg, deps)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Tracker = tr
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- tr.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("Run: %v", err)
		}
	})
	return r
}

// kill stops the tracker as kill -9 does: what was not synced is gone.
func (r *rig) kill() {
	old := r.store.(*disk)
	found := old.crash()
	old.mu.Lock()
	old.strike = func(string) error { return errors.New("dead") }
	old.mu.Unlock()
	r.stop()
	r.store = found
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// settle lets everything that can happen now happen, and virtual time pass.
func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (r *rig) status(c cid.Cid) pinset.Local {
	r.t.Helper()
	l, err := r.Local(context.Background(), c)
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

func (r *rig) wantStatus(c cid.Cid, want pinset.Status) pinset.Local {
	r.t.Helper()
	l := r.status(c)
	if l.Status != want {
		r.t.Errorf("status of %s = %s (%s), want %s", c, l.Status, l.Error, want)
	}
	return l
}

// pinned says how the node has a CID: "" or "recursive name".
func (r *rig) pinned(c cid.Cid) string {
	r.t.Helper()
	p, err := r.node.PinOf(context.Background(), c)
	if pinset.KindOf(err) == pinset.KindNotFound && err != nil {
		return ""
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return fmt.Sprintf("%s %s", p.Mode, p.Name)
}

func (r *rig) wantPinned(c cid.Cid, want string) {
	r.t.Helper()
	if got := r.pinned(c); got != want {
		r.t.Errorf("node's pin of %s is %q, want %q", c, got, want)
	}
}

func (r *rig) ownerPins(c cid.Cid, mode pinset.Mode, name string) {
	r.t.Helper()
	if err := r.node.Pin(context.Background(), c, pinset.PinOptions{Mode: mode, Name: name}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) exceptions() []cid.Cid {
	rep := r.Report()
	if !rep.Ready {
		r.t.Error("report is not ready")
	}
	return slices.Collect(rep.Exceptions)
}

func mapStore() ds.Batching { return dssync.MutexWrap(ds.NewMapDatastore()) }
