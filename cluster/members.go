package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/allocation"
	"github.com/pinfold/pinfold/cluster/internal/annals"
	"github.com/pinfold/pinfold/cluster/internal/contact"
	"github.com/pinfold/pinfold/cluster/internal/roster"
	"github.com/pinfold/pinfold/cluster/internal/sides"
	"github.com/pinfold/pinfold/cluster/internal/silence"
	"github.com/pinfold/pinfold/cluster/internal/statement"
	"github.com/pinfold/pinfold/cluster/internal/upkeep"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// Members is what this peer knows of its cluster's members: who they are and so
// who holds what (View, Changed), what they say they hold (Seqs, Record, Accept,
// Covered), and how their IPFS nodes are reached (ConnectHolders). It answers
// their questions (Answer). It is safe for concurrent use.
//
// Before New has joined it to a network and a tracker, ConnectHolders does
// nothing and Answer says that this peer is starting.
type Members struct {
	cfg  Config
	base Base
	self peer.ID

	book     *statement.Book
	contacts *contact.Book
	sizes    *upkeep.Queue[foundSize]
	silence  *silence.Book
	away     *silence.Away
	sides    *sides.Watch
	annals   *annals.Annals
	parts    atomic.Pointer[Parts]
	summed   atomic.Pointer[sums]

	amending sync.Mutex // this peer's record is written by one at a time

	mu      sync.Mutex
	from    *identity.Authority // that view was computed from
	policy  allocation.Policy
	view    *allocation.View
	changed chan struct{} // closed when view is replaced
	nearAt  time.Time
	nearIDs []peer.ID // could be reached at nearAt
}

// OpenMembers reads what is known of the members from the store.
func OpenMembers(ctx context.Context, cfg Config, b Base) (*Members, error) {
	cfg = cfg.withDefaults()
	m := &Members{cfg: cfg, base: b, self: cfg.Key.ID(), sizes: upkeep.NewQueue[foundSize](65536), changed: make(chan struct{}),
		away: silence.NewAway(cfg.Outage), sides: sides.NewWatch(cfg.Lately)}
	var err error
	m.book, err = statement.OpenBook(ctx, b.Store, cfg.Key, cfg.Founding.ID(), func(id peer.ID) bool { return b.State.Authority().Is(id) })
	if err != nil {
		return nil, pinset.Wrap(pinset.KindUnavailable, err, "open members")
	}
	if m.silence, err = silence.Open(ctx, b.Store); err != nil {
		return nil, pinset.Wrap(pinset.KindUnavailable, err, "open members")
	}
	if m.contacts, err = contact.Open(ctx, b.Store); err != nil {
		return nil, pinset.Wrap(pinset.KindUnavailable, err, "open members")
	}
	m.annals, err = annals.Open(ctx, annals.Config{Self: m.self, Store: b.Store, History: b.State, Now: cfg.Now,
		Retention: func() time.Duration { return b.State.Authority().Policy().Retention },
		Apart:     func(id peer.ID) bool { return m.sides.Apart(id, cfg.Now()) }})
	if err != nil {
		return nil, pinset.Wrap(pinset.KindUnavailable, err, "open members")
	}
	return m, nil
}

// View returns the allocation under the present membership and policy.
func (m *Members) View() *allocation.View {
	a := m.base.State.Authority()
	m.mu.Lock()
	defer m.mu.Unlock()
	if a == m.from {
		return m.view
	}
	members, policy := roster.Of(a)
	view := allocation.NewView(members, policy)
	m.from = a
	if m.view != nil && m.view.Digest() == view.Digest() && m.policy == policy {
		return m.view // a new name or seq: the plans made so far still hold
	}
	m.view, m.policy = view, policy
	close(m.changed)
	m.changed = make(chan struct{})
	return view
}

// Changed returns a channel that is closed when View has changed after the call.
func (m *Members) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// Seqs returns the seq of each member's latest statement.
func (m *Members) Seqs() map[peer.ID]uint64 { return m.book.Seqs() }

// Record returns the bytes of a member's latest statement, nil: none.
func (m *Members) Record(id peer.ID) []byte { return m.book.Record(id) }

// Accept verifies a statement and keeps it if it is newer than what is here;
// fresh says whether it was.
func (m *Members) Accept(ctx context.Context, raw []byte) (fresh bool, err error) {
	return m.book.Accept(ctx, raw)
}

// Covered says whether the latest statement of a member is that it holds the pin:
// it was made under the present membership, knew the pin's latest change, and
// does not except it. An error while reading is a no.
func (m *Members) Covered(ctx context.Context, p pinset.Pin, by peer.ID) bool {
	s, view := m.book.Latest(by), m.View()
	if s == nil || s.View != view.Digest() || !m.said(ctx, s, p) || !m.knewPolicy(ctx, s) {
		return false
	}
	size, err := m.base.State.Size(ctx, p.CID)
	if err != nil || size >= roster.ClassSize && size > p.Size && !m.knew(ctx, s, m.base.State.SizeOp(p.CID, size).Key) {
		return false
	}
	return view.Holds(by, roster.Item(p, size))
}

// Said says whether the latest statement of a member, whatever the membership was
// when it made it, knew the pin's latest change and does not except it.
func (m *Members) Said(ctx context.Context, p pinset.Pin, by peer.ID) bool {
	s := m.book.Latest(by)
	return s != nil && m.said(ctx, s, p)
}

func (m *Members) said(ctx context.Context, s *statement.Statement, p pinset.Pin) bool {
	return !s.Except.Has(statement.Hash(p.CID.Hash())) && m.knew(ctx, s, p.Key())
}

// Away returns the members that were not heard for longer than an outage that
// moves nothing, and those of them that were silent for as long as the policy
// demands before others may say that they are gone. The maps do not change.
// Changed is closed when they are no longer right.
func (m *Members) Away() (away, long map[peer.ID]bool, changed <-chan struct{}) { return m.away.Now() }

func (m *Members) knew(ctx context.Context, s *statement.Statement, key string) bool {
	author, seq, err := m.base.State.Origin(ctx, key)
	return err == nil && s.Covers(author, seq)
}

// knewPolicy: the view's digest says nothing of the policy, which has a part in
// who holds what.
func (m *Members) knewPolicy(ctx context.Context, s *statement.Statement) bool {
	author, seq, err := m.base.State.Origin(ctx, identity.PolicyKey)
	if pinset.KindOf(err) == pinset.KindNotFound {
		return true // the founding record's
	}
	return err == nil && s.Covers(author, seq)
}

// foundSize is the size of a DAG in bytes of distinct blocks, and when it was found.
type foundSize struct {
	bytes uint64
	at    time.Time
}

// turn is when a holder of this rank publishes it: the first at once, the next one
// an hour later, if nobody has until then.
func (f foundSize) turn(rank int) time.Time {
	return f.at.Add(time.Duration(max(rank, 0)) * time.Hour)
}

// Found takes the size of a DAG that was found here; rank is this peer's place among
// the holders. It never waits.
func (m *Members) Found(c cid.Cid, bytes uint64, rank int) {
	f := foundSize{bytes, m.cfg.Now()}
	m.sizes.Add(upkeep.Due[foundSize]{Key: c.KeyString(), CID: c, Value: f, At: f.turn(rank)})
}
