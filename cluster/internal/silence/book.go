package silence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/canon"
)

// saveEvery is how much of the count a crash may lose.
const saveEvery = 10 * time.Minute

// Book counts the silence of members. It is safe for concurrent use.
type Book struct {
	store ds.Datastore

	mu      sync.Mutex
	silent  map[peer.ID]time.Duration
	unsaved time.Duration
}

func key() ds.Key { return ds.NewKey("/silence") }

type page struct {
	Rows []row `cbor:"rows"`
}

type row struct {
	Peer    []byte `cbor:"peer"`
	Seconds uint64 `cbor:"s"`
}

// maxSeconds bounds what a stored count can say.
const maxSeconds = 100 * 365 * 24 * 3600

// Open reads the counts. What cannot be read any more begins anew.
func Open(ctx context.Context, store ds.Datastore) (*Book, error) {
	b := &Book{store: store, silent: map[peer.ID]time.Duration{}}
	raw, err := store.Get(ctx, key())
	if errors.Is(err, ds.ErrNotFound) {
		return b, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read silence of members: %w", err)
	}
	var p page
	if canon.Unmarshal(raw, &p) != nil {
		return b, nil
	}
	for _, r := range p.Rows {
		if id, err := peer.IDFromBytes(r.Peer); err == nil {
			b.silent[id] = time.Duration(min(r.Seconds, maxSeconds)) * time.Second
		}
	}
	return b, nil
}

// Pass counts d more. Heard has every other member: who was heard begins anew, and
// who is in it no more is forgotten.
func (b *Book) Pass(ctx context.Context, d time.Duration, heard map[peer.ID]bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	save := false
	for id := range b.silent {
		if now, known := heard[id]; !known || now {
			delete(b.silent, id)
			save = true
		}
	}
	for id, yes := range heard {
		if !yes {
			b.silent[id] += d
		}
	}
	if b.unsaved += d; !save && (b.unsaved < saveEvery || len(b.silent) == 0) {
		return nil
	}
	b.unsaved = 0
	return b.save(ctx)
}

func (b *Book) save(ctx context.Context) error {
	var p page
	for id, d := range b.silent {
		p.Rows = append(p.Rows, row{[]byte(id), uint64(d / time.Second)})
	}
	slices.SortFunc(p.Rows, func(x, y row) int { return slices.Compare(x.Peer, y.Peer) })
	raw, err := canon.Marshal(p)
	if err == nil {
		err = b.store.Put(ctx, key(), raw)
	}
	if err != nil {
		return fmt.Errorf("write silence of members: %w", err)
	}
	return nil
}

// For is how long a member was not heard.
func (b *Book) For(id peer.ID) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.silent[id]
}
