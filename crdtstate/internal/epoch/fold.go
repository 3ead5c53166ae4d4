package epoch

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/ipfs/boxo/datastore/dshelp"
	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/crdtstate/internal/block"
	"github.com/pinfold/pinfold/crdtstate/internal/blocklog"
	"github.com/pinfold/pinfold/crdtstate/internal/compaction"
	"github.com/pinfold/pinfold/crdtstate/internal/gate"
	"github.com/pinfold/pinfold/crdtstate/internal/merge"
	"github.com/pinfold/pinfold/identity"
)

// Source lends the epoch that is folded, for a short time each: it may be opened
// again in between.
type Source func(func(*Epoch) error) error

// Cut is where a history is folded.
type Cut struct {
	Epoch uint64 // the one to begin
	Heads []cid.Cid
}

// Fold computes the genesis of a cut and hands its pieces out: chunks, then buckets.
// The epoch goes on taking blocks meanwhile. The same cut gives the same genesis
// everywhere, whatever else is in the log. Control is what the genesis says of
// members. ErrIncomplete: something below the cut is not here yet.
func Fold(ctx context.Context, from Source, cut Cut, emit func(chunk bool, raw []byte) error) (g *compaction.Genesis, control []identity.Entry, err error) {
	f := &folder{ctx: ctx, from: from, sets: map[blocklog.SetID]uint32{}, seqs: map[uint32]uint64{}}
	if err := f.begin(cut); err != nil {
		return nil, nil, err
	}
	if err := f.collect(); err != nil {
		return nil, nil, err
	}
	if err := f.revive(); err != nil {
		return nil, nil, err
	}
	g, err = f.write(cut, emit)
	return g, f.control, err
}

// kept is a block of which something stays.
type kept struct {
	pos     uint64
	hash    [32]byte
	height  uint64
	author  uint32 // local number
	seq     uint64
	set     uint32 // local number
	control bool
	live    []uint16 // indexes of the elements
}

type folder struct {
	ctx     context.Context
	from    Source
	base    uint64            // folded already: all below the cut
	below   *blocklog.Missing // the others that are
	end     uint64            // positions beyond are above the cut
	prev    []byte
	kept    []kept // by position
	crowd   int    // of kept, at which those of which nothing stays are dropped
	stubs   []compaction.Stub
	sets    map[blocklog.SetID]uint32
	setIDs  []blocklog.SetID
	seqs    map[uint32]uint64 // by local number of the author
	heads   map[uint64]bool   // positions of tips
	control []identity.Entry
	authors []blocklog.Author
}

func (f *folder) inside(pos uint64) bool { return pos < f.base || f.below.Has(pos) }

func (f *folder) begin(cut Cut) error {
	return f.from(func(e *Epoch) error {
		var err error
		if f.below, err = e.reader.Missing(cut.Heads, nil); err != nil {
			return fmt.Errorf("fold: %w: %w", gate.ErrIncomplete, err)
		}
		f.base, f.heads = e.reader.Folded(), map[uint64]bool{}
		if b := e.reader.Base(); b != nil {
			f.prev = b.Hash()
			for n, a := range b.Authors {
				f.seqs[uint32(n)] = a.Seq // the table of authors begins with these
			}
			for _, h := range b.Heads {
				f.heads[h] = true
			}
		}
		f.end = f.base
		for pos := range f.below.All() {
			f.end = pos + 1
		}
		return nil
	})
}

// page is how many blocks are read while the epoch is lent.
const page = 64

func (f *folder) pages(from, to uint64, each func(e *Epoch, pos uint64) error) error {
	for lo := from; lo < to; lo += page {
		if err := f.ctx.Err(); err != nil {
			return err
		}
		err := f.from(func(e *Epoch) error {
			for pos := lo; pos < min(lo+page, to); pos++ {
				if err := each(e, pos); err != nil {
					return fmt.Errorf("fold block %d: %w", pos, err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// collect looks at every block below the cut.
func (f *folder) collect() error {
	return f.pages(0, f.end, func(e *Epoch, pos uint64) error {
		if !f.inside(pos) {
			return nil
		}
		m, err := e.reader.Meta(pos)
		if err != nil {
			return err
		}
		b, err := e.reader.Block(pos)
		if err != nil {
			return err
		}
		k := kept{pos: pos, hash: [32]byte(m.CID.Hash()[2:]), height: m.Height, author: m.Author, seq: m.Seq, set: f.setNumber(m.Set)}
		if m.Height > math.MaxUint32 {
			return fmt.Errorf("height %d", m.Height)
		}
		f.stubs = append(f.stubs, compaction.Stub{Hash: [16]byte(k.hash[:]), Height: uint32(m.Height), Set: k.set})
		f.seqs[m.Author] = max(f.seqs[m.Author], m.Seq)
		for _, p := range m.Parents {
			delete(f.heads, p)
		}
		if pos >= f.base {
			f.heads[pos] = true
		}
		if err := f.look(e, b, &k); err != nil {
			return err
		}
		f.kept = append(f.kept, k) // what has nothing is dropped when the tips are known
		if len(f.kept) > f.crowd {
			f.thin()
			f.crowd = 2*len(f.kept) + 4096
		}
		return nil
	})
}

// thin drops blocks of which nothing stays and that are no tips.
func (f *folder) thin() {
	f.kept = slices.DeleteFunc(f.kept, func(k kept) bool { return len(k.live) == 0 && !f.heads[k.pos] })
}

func (f *folder) setNumber(id blocklog.SetID) uint32 {
	n, ok := f.sets[id]
	if !ok {
		n = uint32(len(f.setIDs))
		f.sets[id] = n
		f.setIDs = append(f.setIDs, id)
	}
	return n
}

// look notes which elements of a block are live.
func (f *folder) look(e *Epoch, b *block.Block, k *kept) error {
	for i, el := range b.Delta.Elements {
		if identity.IsControl(el.Key) {
			k.control = true
			k.live = append(k.live, uint16(i))
			f.control = append(f.control, identity.Entry{Author: b.Author, Seq: b.Seq, Priority: k.height, Key: el.Key, Value: el.Value})
			continue
		}
		c, err := merge.Read(e.db, el.Key)
		if err != nil {
			return err
		}
		if slices.Contains(c.Live, k.pos) {
			k.live = append(k.live, uint16(i))
		}
	}
	return nil
}

// claim is an element below the cut that a block above it removes.
type claim struct {
	key string
	pos uint64
}

// revive takes back what blocks above the cut removed: below it, it is live, unless
// a block there removed it too.
func (f *folder) revive() error {
	f.thin()
	claims := map[claim]bool{}
	end := uint64(0)
	err := f.from(func(e *Epoch) error { end = e.reader.Blocks(); return nil })
	if err != nil {
		return err
	}
	removals := func(inside bool, each func(claim)) error {
		return f.pages(f.base, end, func(e *Epoch, pos uint64) error {
			if f.inside(pos) != inside {
				return nil
			}
			b, err := e.reader.Block(pos)
			if err != nil {
				return err
			}
			for _, t := range b.Delta.Tombstones {
				mh, err := dshelp.DsKeyToMultihash(ds.RawKey(t.Id))
				if err != nil {
					return err
				}
				at, err := e.reader.Position(cid.NewCidV1(cid.DagProtobuf, mh))
				if err != nil {
					return err
				}
				if at >= 0 && f.inside(uint64(at)) {
					each(claim{t.Key, uint64(at)})
				}
			}
			return nil
		})
	}
	if err := removals(false, func(c claim) { claims[c] = true }); err != nil || len(claims) == 0 {
		return err
	}
	if err := removals(true, func(c claim) { delete(claims, c) }); err != nil {
		return err
	}
	return f.restore(claims)
}

func (f *folder) restore(claims map[claim]bool) error {
	byPos := map[uint64][]string{}
	for c := range claims {
		byPos[c.pos] = append(byPos[c.pos], c.key)
	}
	for pos, keys := range byPos {
		err := f.from(func(e *Epoch) error {
			b, err := e.reader.Block(pos)
			if err != nil {
				return err
			}
			m, err := e.reader.Meta(pos)
			if err != nil {
				return err
			}
			i, there := slices.BinarySearchFunc(f.kept, pos, func(k kept, pos uint64) int { return cmp.Compare(k.pos, pos) })
			if !there {
				f.kept = slices.Insert(f.kept, i, kept{
					pos: pos, hash: [32]byte(m.CID.Hash()[2:]), height: m.Height, author: m.Author, seq: m.Seq, set: f.setNumber(m.Set),
				})
			}
			k := &f.kept[i]
			for n, el := range b.Delta.Elements {
				if slices.Contains(keys, el.Key) && !slices.Contains(k.live, uint16(n)) {
					k.live = append(k.live, uint16(n))
				}
			}
			slices.Sort(k.live)
			return nil
		})
		if err != nil {
			return err
		}
	}
	f.thin() // a removal may name a block that never had the key
	return nil
}

// write numbers what stays, and emits it.
func (f *folder) write(cut Cut, emit func(chunk bool, raw []byte) error) (*compaction.Genesis, error) {
	slices.SortFunc(f.kept, func(a, b kept) int {
		if a.control != b.control {
			return cmp.Compare(yes(b.control), yes(a.control))
		}
		return cmp.Or(cmp.Compare(a.height, b.height), bytes.Compare(a.hash[:], b.hash[:]))
	})
	root := compaction.Root{Epoch: cut.Epoch, Prev: f.prev}
	numbers := map[uint64]uint64{} // of tips and control blocks, by position
	for n, k := range f.kept {
		if f.heads[k.pos] {
			root.Heads = append(root.Heads, uint64(n))
		}
		if k.control {
			numbers[k.pos] = uint64(n)
		}
	}
	setNumber, err := f.writeSets(&root, numbers)
	if err != nil {
		return nil, err
	}
	authorNumber, err := f.writeAuthors(&root)
	if err != nil {
		return nil, err
	}
	chunker := compaction.Chunker{Emit: func(raw []byte) error { return emit(true, raw) }}
	for _, k := range f.kept {
		res := compaction.Residual{Hash: k.hash[:], Author: authorNumber[k.author], Seq: k.seq, Height: k.height, Set: setNumber[k.set]}
		if err := f.elements(k, &res); err != nil {
			return nil, err
		}
		if err := chunker.Add(res); err != nil {
			return nil, err
		}
	}
	if err := chunker.End(&root); err != nil {
		return nil, err
	}
	for i := range f.stubs {
		f.stubs[i].Set = uint32(setNumber[f.stubs[i].Set])
	}
	if err := compaction.PackStubs(f.stubs, &root, func(raw []byte) error { return emit(false, raw) }); err != nil {
		return nil, err
	}
	return root.Encode()
}

func yes(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (f *folder) elements(k kept, res *compaction.Residual) error {
	if err := f.ctx.Err(); err != nil {
		return err
	}
	return f.from(func(e *Epoch) error {
		b, err := e.reader.Block(k.pos)
		if err != nil {
			return err
		}
		res.Live = []compaction.Element{}
		for _, i := range k.live {
			el := b.Delta.Elements[i]
			res.Live = append(res.Live, compaction.Element{Key: el.Key, Value: el.Value})
		}
		return nil
	})
}

// writeSets brings the control sets into the root, in its numbers and order, and
// returns the number of each.
func (f *folder) writeSets(root *compaction.Root, numbers map[uint64]uint64) ([]uint64, error) {
	sets := make([][]uint64, len(f.setIDs))
	for i, id := range f.setIDs {
		err := f.from(func(e *Epoch) error {
			positions, err := readSet(e.db, id)
			for _, p := range positions {
				n, ok := numbers[p]
				if !ok {
					return fmt.Errorf("control block %d is not below the cut", p)
				}
				sets[i] = append(sets[i], n)
			}
			slices.Sort(sets[i])
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	sorted := slices.Clone(sets)
	compaction.SortSets(sorted)
	root.Sets = compaction.PackSets(sorted)
	byContent := make(map[string]uint64, len(sorted))
	for n, s := range sorted {
		byContent[text(s)] = uint64(n)
	}
	out := make([]uint64, len(sets))
	for i, s := range sets {
		out[i] = byContent[text(s)]
	}
	return out, nil
}

func text(s []uint64) string {
	var b []byte
	for _, v := range s {
		b = binary.AppendUvarint(b, v)
	}
	return string(b)
}

// writeAuthors brings the authors into the root and returns the number of each.
func (f *folder) writeAuthors(root *compaction.Root) (map[uint32]uint64, error) {
	if err := f.from(func(e *Epoch) (err error) { f.authors, err = e.reader.Authors(); return err }); err != nil {
		return nil, err
	}
	ids := map[peer.ID]uint32{}
	for n := range f.seqs {
		ids[f.authors[n].ID] = n
	}
	out := map[uint32]uint64{}
	for n, a := range f.authors {
		if _, ok := f.seqs[uint32(n)]; ok {
			root.Authors = append(root.Authors, compaction.Author{Peer: []byte(a.ID), Seq: f.seqs[uint32(n)]})
		}
	}
	slices.SortFunc(root.Authors, func(a, b compaction.Author) int { return bytes.Compare(a.Peer, b.Peer) })
	for n, a := range root.Authors {
		out[ids[peer.ID(a.Peer)]] = uint64(n)
	}
	return out, nil
}
