package crdtstate

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/boxo/datastore/dshelp"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-ds-crdt/pb"

	"github.com/pinfold/pinfold/crdtstate/internal/block"
	"github.com/pinfold/pinfold/crdtstate/internal/epoch"
	"github.com/pinfold/pinfold/crdtstate/internal/gate"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// Op is one change: a value for a key, or with a nil Value the removal of the key
// as this peer sees it now.
type Op struct {
	Key   string
	Value []byte
}

// SizeOp records how many bytes the distinct blocks of a DAG have.
func SizeOp(c cid.Cid, bytes uint64) Op { return Op{gate.SizeKey(c), gate.EncodeSize(bytes)} }

// MaxOps is how many changes fit into one Commit, and into one delta.
const MaxOps = 500

const (
	groupBytes = 768 << 10
	opOverhead = 80 // bytes of a removal's id, of field tags and lengths
)

// Commit makes the changes and returns when they are merged here, on this peer's
// disk, and queued for announcement. Concurrent calls share a delta. Of two changes
// of one key the later counts. A call that changes nothing
// (removals of what is not there) returns a receipt without a head.
//
// Errors: KindInvalid for a key or value that no peer would admit, KindForbidden
// for what this peer may not write, KindUnavailable when the disk is full or
// failed, or the state has no founding delta yet. When ctx ends first, or the disk
// fails in the middle, the changes may still be made.
func (s *State) Commit(ctx context.Context, ops ...Op) (pinset.Receipt, error) {
	r := &request{ops: ops, done: make(chan struct{})}
	if len(ops) > MaxOps {
		return pinset.Receipt{}, pinset.Invalid("%d changes at once: at most %d", len(ops), MaxOps)
	}
	r.elems = make([]identity.Element, len(ops))
	for i, op := range ops {
		if err := checkOp(op); err != nil {
			return pinset.Receipt{}, err
		}
		r.elems[i] = identity.Element{Key: op.Key, Value: op.Value, Tombstone: op.Value == nil}
		r.size += len(op.Key) + len(op.Value) + opOverhead
	}
	if r.size > groupBytes {
		return pinset.Receipt{}, pinset.Invalid("%d bytes of changes at once: at most %d", r.size, groupBytes)
	}
	if err := s.queue.put(r); err != nil {
		return pinset.Receipt{}, err
	}
	select {
	case <-r.done:
		return r.receipt, r.err
	case <-ctx.Done():
		return pinset.Receipt{}, pinset.Wrap(pinset.KindTimeout, ctx.Err(), "commit: not confirmed, it may still happen")
	}
}

func checkOp(op Op) error {
	var err error
	switch {
	case op.Value != nil:
		err = gate.CheckValue(op.Key, op.Value)
	case !removable(op.Key):
		err = fmt.Errorf("key %q: cannot be removed", op.Key)
	default:
		err = gate.CheckKey(op.Key)
	}
	if err != nil {
		return pinset.Wrap(pinset.KindInvalid, err, "commit")
	}
	return nil
}

// removable keys are those whose elements may be tombstoned: by a removal, or by
// an update, which replaces what it saw.
func removable(key string) bool {
	return strings.HasPrefix(key, pinset.PinPrefix) || strings.HasPrefix(key, identity.FollowPrefix)
}

// request is one call of Commit.
type request struct {
	ops     []Op
	elems   []identity.Element
	size    int
	receipt pinset.Receipt
	err     error
	done    chan struct{}
}

// queue holds the calls that wait for the next delta.
type queue struct {
	mu      sync.Mutex
	waiting []*request
	adopt   bool // a merge of the heads is due, whether or not anyone writes
	closed  bool
	ring    chan struct{}
}

func (q *queue) init() { q.ring = make(chan struct{}, 1) }

func (q *queue) put(r *request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return errClosed
	}
	q.waiting = append(q.waiting, r)
	q.wake()
	return nil
}

func (q *queue) wantAdoption() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.adopt = true
	q.wake()
}

func (q *queue) wakeUp() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wake()
}

func (q *queue) wake() {
	select {
	case q.ring <- struct{}{}:
	default:
	}
}

// take returns the next group: what waits, up to the limits of one delta.
func (q *queue) take() (group []*request, adopt bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, ops, size := 0, 0, 0
	for _, r := range q.waiting {
		ops, size = ops+len(r.ops), size+r.size
		if n > 0 && (ops > MaxOps || size > groupBytes) {
			break
		}
		n++
	}
	group, adopt = q.waiting[:n:n], q.adopt
	q.waiting, q.adopt = q.waiting[n:], false
	if len(q.waiting) > 0 {
		q.wake()
	}
	return group, adopt
}

// close refuses all calls from now on, and those that wait.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, r := range q.waiting {
		r.err = errClosed
		close(r.done)
	}
	q.waiting = nil
}

// The committer steps aside so often in a row without a further call having come,
// and for so long at most: where very much runs, one time may take a while.
const (
	yields     = 16
	gatherTime = 3 * time.Millisecond
)

// gather lets whoever runs already put its call in. On a machine that is not busy
// it takes no time; on a busy one callers wait for a processor, not for the disk,
// and groups of a few would cost every peer a block and a signature each.
func (q *queue) gather() {
	end := time.Now().Add(gatherTime)
	for seen, quiet := 0, 0; quiet < yields && seen < MaxOps && time.Now().Before(end); quiet++ {
		runtime.Gosched()
		if n := q.length(); n > seen {
			seen, quiet = n, 0
		}
	}
}

func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// runCommitter writes one group after the other. There is no timer: a group is
// what queued up while the last one was synced.
func (s *State) runCommitter(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.queue.ring:
		}
		s.queue.gather()
		group, adopt := s.queue.take()
		s.commitGroup(ctx, group, adopt)
	}
}

func (s *State) commitGroup(ctx context.Context, group []*request, adopt bool) {
	defer func() {
		for _, r := range group {
			close(r.done)
		}
	}()
	s.write.Lock()
	defer s.write.Unlock()
	if err := s.writePending(ctx); err != nil {
		s.log.Warn("sign anew what was not in the epoch's genesis", "err", err)
	}
	if len(group) == 0 && !adopt {
		return
	}
	receipt, err := s.writeGroup(ctx, group, adopt)
	for _, r := range group {
		if r.err == nil {
			r.receipt, r.err = receipt, err
		}
	}
	if err == nil {
		s.adoptIfDue()
	} else if len(group) == 0 {
		s.log.Warn("adopt the deltas of a removed member", "err", err)
	}
}

// writeGroup makes, admits, merges, syncs and announces one delta of all requests
// that are allowed; the others get their error. Removals of what many have pinned
// at the same time may need more than one. It makes none when nothing changes.
func (s *State) writeGroup(ctx context.Context, group []*request, adopt bool) (pinset.Receipt, error) {
	receipt := pinset.Receipt{Author: s.self}
	if err := s.ready(ctx); err != nil {
		return receipt, err
	}
	e := s.epoch
	receipt.Seq = e.Seq(s.self)
	auth, err := e.Authority()
	if err != nil {
		return receipt, s.broke(err)
	}
	adopt = adopt && auth.Is(s.self) && orphaned(e, auth)
	for d := s.draft(e, auth, group); ; adopt = false {
		delta, err := d.delta()
		if err != nil {
			return receipt, s.broke(err)
		}
		if len(delta.Elements)+len(delta.Tombstones) == 0 && !adopt {
			_, err := e.Settle(ctx, false) // lets go of the cells that were looked at
			return receipt, err
		}
		b, err := s.writeDelta(ctx, delta)
		if err != nil {
			return receipt, err
		}
		receipt.Seq, receipt.Head = b.Seq, b.CID
		s.announce(Announcement{b.CID, b.Raw})
		if len(d.ops) == 0 {
			return receipt, nil
		}
	}
}

// writeDelta makes a block of a delta, and it durable.
func (s *State) writeDelta(ctx context.Context, delta *pb.Delta) (*block.Block, error) {
	e := s.epoch
	b, err := s.seal(e, delta)
	if err != nil {
		return nil, err
	}
	if err := e.Admit(gate.Trusted(b)); isVerdict(err) {
		return nil, pinset.Wrap(pinset.KindForbidden, err, "commit")
	} else if err != nil {
		return nil, s.broke(fmt.Errorf("own delta: %w", err))
	}
	out, err := e.Settle(ctx, true)
	if err != nil {
		return nil, s.broke(err)
	}
	s.flusher.due.Store(false)
	if err := s.publish(out); err != nil {
		return nil, s.broke(err)
	}
	return b, nil
}

// draft is all requests that are allowed; the others get their error.
func (s *State) draft(e *epoch.Epoch, auth *identity.Authority, group []*request) *draft {
	d := &draft{e: e, at: map[string]int{}}
	for _, r := range group {
		if r.err = s.allowed(e, auth, r); r.err != nil {
			continue
		}
		for _, op := range r.ops {
			d.add(op)
		}
	}
	return d
}

// allowed says whether one request by itself may be written now.
func (s *State) allowed(e *epoch.Epoch, auth *identity.Authority, r *request) error {
	if e.Blocks() == 0 && s.self != s.cfg.Founding.Founder() {
		return pinset.Errorf(pinset.KindUnavailable, "commit: nothing of the cluster has arrived here yet")
	}
	if err := auth.Check(s.self, r.elems); err != nil {
		kind := pinset.KindForbidden
		if errors.Is(err, identity.ErrNewer) {
			kind = pinset.KindUnavailable
		}
		return pinset.Wrap(kind, err, "commit")
	}
	return nil
}

func (s *State) seal(e *epoch.Epoch, d *pb.Delta) (*block.Block, error) {
	d.Priority = 1
	parents := make([]cid.Cid, len(e.Heads()))
	for i, h := range e.Heads() {
		parents[i] = h.CID
		d.Priority = max(d.Priority, h.Height+1)
	}
	env := block.Envelope{Author: s.self, Seq: e.Seq(s.self) + 1, Epoch: e.Number()}
	b, err := block.Seal(string(s.cfg.Founding.ID()), s.cfg.Key.Private(), env, d, parents)
	return b, pinset.Wrap(pinset.KindInternal, err, "commit")
}

// draft collects the changes of a group: the last one of each key.
type draft struct {
	e   *epoch.Epoch
	ops []Op
	at  map[string]int
}

func (d *draft) add(op Op) {
	if i, again := d.at[op.Key]; again {
		d.ops[i] = op
		return
	}
	d.at[op.Key] = len(d.ops)
	d.ops = append(d.ops, op)
}

// delta turns changes into elements and exact removals: an update or a removal
// takes out the elements that are live here, and no others, so that what others
// write at the same time stays. What does not fit of the removals remains in ops,
// for the next delta.
func (d *draft) delta() (*pb.Delta, error) {
	out := &pb.Delta{}
	room := block.MaxElements // for removals beyond the first of each change
	for _, op := range d.ops {
		if room--; op.Value != nil {
			room--
		}
	}
	ops := d.ops
	d.ops = nil
	for _, op := range ops {
		value, live, err := d.e.Live(op.Key)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(op.Key, identity.SizePrefix) && value != nil && !greaterSize(op.Value, value) {
			continue // the greater size is there
		}
		if op.Value != nil {
			out.Elements = append(out.Elements, &pb.Element{Key: op.Key, Value: op.Value})
		}
		if !removable(op.Key) {
			continue
		}
		fit := min(len(live), 1+room)
		room -= max(fit-1, 0)
		for _, id := range live[:fit] {
			out.Tombstones = append(out.Tombstones, &pb.Element{Key: op.Key, Id: dshelp.MultihashToDsKey(id.Hash()).String()})
		}
		if fit < len(live) && op.Value == nil { // of an update its own element wins
			d.ops = append(d.ops, op)
		}
	}
	return out, nil
}

func greaterSize(a, b []byte) bool {
	x, err := gate.DecodeSize(a)
	if err != nil {
		return false
	}
	y, err := gate.DecodeSize(b)
	return err != nil || x > y
}

// orphaned says whether a tip is by someone who is no member any more. Who holds
// such a tip answers for it by linking to it, else peers that hear of it later
// would refuse what this peer has merged.
func orphaned(e *epoch.Epoch, auth *identity.Authority) bool {
	for _, h := range e.Heads() {
		if !auth.Is(h.Author) {
			return true
		}
	}
	return false
}

// adoptIfDue is called with write held, after a round.
func (s *State) adoptIfDue() {
	if s.unsigned {
		s.queue.wakeUp() // perhaps it may be signed now
	}
	auth := s.Authority()
	if auth.Is(s.self) && orphaned(s.epoch, auth) {
		s.queue.wantAdoption()
	}
}
