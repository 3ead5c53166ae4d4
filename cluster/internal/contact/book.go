package contact

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/canon"
	"github.com/pinfold/pinfold/pinset"
)

const prefix = "/contact/"

// Book has a row for each member's IPFS node. It is safe for concurrent use.
type Book struct {
	store ds.Datastore

	mu   sync.Mutex
	rows map[peer.ID]Row
}

// Row is what is known of one member's IPFS node.
type Row struct {
	Node      pinset.NodeID
	Asked     time.Time // when the member told it, zero: before the start, or it no longer fits
	Connected time.Time // when our node last reached it
	Tried     time.Time // when it was last tried
}

type record struct {
	Peer  []byte   `cbor:"peer"`
	Addrs []string `cbor:"addrs"`
}

// Open reads what is in the store. Rows that cannot be read are passed over: they
// are asked for again.
func Open(ctx context.Context, store ds.Datastore) (*Book, error) {
	b := &Book{store: store, rows: map[peer.ID]Row{}}
	rows, err := store.Query(ctx, query.Query{Prefix: prefix})
	if err != nil {
		return nil, fmt.Errorf("read addresses: %w", err)
	}
	defer rows.Close()
	for row := range rows.Next() {
		if row.Error != nil {
			return nil, fmt.Errorf("read addresses: %w", row.Error)
		}
		id, err := peer.Decode(strings.TrimPrefix(row.Key, prefix))
		if err != nil {
			continue
		}
		var w record
		if canon.Unmarshal(row.Value, &w) != nil {
			continue
		}
		if node, err := peer.IDFromBytes(w.Peer); err == nil {
			b.rows[id] = Row{Node: pinset.NodeID{Peer: node, Addresses: w.Addrs}}
		}
	}
	return b, nil
}

// Get returns a member's row; the zero Row: nothing is known.
func (b *Book) Get(id peer.ID) Row {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rows[id]
}

// Learn keeps what a member told of its IPFS node at now.
func (b *Book) Learn(ctx context.Context, id peer.ID, n pinset.NodeID, now time.Time) error {
	if n.Peer == "" {
		return nil
	}
	b.mu.Lock()
	old := b.rows[id]
	same := old.Node.Peer == n.Peer && slices.Equal(old.Node.Addresses, n.Addresses)
	row := Row{Node: n, Asked: now, Connected: old.Connected, Tried: old.Tried}
	if !same {
		row.Connected = time.Time{}
	}
	b.rows[id] = row
	b.mu.Unlock()
	if same {
		return nil
	}
	raw, err := canon.Marshal(record{Peer: []byte(n.Peer), Addrs: n.Addresses})
	if err == nil {
		err = b.store.Put(ctx, ds.RawKey(prefix+id.String()), raw)
	}
	if err != nil {
		return fmt.Errorf("keep addresses of %s: %w", id, err)
	}
	return nil
}

// Trying notes that our IPFS node is about to be connected to a member's.
func (b *Book) Trying(id peer.ID, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	row := b.rows[id]
	row.Tried = now
	b.rows[id] = row
}

// Connected notes that our IPFS node reached a member's at now.
func (b *Book) Connected(id peer.ID, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	row := b.rows[id]
	row.Connected = now
	b.rows[id] = row
}

// Failed notes that a member's IPFS node was not reached at what the member told:
// it may have moved since, so the member is to be asked again.
func (b *Book) Failed(id peer.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	row := b.rows[id]
	row.Asked = time.Time{}
	b.rows[id] = row
}

// Addresses returns those of an IPFS node, each with the node's id at its end.
func Addresses(n pinset.NodeID) []string {
	if n.Peer == "" {
		return nil
	}
	var out []string
	suffix := "/p2p/" + n.Peer.String()
	for _, a := range n.Addresses {
		if !strings.HasSuffix(a, suffix) {
			a = strings.TrimSuffix(a, "/") + suffix
		}
		out = append(out, a)
	}
	return out
}

// ByPeer returns the origins that pins name, those of one peer together, each
// address once.
func ByPeer(pins []pinset.Pin) [][]string {
	by := map[string][]string{}
	for _, p := range pins {
		for _, o := range p.Origins {
			_, id, _ := strings.Cut(o, "/p2p/")
			if !slices.Contains(by[id], o) {
				by[id] = append(by[id], o)
			}
		}
	}
	var out [][]string
	for _, id := range slices.Sorted(maps.Keys(by)) {
		out = append(out, by[id])
	}
	return out
}
