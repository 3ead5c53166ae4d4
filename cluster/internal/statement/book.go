package statement

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/identity"
)

const prefix = "/statement/"

// Book keeps the latest statement of each member. It is safe for concurrent use.
type Book struct {
	key     identity.Key
	cluster identity.ClusterID
	store   ds.Datastore
	history *History
	member  func(peer.ID) bool

	saying sync.Mutex // one statement of ours at a time
	mu     sync.RWMutex
	latest map[peer.ID]entry
	lost   entry // of ours that others have and we lost
}

type entry struct {
	*Statement // nil: none
	raw        []byte
}

// last is the seq of the statement, 0 for none.
func (e entry) last() uint64 {
	if e.Statement == nil {
		return 0
	}
	return e.Seq
}

// OpenBook reads what is in the store. member says whose word counts.
func OpenBook(ctx context.Context, store ds.Datastore, k identity.Key, c identity.ClusterID, member func(peer.ID) bool) (*Book, error) {
	b := &Book{key: k, cluster: c, store: store, member: member, latest: map[peer.ID]entry{}}
	var err error
	if b.history, err = OpenHistory(ctx, store); err != nil {
		return nil, err
	}
	rows, err := store.Query(ctx, query.Query{Prefix: prefix})
	if err != nil {
		return nil, fmt.Errorf("open statements: %w", err)
	}
	defer rows.Close()
	for row := range rows.Next() {
		if row.Error != nil {
			return nil, fmt.Errorf("open statements: %w", row.Error)
		}
		s, err := Open(c, row.Value)
		if err != nil || keyOf(s.Author).String() != row.Key {
			continue // of another cluster, or damaged: its author says it again
		}
		b.latest[s.Author] = entry{s, row.Value}
	}
	return b, nil
}

// Seqs returns the seq of the latest statement of each member.
func (b *Book) Seqs() map[peer.ID]uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	out := make(map[peer.ID]uint64, len(b.latest))
	for id, e := range b.latest {
		if b.member(id) {
			out[id] = e.Seq
		}
	}
	return out
}

// Record returns the bytes of a member's latest statement, nil if there is none.
func (b *Book) Record(id peer.ID) []byte {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if !b.member(id) {
		return nil
	}
	return b.latest[id].raw
}

// Latest returns a member's latest statement, nil if there is none. It must not
// be changed.
func (b *Book) Latest(id peer.ID) *Statement {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if !b.member(id) {
		return nil
	}
	return b.latest[id].Statement
}

// Accept verifies a statement and keeps it if it is newer than what is here. One
// by somebody who is no member here is passed over: whoever sent it may know more
// of the membership. An error is of the bytes, or of the store.
func (b *Book) Accept(ctx context.Context, raw []byte) (fresh bool, err error) {
	s, err := Open(b.cluster, raw)
	if err != nil {
		return false, err
	}
	b.mu.Lock()
	if s.Author == b.key.ID() {
		if s.Seq > max(b.latest[s.Author].last(), b.lost.last()) {
			b.lost = entry{s, bytes.Clone(raw)}
		}
		b.mu.Unlock()
		return false, nil
	}
	if !b.member(s.Author) {
		b.mu.Unlock()
		return false, nil
	}
	if s.Seq <= b.latest[s.Author].last() {
		b.mu.Unlock()
		_, err := b.history.Keep(ctx, s, raw)
		return false, err
	}
	raw = bytes.Clone(raw)
	b.latest[s.Author] = entry{s, raw}
	b.mu.Unlock()
	if err := b.store.Put(ctx, keyOf(s.Author), raw); err != nil {
		return true, fmt.Errorf("keep statement of %s: %w", s.Author, err)
	}
	_, err = b.history.Keep(ctx, s, raw)
	return true, err
}

// Behind says whether others have a statement of this peer that is newer than its
// own: it lost its store, and has to speak again.
func (b *Book) Behind() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.lost.last() > b.latest[b.key.ID()].last()
}

// Say signs a statement of this peer's, with the next seq, and returns its bytes
// when they are on disk. An error beside bytes is of keeping it for later only.
func (b *Book) Say(ctx context.Context, s Statement) ([]byte, error) {
	b.saying.Lock()
	defer b.saying.Unlock()
	b.mu.RLock()
	before := b.latest[b.key.ID()]
	if b.lost.last() > before.last() {
		before = b.lost
	}
	b.mu.RUnlock()
	s.Author, s.Seq, s.Prev = b.key.ID(), before.last()+1, nil
	if before.raw != nil {
		hash := HashOf(before.raw)
		s.Prev = hash[:]
	}
	raw, err := s.Seal(b.key, b.cluster)
	if err != nil {
		return nil, err
	}
	at := keyOf(s.Author)
	if err := errors.Join(b.store.Put(ctx, at, raw), b.store.Sync(ctx, at)); err != nil {
		return nil, fmt.Errorf("keep statement: %w", err)
	}
	b.mu.Lock()
	b.latest[s.Author] = entry{&s, raw}
	b.mu.Unlock()
	_, err = b.history.Keep(ctx, &s, raw)
	return raw, err
}

// History is what was said before.
func (b *Book) History() *History { return b.history }

func keyOf(id peer.ID) ds.Key {
	return ds.RawKey(prefix + id.String())
}
