package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/identity/identitytest"
	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/pinset"
)

// rig is a cluster whose state, network and trackers are fakes in one process.
// All peers see one state at once.
type rig struct {
	t     testing.TB
	ids   *identitytest.Cluster
	log   *fakeLog
	world *ipfsclienttest.World
	peers []*rigPeer

	mu  sync.Mutex
	cut map[[2]int]bool
}

// rigPeer is one peer with its neighbours.
type rigPeer struct {
	*Cluster
	index   int
	state   *fakeState
	net     *fakeNet
	tracker *fakeTracker
	node    *ipfsclienttest.Fake
	feed    *fakeFeed
	store   ds.Datastore
}

func newRig(t testing.TB, n int) *rig { return newRigWith(t, n, identity.DefaultPolicy(), nil) }

// newRigWith founds a cluster of n members; change may alter their records.
func newRigWith(t testing.TB, n int, p identity.Policy, change func(i int, r *identity.Record)) *rig {
	t.Helper()
	r := &rig{t: t, ids: identitytest.NewWith(t, n, p), world: &ipfsclienttest.World{}, cut: map[[2]int]bool{}}
	r.log = &fakeLog{rig: r, rows: map[string]fakeRow{}, seqs: map[peer.ID]uint64{}}
	r.log.authority = identity.NewAuthority(r.ids.Founding, r.ids.Secret)
	for i := range n {
		rec := r.ids.Record(i)
		if change != nil {
			change(i, &rec)
		}
		r.log.commit(r.ids.ID(i), Op{Key: identity.MemberKey(rec.Peer), Value: r.ids.Seal(i, rec)})
	}
	for i := range n {
		r.peers = append(r.peers, r.open(i, dssync.MutexWrap(ds.NewMapDatastore())))
	}
	return r
}

func (r *rig) open(i int, store ds.Datastore) *rigPeer {
	r.t.Helper()
	p := &rigPeer{index: i, state: &fakeState{fakeLog: r.log, self: r.ids.ID(i)}, node: r.world.Node(), store: store, feed: newFakeFeed()}
	m, err := OpenMembers(context.Background(), Config{
		Key: r.ids.Keys[i], Secret: r.ids.Secret, Founding: r.ids.Founding, Version: "test",
	}, Base{State: p.state, Node: p.node, Store: store})
	if err != nil {
		r.t.Fatal(err)
	}
	p.net = &fakeNet{rig: r, self: i, faults: map[int]askFault{}, said: map[int]PeerState{}}
	p.tracker = &fakeTracker{items: map[string]pinset.Local{}, log: &p.state.fakeLog.order}
	p.Cluster = New(m, Parts{Network: p.net, Tracker: p.tracker, Keeper: p.tracker, Feed: p.feed})
	return p
}

// fakeLog is the state that all peers share.
type fakeLog struct {
	rig       *rig
	mu        sync.Mutex
	rows      map[string]fakeRow
	seqs      map[peer.ID]uint64
	authority *identity.Authority
	fail      error    // of the next commits
	unsynced  error    // of Sync
	commits   [][]Op   // after the members' records
	order     []string // of what was done, for tests of order
	sum       Summary
	sumAt     int // commits that sum is of
}

type fakeRow struct {
	value  []byte
	author peer.ID
	seq    uint64
}

func (l *fakeLog) commit(author peer.ID, ops ...Op) (pinset.Receipt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return pinset.Receipt{}, l.fail
	}
	l.seqs[author]++
	seq := l.seqs[author]
	var ch Changes
	for _, op := range ops {
		if identity.IsControl(op.Key) {
			if err := l.authority.Check(author, []identity.Element{{Key: op.Key, Value: op.Value}}); err != nil {
				return pinset.Receipt{}, pinset.Wrap(pinset.KindForbidden, err, "commit")
			}
			l.authority = l.authority.With(identity.Entry{Author: author, Seq: seq, Priority: uint64(len(l.commits)) + seq, Key: op.Key, Value: op.Value})
			ch.Authority = true
		}
		if k, _, err := pinset.ParseKey(op.Key); err == nil {
			ch.CIDs = append(ch.CIDs, k)
		}
		if op.Value == nil {
			delete(l.rows, op.Key)
		} else {
			l.rows[op.Key] = fakeRow{op.Value, author, seq}
		}
	}
	l.commits = append(l.commits, ops)
	l.order = append(l.order, "commit")
	for _, p := range l.rig.peers {
		p.feed.put(ch)
	}
	return pinset.Receipt{Author: author, Seq: seq, Head: ipfsclienttest.CID(uint64(len(l.commits)))}, nil
}

// fakeState is the log as one peer writes it.
type fakeState struct {
	*fakeLog
	self peer.ID
}

func (s *fakeState) Commit(_ context.Context, ops ...Op) (pinset.Receipt, error) {
	return s.commit(s.self, ops...)
}

func (s *fakeState) get(key string) (fakeRow, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	row, ok := s.rows[key]
	if !ok {
		return row, pinset.NotFound("%s: not there", key)
	}
	return row, nil
}

func (s *fakeState) Pin(_ context.Context, c cid.Cid, owner string) (pinset.Pin, error) {
	row, err := s.get(pinset.Key(c, owner))
	if err != nil {
		return pinset.Pin{}, err
	}
	return pinset.Check(pinset.Key(c, owner), row.value)
}

func (s *fakeState) PinsOf(_ context.Context, c cid.Cid) (out []pinset.Pin, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	prefix := pinset.CIDPrefix(c)
	for _, owner := range []string{"-", "o" + "mfwgsy3f", "o" + "mjxwe"} { // those of the tests: alice, bob
		if row, ok := s.rows[prefix+owner]; ok {
			p, err := pinset.Decode(prefix+owner, row.value)
			if err != nil {
				return nil, err
			}
			out = append(out, p)
		}
	}
	return out, nil
}

func (s *fakeState) Pins(_ context.Context, after string) iter.Seq2[pinset.Pin, error] {
	s.mu.Lock()
	rows := maps.Clone(s.rows)
	s.mu.Unlock()
	return func(yield func(pinset.Pin, error) bool) {
		for _, k := range slices.Sorted(maps.Keys(rows)) {
			if k > after && strings.HasPrefix(k, pinset.PinPrefix) {
				if p, err := pinset.Decode(k, rows[k].value); !yield(p, err) {
					return
				}
			}
		}
	}
}

// History is empty: what the log tells is the test's to say.
func (s *fakeState) History(context.Context, Place) iter.Seq2[Entry, error] {
	return func(func(Entry, error) bool) {}
}

func (s *fakeState) Sync(context.Context) error { return s.unsynced }

func (s *fakeState) SizeOp(c cid.Cid, n uint64) Op {
	return Op{Key: "/s/" + pinset.V1(c).String(), Value: fmt.Append(nil, n)}
}

func (s *fakeState) Size(_ context.Context, c cid.Cid) (n uint64, err error) {
	row, err := s.get(s.SizeOp(c, 0).Key)
	if err != nil {
		return 0, nil
	}
	_, err = fmt.Sscan(string(row.value), &n)
	return n, err
}

func (s *fakeState) Origin(_ context.Context, key string) (peer.ID, uint64, error) {
	row, err := s.get(key)
	return row.author, row.seq, err
}

func (s *fakeState) Vector() map[peer.ID]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.seqs)
}

func (s *fakeState) Authority() *identity.Authority {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.authority
}

func (s *fakeState) Summary() Summary {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sumAt == len(s.commits) {
		return s.sum
	}
	var sum Summary
	h := sha256.New()
	for _, k := range slices.Sorted(maps.Keys(s.rows)) {
		fmt.Fprintf(h, "%s=%x;", k, s.rows[k].value)
		if strings.HasPrefix(k, pinset.PinPrefix) {
			sum.Count++
		}
	}
	h.Sum(sum.Digest[:0])
	s.sum, s.sumAt = sum, len(s.commits)
	return sum
}

// fakeFeed hands on what was committed since New.
type fakeFeed struct {
	mu   sync.Mutex
	wait Changes
	some bool
	wake chan struct{}
}

func newFakeFeed() *fakeFeed { return &fakeFeed{wake: make(chan struct{}, 1)} }

func (f *fakeFeed) put(c Changes) {
	f.mu.Lock()
	f.wait.CIDs = append(f.wait.CIDs, c.CIDs...)
	f.wait.Authority = f.wait.Authority || c.Authority
	f.some = true
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *fakeFeed) Next(ctx context.Context) (Changes, error) {
	for {
		f.mu.Lock()
		c, some := f.wait, f.some
		f.wait, f.some = Changes{}, false
		f.mu.Unlock()
		if some {
			return c, nil
		}
		select {
		case <-f.wake:
		case <-ctx.Done():
			return Changes{}, ctx.Err()
		}
	}
}

// askFault is how a member misbehaves when it is asked.
type askFault func(ctx context.Context, frames iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error]

// fakeNet connects the rig's peers by function calls.
type fakeNet struct {
	rig    *rig
	self   int
	mu     sync.Mutex
	faults map[int]askFault
	said   map[int]PeerState // what replaces the heartbeats
	addrs  []ma.Multiaddr
	shared [][]byte
	asked  int
}

func (n *fakeNet) Addrs() []ma.Multiaddr { return n.addrs }

// set makes a member misbehave; with nil it behaves again.
func (n *fakeNet) set(i int, fault askFault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults[i] = fault
}

func (n *fakeNet) Peers() []PeerState {
	var out []PeerState
	for i := range n.rig.peers {
		if i != n.self && n.rig.peers[i] != nil {
			out = append(out, n.stateOf(i))
		}
	}
	return out
}

func (n *fakeNet) stateOf(i int) PeerState {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s, ok := n.said[i]; ok {
		s.ID = n.rig.ids.ID(i)
		return s
	}
	s := PeerState{ID: n.rig.ids.ID(i), Connected: !n.rig.isCut(n.self, i), Addrs: n.rig.peers[i].net.addrs}
	if s.Connected {
		sum := n.rig.peers[i].state.Summary()
		s.LastHeard, s.Digest, s.Count = time.Now(), sum.Digest, sum.Count
		s.Statement = n.rig.peers[i].Seqs()[s.ID]
	}
	return s
}

// questions is how many were asked.
func (n *fakeNet) questions() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked
}

func (n *fakeNet) Ask(ctx context.Context, to peer.ID, q []byte) iter.Seq2[[]byte, error] {
	i := slices.IndexFunc(n.rig.ids.Keys, func(k identity.Key) bool { return k.ID() == to })
	n.mu.Lock()
	n.asked++
	fault := n.faults[i]
	n.mu.Unlock()
	frames := func(yield func([]byte, error) bool) {
		if n.rig.isCut(n.self, i) {
			yield(nil, errors.New("not connected"))
			return
		}
		stopped := errors.New("stopped")
		err := n.rig.peers[i].Answer(ctx, n.rig.ids.ID(n.self), q, func(b []byte) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if !yield(bytes.Clone(b), nil) {
				return stopped
			}
			return nil
		})
		if err != nil && !errors.Is(err, stopped) {
			yield(nil, err)
		}
	}
	if fault != nil {
		return fault(ctx, frames)
	}
	return frames
}

func (n *fakeNet) Share(raw []byte) {
	n.mu.Lock()
	n.shared = append(n.shared, raw)
	n.mu.Unlock()
	for i, p := range n.rig.peers {
		if i != n.self && p != nil && !n.rig.isCut(n.self, i) {
			if _, err := p.Accept(context.Background(), raw); err != nil {
				n.rig.t.Errorf("peer %d refuses a statement: %v", i, err)
			}
		}
	}
}

// hears makes a member's heartbeats say s; nil: what is true.
func (n *fakeNet) hears(i int, s *PeerState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if delete(n.said, i); s != nil {
		n.said[i] = *s
	}
}

func (n *fakeNet) shares() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.shared)
}

func hang(ctx context.Context, _ iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		<-ctx.Done()
		yield(nil, ctx.Err())
	}
}

func garbage(context.Context, iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) { yield([]byte{0xff, 1, 2}, nil) }
}

// tornAfter breaks an answer off after n frames.
func tornAfter(n int) askFault {
	return func(_ context.Context, frames iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			left := n
			for b, err := range frames {
				if left--; left < 0 {
					yield(nil, errors.New("the stream broke off"))
					return
				}
				if !yield(b, err) {
					return
				}
			}
		}
	}
}

func (r *rig) isCut(a, b int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cut[[2]int{min(a, b), max(a, b)}]
}

// split cuts every connection between the peers named and the others.
func (r *rig) split(side ...int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, i := range side {
		for j := range r.ids.Keys {
			if !slices.Contains(side, j) {
				r.cut[[2]int{min(i, j), max(i, j)}] = true
			}
		}
	}
}

// fakeTracker knows what it is told.
type fakeTracker struct {
	mu        sync.Mutex
	items     map[string]pinset.Local // by the key's prefix
	report    Report
	recovered []cid.Cid
	all       int
	protected []cid.Cid
	fail      error // of Protect
	log       *[]string
}

func (f *fakeTracker) set(l pinset.Local) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.items[pinset.CIDPrefix(l.CID)] = l
}

func (f *fakeTracker) Local(_ context.Context, c cid.Cid) (pinset.Local, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l, ok := f.items[pinset.CIDPrefix(c)]; ok {
		return l, nil
	}
	return pinset.Local{CID: c, Status: pinset.StatusRemote}, nil
}

func (f *fakeTracker) All(context.Context) iter.Seq2[pinset.Local, error] {
	f.mu.Lock()
	items := maps.Clone(f.items)
	f.mu.Unlock()
	return func(yield func(pinset.Local, error) bool) {
		for _, k := range slices.Sorted(maps.Keys(items)) {
			if !yield(items[k], nil) {
				return
			}
		}
	}
}

func (f *fakeTracker) Recover(_ context.Context, c cid.Cid) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.recovered = append(f.recovered, c)
	return nil
}

func (f *fakeTracker) RecoverAll(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all++
	return nil
}

func (f *fakeTracker) Protect(_ context.Context, c cid.Cid, _ string, _ uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return f.fail
	}
	f.protected = append(f.protected, c)
	*f.log = append(*f.log, "protect")
	return nil
}

func (f *fakeTracker) MarkName(name string) string { return "mark " + name }
func (f *fakeTracker) Usage() Usage                { return Usage{Used: 42, Queued: 7} }

func (f *fakeTracker) Report() Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.report
}

// reports makes the peer say that it holds all that is assigned to it, but for
// missing, under the present membership.
func (p *rigPeer) reports(missing ...cid.Cid) {
	p.tracker.mu.Lock()
	defer p.tracker.mu.Unlock()
	p.tracker.report = Report{
		Ready: true, Version: p.tracker.report.Version + 1, View: p.View().Digest(), Vector: p.state.Vector(),
		Items: 3, Bytes: 300, Exceptions: slices.Values(missing),
	}
}

// says makes the peer say so and the others hear it.
func (p *rigPeer) says(missing ...cid.Cid) {
	p.net.rig.t.Helper()
	p.reports(missing...)
	if err := p.say(context.Background()); err != nil {
		p.net.rig.t.Fatal(err)
	}
}

func (p *rigPeer) pin(pin pinset.Pin) pinset.Pin {
	p.net.rig.t.Helper()
	out, _, err := p.Pin(context.Background(), pin)
	if err != nil {
		p.net.rig.t.Fatal(err)
	}
	return out
}

func must[T any](t testing.TB, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func cidN(n int) cid.Cid { return ipfsclienttest.CID(uint64(n)) }

var same = cmp.Options{
	cmp.Comparer(func(a, b cid.Cid) bool { return a == b }),
	cmpopts.IgnoreUnexported(pinset.Pin{}),
}

func (s *fakeState) Follows(context.Context, uint64, uint64) (bool, error) { return true, nil }

func (s *fakeState) Known(context.Context, cid.Cid) (bool, error) { return true, nil }
