package crdtstate

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/ipfs/boxo/datastore/dshelp"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-ds-crdt/pb"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/crdtstate/internal/blocklog"
	"github.com/pinfold/pinfold/crdtstate/internal/epoch"
	"github.com/pinfold/pinfold/crdtstate/internal/merge"
	"github.com/pinfold/pinfold/pinset"
)

// Place is where a reader of the history goes on. The zero Place is the beginning.
type Place struct {
	Epoch uint64
	Block uint64   // of the log: the next one
	Tips  []uint64 // blocks before it that no block before it links to
}

// Entry is what one admitted delta did to pins.
type Entry struct {
	At     uint64 // its place in the log
	Author peer.ID
	Seq    uint64
	// Beside says that something before it in the log is not among its ancestors:
	// others wrote at the same time, and did not know of it either.
	Beside  bool
	Set     []string  // keys of pins that it gives a value
	Gone    []Gone    // pins that it takes out and gives no value
	Rivals  []Rivalry // of an entry Beside: keys that others set too; what is so now
	Outcome []Rivalry // of an entry Beside: keys of Gone that are there in spite of it
	Next    Place
}

// Gone is a pin that was taken out, as it was: the value that its remover saw, or
// the winning one of several.
type Gone struct {
	Key   string
	Value []byte
}

// Rivalry is a key that was changed on two sides at the same time, and whose value
// it has now.
type Rivalry struct {
	Key    string
	Author peer.ID // of the value that counts
	Seq    uint64
	Others []peer.ID // whose values do not
}

// History yields what the admitted deltas did to pins, from a place on, in the
// order of the log. It ends with what was admitted when it comes there. A Place of
// an epoch that is no more begins at the present one.
func (s *State) History(ctx context.Context, from Place) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		at := from
		for {
			var entry Entry
			var more bool
			err := ctx.Err()
			if err == nil {
				err = s.read(func(e *epoch.Epoch) (err error) {
					if at.Epoch != s.number {
						at = Place{Epoch: s.number}
					}
					at.Block = max(at.Block, e.Reader().Folded())
					if more = at.Block < s.Summary().Blocks; more {
						entry, err = readEntry(e, at)
					}
					return err
				})
			}
			if err != nil {
				yield(Entry{}, pinset.Wrap(pinset.KindInternal, err, "read history"))
				return
			}
			if !more || !yield(entry, nil) {
				return
			}
			at = entry.Next
		}
	}
}

func readEntry(e *epoch.Epoch, at Place) (Entry, error) {
	r := e.Reader()
	m, err := r.Meta(at.Block)
	if err != nil {
		return Entry{}, err
	}
	b, err := r.Block(at.Block)
	if err != nil {
		return Entry{}, err
	}
	tips := slices.DeleteFunc(slices.Clone(at.Tips), func(p uint64) bool { return slices.Contains(m.Parents, p) })
	out := Entry{At: at.Block, Author: b.Author, Seq: b.Seq, Beside: len(tips) > 0}
	out.Next = Place{Epoch: at.Epoch, Block: at.Block + 1, Tips: append(tips, at.Block)}
	for _, el := range b.Delta.Elements {
		if strings.HasPrefix(el.Key, pinset.PinPrefix) {
			out.Set = append(out.Set, el.Key)
		}
	}
	if out.Gone, err = gone(r, b.Delta); err != nil || !out.Beside {
		return out, err
	}
	return out, out.compare(e)
}

// gone finds what the removals of a delta took out.
func gone(r *blocklog.Reader, d *pb.Delta) ([]Gone, error) {
	set := make(map[string]struct{}, len(d.Elements))
	for _, el := range d.Elements {
		set[el.Key] = struct{}{}
	}
	type found struct {
		value  []byte
		height uint64
	}
	best, order := map[string]found{}, []string{}
	memo := lookup{r: r}
	for _, t := range d.Tombstones {
		if _, updated := set[t.Key]; updated || !strings.HasPrefix(t.Key, pinset.PinPrefix) {
			continue
		}
		value, height, err := memo.value(t)
		if err != nil {
			return nil, err
		}
		old, again := best[t.Key]
		if value == nil || again && (height < old.height || height == old.height && bytes.Compare(value, old.value) < 0) {
			continue
		}
		if !again {
			order = append(order, t.Key)
		}
		best[t.Key] = found{value, height}
	}
	out := make([]Gone, len(order))
	for i, k := range order {
		out[i] = Gone{k, best[k].value}
	}
	return out, nil
}

// lookup reads elements by the ids that removals give them; the block read last is
// kept: what is removed together was often added together.
type lookup struct {
	r      *blocklog.Reader
	id     string
	height uint64
	values map[string][]byte
}

// value is nil for an element that is not in this log.
func (l *lookup) value(t *pb.Element) ([]byte, uint64, error) {
	if t.Id == l.id {
		return l.values[t.Key], l.height, nil
	}
	l.id, l.height, l.values = t.Id, 0, nil
	mh, err := dshelp.DsKeyToMultihash(ds.RawKey(t.Id))
	if err != nil {
		return nil, 0, fmt.Errorf("removal of %q: %w", t.Id, err)
	}
	pos, err := l.r.Position(cid.NewCidV1(cid.DagProtobuf, mh))
	if err != nil || pos < 0 {
		return nil, 0, err
	}
	m, err := l.r.Meta(uint64(pos))
	if err != nil {
		return nil, 0, err
	}
	b, err := l.r.Block(uint64(pos))
	if err != nil {
		return nil, 0, err
	}
	l.height, l.values = m.Height, make(map[string][]byte, len(b.Delta.Elements))
	for _, el := range b.Delta.Elements {
		l.values[el.Key] = el.Value
	}
	return l.values[t.Key], l.height, nil
}

// compare looks at what became of an entry's keys.
func (en *Entry) compare(e *epoch.Epoch) error {
	for _, key := range en.Set {
		c, err := merge.Read(e.DB(), key)
		if err != nil {
			return err
		}
		if len(c.Live) < 2 || !slices.Contains(c.Live, en.At) {
			continue
		}
		rival, err := rivalry(e, key, c)
		if err != nil {
			return err
		}
		en.Rivals = append(en.Rivals, rival)
	}
	for _, g := range en.Gone {
		c, err := merge.Read(e.DB(), g.Key)
		if err != nil {
			return err
		}
		for _, pos := range c.Live {
			later, err := follows(e.Reader(), pos, en.At)
			if err != nil {
				return err
			}
			if later {
				continue
			}
			rival, err := rivalry(e, g.Key, c)
			if err != nil {
				return err
			}
			en.Outcome = append(en.Outcome, rival)
			break
		}
	}
	return nil
}

func rivalry(e *epoch.Epoch, key string, c merge.Cell) (Rivalry, error) {
	author, seq, err := e.Origin(key, c)
	if err != nil {
		return Rivalry{}, err
	}
	out := Rivalry{Key: key, Author: author, Seq: seq}
	for _, pos := range c.Live {
		m, err := e.Reader().Meta(pos)
		if err != nil {
			return out, err
		}
		other, err := e.Reader().AuthorOf(m.Author)
		if err != nil {
			return out, err
		}
		if other != author && !slices.Contains(out.Others, other) {
			out.Others = append(out.Others, other)
		}
	}
	return out, nil
}

// Follows says whether one block of the log has another among its ancestors. Where
// that takes very long to find out it says yes.
func (s *State) Follows(ctx context.Context, later, earlier uint64) (yes bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	err = s.read(func(e *epoch.Epoch) error {
		yes, err = follows(e.Reader(), later, earlier)
		return err
	})
	return yes, err
}

// maxWalk is how many blocks follows looks at.
const maxWalk = 1 << 16

func follows(r *blocklog.Reader, later, earlier uint64) (bool, error) {
	if later <= earlier {
		return later == earlier, nil
	}
	seen := map[uint64]struct{}{}
	for todo := []uint64{later}; len(todo) > 0; {
		pos := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		m, err := r.Meta(pos)
		if err != nil {
			return false, err
		}
		for _, p := range m.Parents {
			if p == earlier || len(seen) >= maxWalk {
				return true, nil
			}
			if _, again := seen[p]; p > earlier && !again {
				seen[p] = struct{}{}
				todo = append(todo, p)
			}
		}
	}
	return false, nil
}
