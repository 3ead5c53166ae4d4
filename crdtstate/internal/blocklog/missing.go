package blocklog

import (
	"fmt"
	"iter"
	"math/bits"

	"github.com/ipfs/go-cid"
)

// Missing is a set of positions.
type Missing struct {
	set bitset
	n   int
}

// Len is the number of blocks.
func (m *Missing) Len() int { return m.n }

// Has says whether the block at a position is in the set.
func (m *Missing) Has(pos uint64) bool { return m.set.has(pos) }

// All yields the positions, lowest first: every block after its parents.
func (m *Missing) All() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for i, w := range m.set {
			for ; w != 0; w &= w - 1 {
				if !yield(uint64(i)*64 + uint64(bits.TrailingZeros64(w))) {
					return
				}
			}
		}
	}
}

// Missing returns the closure of want without the closure of have. It reads the
// log backwards from the highest of them, and stops where nothing wanted is left;
// it takes two bits of memory for each position. Unknown blocks in have are passed
// over, unknown ones in want are ErrUnknown. Folded blocks are not in it.
func (r *Reader) Missing(want, have []cid.Cid) (*Missing, error) {
	w := walk{r: r, base: r.Folded()}
	for _, c := range have {
		pos, err := r.Position(c)
		if err != nil {
			return nil, err
		}
		if pos >= int64(w.base) {
			w.have.add(uint64(pos))
			w.top = max(w.top, uint64(pos)+1)
		}
	}
	for _, c := range want {
		pos, err := r.Position(c)
		if err != nil {
			return nil, err
		}
		if pos < 0 {
			return nil, fmt.Errorf("wanted block %s: %w", c, ErrUnknown)
		}
		w.wanted(uint64(pos))
		w.top = max(w.top, uint64(pos)+1)
	}
	return w.run()
}

// walk visits positions downwards. What is known of a position is final when it
// is reached, since its descendants all stand above it.
type walk struct {
	r          *Reader
	base       uint64 // positions below are folded: nothing can be sent of them
	want, have bitset
	top        uint64
	open       int // wanted, not had, not visited
}

func (w *walk) wanted(pos uint64) {
	if pos >= w.base && w.want.add(pos) && !w.have.has(pos) {
		w.open++
	}
}

func (w *walk) had(pos uint64) {
	if pos >= w.base && w.have.add(pos) && w.want.has(pos) {
		w.open--
	}
}

const walkStep = 256

func (w *walk) run() (*Missing, error) {
	out := &Missing{}
	for hi := w.top; w.open > 0 && hi > w.base; {
		lo := hi - min(hi-w.base, walkStep)
		metas, err := w.r.metas(lo, hi)
		if err != nil {
			return nil, err
		}
		for pos := hi; pos > lo && w.open > 0; {
			pos--
			mark := w.wanted
			switch {
			case w.have.has(pos):
				mark = w.had
			case w.want.has(pos):
				w.open--
				out.set.add(pos)
				out.n++
			default:
				continue
			}
			for _, p := range metas[pos-lo].Parents {
				mark(p)
			}
		}
		hi = lo
	}
	return out, nil
}

type bitset []uint64

func (b bitset) has(i uint64) bool { return i/64 < uint64(len(b)) && b[i/64]&(1<<(i%64)) != 0 }

// add reports whether i was not in the set.
func (b *bitset) add(i uint64) bool {
	if b.has(i) {
		return false
	}
	for uint64(len(*b)) <= i/64 {
		*b = append(*b, 0)
	}
	(*b)[i/64] |= 1 << (i % 64)
	return true
}
