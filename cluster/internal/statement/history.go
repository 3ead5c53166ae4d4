package statement

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	saidPrefix = "/said/"
	liePrefix  = "/forked/"

	// MostKept is how many statements of a member are kept, MostBytes of how many
	// bytes together. Those of the last hours stay, older ones are thinned out.
	MostKept  = 128
	MostBytes = 4 << 20

	mostForks = 4  // of one member; one is enough to show what it is
	recent    = 16 // the latest ones are not thinned out
)

// HashOf is how a statement names its predecessor.
func HashOf(raw []byte) [32]byte { return sha256.Sum256(raw) }

// Kept is what is remembered of a statement without reading it.
type Kept struct {
	Seq   uint64
	At    time.Time
	Hash  [32]byte
	Shape uint64 // differs where the membership or the exceptions differ
	Size  int
}

// head is the fixed part of a row on disk: at (8 bytes), shape (8), hash (32); the
// statement follows.
const head = 48

// History keeps earlier statements of each member, on disk, within bounds: enough
// to tell later what was promised, and since when it is not kept. It is safe for
// concurrent use.
type History struct {
	store ds.Datastore

	mu    sync.Mutex
	rows  map[peer.ID][]Kept // by seq
	forks map[peer.ID][]uint64
}

// OpenHistory reads what is kept, but not the statements themselves.
func OpenHistory(ctx context.Context, store ds.Datastore) (*History, error) {
	h := &History{store: store, rows: map[peer.ID][]Kept{}, forks: map[peer.ID][]uint64{}}
	for _, prefix := range []string{saidPrefix, liePrefix} {
		rows, err := store.Query(ctx, query.Query{Prefix: prefix})
		if err != nil {
			return nil, fmt.Errorf("open earlier statements: %w", err)
		}
		for row := range rows.Next() {
			if row.Error != nil {
				return nil, errors.Join(fmt.Errorf("open earlier statements: %w", row.Error), rows.Close())
			}
			h.load(prefix, row.Key, row.Value)
		}
		if err := rows.Close(); err != nil {
			return nil, fmt.Errorf("open earlier statements: %w", err)
		}
	}
	for id := range h.rows {
		slices.SortFunc(h.rows[id], func(a, b Kept) int { return compareSeq(a.Seq, b.Seq) })
	}
	return h, nil
}

func compareSeq(a, b uint64) int {
	if a < b {
		return -1
	}
	return int(min(a-b, 1))
}

// load takes a row; what cannot be read is passed over.
func (h *History) load(prefix, key string, value []byte) {
	name := ds.RawKey(key[len(prefix)-1:])
	id, err := peer.Decode(name.Parent().BaseNamespace())
	var seq uint64
	if _, scan := fmt.Sscanf(name.BaseNamespace(), "%016x", &seq); err != nil || scan != nil || len(value) < head {
		return
	}
	if prefix == liePrefix {
		h.forks[id] = append(h.forks[id], seq)
		return
	}
	h.rows[id] = append(h.rows[id], Kept{
		Seq: seq, At: time.Unix(int64(binary.BigEndian.Uint64(value)), 0).UTC(), Shape: binary.BigEndian.Uint64(value[8:]),
		Hash: [32]byte(value[16:head]), Size: len(value) - head,
	})
}

func rowKey(prefix string, id peer.ID, seq uint64) ds.Key {
	return ds.RawKey(fmt.Sprintf("%s%s/%016x", prefix, id, seq))
}

// Keep adds a verified statement. One whose seq is there with other bytes is kept
// as well: two statements with one seq prove that their author said two things.
// forked says whether it was such.
func (h *History) Keep(ctx context.Context, s *Statement, raw []byte) (forked bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := Kept{Seq: s.Seq, At: s.At, Hash: HashOf(raw), Shape: s.shape(), Size: len(raw)}
	rows := h.rows[s.Author]
	at, there := slices.BinarySearchFunc(rows, s.Seq, func(r Kept, seq uint64) int { return compareSeq(r.Seq, seq) })
	if there {
		if rows[at].Hash == k.Hash {
			return false, nil
		}
		return true, h.keepFork(ctx, s, encodeKept(k, raw))
	}
	if err := h.store.Put(ctx, rowKey(saidPrefix, s.Author, s.Seq), encodeKept(k, raw)); err != nil {
		return false, fmt.Errorf("keep earlier statement: %w", err)
	}
	rows = slices.Insert(rows, at, k)
	for i := Surplus(rows); i >= 0; i = Surplus(rows) {
		if err := h.store.Delete(ctx, rowKey(saidPrefix, s.Author, rows[i].Seq)); err != nil {
			return false, fmt.Errorf("forget earlier statement: %w", err)
		}
		rows = slices.Delete(rows, i, i+1)
	}
	h.rows[s.Author] = rows
	return false, nil
}

func (h *History) keepFork(ctx context.Context, s *Statement, value []byte) error {
	if len(h.forks[s.Author]) >= mostForks || slices.Contains(h.forks[s.Author], s.Seq) {
		return nil
	}
	if err := h.store.Put(ctx, rowKey(liePrefix, s.Author, s.Seq), value); err != nil {
		return fmt.Errorf("keep second statement: %w", err)
	}
	h.forks[s.Author] = append(h.forks[s.Author], s.Seq)
	return nil
}

func encodeKept(k Kept, raw []byte) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, head+len(raw)), uint64(k.At.Unix()))
	b = binary.BigEndian.AppendUint64(b, k.Shape)
	return append(append(b, k.Hash[:]...), raw...)
}

// Rows returns what is kept of a member, by seq.
func (h *History) Rows(id peer.ID) []Kept {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.rows[id])
}

// Forks returns the seqs of which a member made two statements.
func (h *History) Forks(id peer.ID) []uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(slices.Values(h.forks[id]))
}

// Authors returns all of whom something is kept.
func (h *History) Authors() []peer.ID {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []peer.ID
	for id := range h.rows {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// Raw returns the bytes of a kept statement; nil: it is not there any more.
func (h *History) Raw(ctx context.Context, id peer.ID, seq uint64) ([]byte, error) {
	value, err := h.store.Get(ctx, rowKey(saidPrefix, id, seq))
	switch {
	case errors.Is(err, ds.ErrNotFound) || err == nil && len(value) < head:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read earlier statement: %w", err)
	}
	return value[head:], nil
}

// shape tells statements apart that say something else of what is missing.
func (s *Statement) shape() uint64 {
	sum := sha256.New()
	sum.Write(s.View[:])
	sum.Write([]byte{byte(s.Except.bits)})
	sum.Write(s.Except.bytes())
	return binary.BigEndian.Uint64(sum.Sum(nil))
}

// Surplus says which of a member's rows (by seq) is to be forgotten, -1: none. The
// first, the latest and those where something changed are worth more than others,
// and young ones are closer together than old ones.
func Surplus(rows []Kept) int {
	bytes := 0
	for _, r := range rows {
		bytes += r.Size
	}
	if len(rows) <= 2 || len(rows) <= MostKept && bytes <= MostBytes {
		return -1
	}
	last := rows[len(rows)-1].At
	best, least := 1, -1.0
	for i := 1; i < max(2, len(rows)-recent); i++ {
		gap := max(rows[i+1].At.Sub(rows[i-1].At), time.Second)
		worth := gap.Seconds() / max(last.Sub(rows[i].At), time.Second).Seconds()
		if rows[i].Shape != rows[i-1].Shape {
			worth *= recent
		}
		if least < 0 || worth < least {
			best, least = i, worth
		}
	}
	return best
}
