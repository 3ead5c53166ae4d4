package compaction

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/canon"
)

// Limits of a genesis. They are part of the protocol: another cut into chunks would
// be another root.
const (
	MaxPiece      = 1<<20 - 64 // bytes of the root and of each chunk
	chunkBytes    = 256 << 10
	chunkElements = 500
	stubsInBucket = 512
	maxBits       = 16
	StubSize      = 24
	version       = 1
)

// ErrGenesis is wrapped by the errors of what is not a genesis, or not the one that
// was asked for.
var ErrGenesis = errors.New("not this genesis")

// Element is one that is live: its removal is not below the cut.
type Element struct {
	_     struct{} `cbor:",toarray"`
	Key   string
	Value []byte
}

// Residual is what stays of a folded block: its identity, and what is live of it.
// The blocks that say who may do what come first, then the lower before the higher,
// then by hash; the place in this order is its number.
type Residual struct {
	_      struct{} `cbor:",toarray"`
	Hash   []byte   // sha2-256 of the block
	Author uint64   // number in Root.Authors
	Seq    uint64
	Height uint64
	Set    uint64 // number in Root.Sets: the control blocks in its closure
	Live   []Element
}

// Author of folded blocks.
type Author struct {
	_    struct{} `cbor:",toarray"`
	Peer []byte
	Seq  uint64 // the highest below the cut
}

// Root names a genesis.
type Root struct {
	Version uint64   `cbor:"v"`
	Epoch   uint64   `cbor:"epoch"`
	Prev    []byte   `cbor:"prev"`    // hash of the root before, empty for the first
	Heads   []uint64 `cbor:"heads"`   // numbers of the residuals that are the tips of the cut, rising
	Authors []Author `cbor:"authors"` // by peer id
	Sets    []byte   `cbor:"sets"`    // sets of control blocks: see packSets
	Chunks  []byte   `cbor:"chunks"`  // hashes of the chunks, one after the other
	Counts  []uint64 `cbor:"counts"`  // of residuals in each chunk
	Bits    uint64   `cbor:"bits"`    // of a hash that name the bucket of its stub
	Stubs   []byte   `cbor:"stubs"`   // hashes of the buckets, one after the other
}

// Genesis is a root with its bytes.
type Genesis struct {
	Root
	Raw  []byte
	sets [][]uint64
	from []uint64 // number of the first residual of each chunk
}

// Encode makes the bytes of a root, and refuses one that would be too large.
func (r Root) Encode() (*Genesis, error) {
	r.Version = version
	raw, err := canon.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode genesis: %w", err)
	}
	if len(raw) > MaxPiece {
		return nil, fmt.Errorf("encode genesis: a root of %d bytes, at most %d", len(raw), MaxPiece)
	}
	return OpenRoot(raw)
}

// OpenRoot reads a root and checks that it holds together.
func OpenRoot(raw []byte) (*Genesis, error) {
	g := &Genesis{Raw: raw}
	if len(raw) > MaxPiece {
		return nil, fmt.Errorf("open genesis: %w: %d bytes", ErrGenesis, len(raw))
	}
	if err := canon.Check(raw); err != nil {
		return nil, fmt.Errorf("open genesis: %w: %w", ErrGenesis, err)
	}
	if err := canon.Unmarshal(raw, &g.Root); err != nil {
		return nil, fmt.Errorf("open genesis: %w: %w", ErrGenesis, err)
	}
	if err := g.check(); err != nil {
		return nil, fmt.Errorf("open genesis: %w: %w", ErrGenesis, err)
	}
	return g, nil
}

func (g *Genesis) check() error {
	switch {
	case g.Version != version:
		return fmt.Errorf("version %d, want %d", g.Version, version)
	case g.Epoch == 0, len(g.Prev) != 0 && len(g.Prev) != sha256.Size, (g.Epoch == 1) != (len(g.Prev) == 0):
		return errors.New("epoch and predecessor do not fit")
	case len(g.Chunks) != sha256.Size*len(g.Counts), g.Bits > maxBits, len(g.Stubs) != sha256.Size<<g.Bits:
		return errors.New("chunks or stubs do not fit")
	}
	total := uint64(0)
	for _, n := range g.Counts {
		if n == 0 || n > chunkElements+1 && n > MaxPiece/sha256.Size {
			return errors.New("an impossible chunk")
		}
		g.from = append(g.from, total)
		total += n
	}
	for i, h := range g.Heads {
		if h >= total || i > 0 && h <= g.Heads[i-1] {
			return errors.New("heads out of order")
		}
	}
	for i, a := range g.Authors {
		if i > 0 && bytes.Compare(a.Peer, g.Authors[i-1].Peer) <= 0 {
			return errors.New("authors out of order")
		}
	}
	var err error
	g.sets, err = unpackSets(g.Sets, total)
	if err == nil && (len(g.Heads) == 0 || total == 0) {
		err = errors.New("no heads")
	}
	return err
}

// CID names the genesis.
func (g *Genesis) CID() cid.Cid {
	mh, err := multihash.Encode(g.Hash(), multihash.SHA2_256)
	if err != nil {
		panic(err) // 32 bytes of sha2-256
	}
	return cid.NewCidV1(cid.DagCBOR, mh)
}

// Hash is that of the root's bytes.
func (g *Genesis) Hash() []byte {
	h := sha256.Sum256(g.Raw)
	return h[:]
}

// Len is the number of residuals.
func (g *Genesis) Len() uint64 {
	if n := len(g.Counts); n > 0 {
		return g.from[n-1] + g.Counts[n-1]
	}
	return 0
}

// Pieces is the number of chunks and buckets, which follow one another.
func (g *Genesis) Pieces() int { return len(g.Counts) + 1<<g.Bits }

// Chunk returns the chunk that has a residual, and its place in it.
func (g *Genesis) Chunk(number uint64) (chunk int, at uint64) {
	i := sort.Search(len(g.from), func(i int) bool { return g.from[i] > number }) - 1
	return i, number - g.from[i]
}

// First is the number of the first residual of a chunk.
func (g *Genesis) First(chunk int) uint64 { return g.from[chunk] }

// ControlSet is the numbers of the control blocks of a set.
func (g *Genesis) ControlSet(n uint64) ([]uint64, error) {
	if n >= uint64(len(g.sets)) {
		return nil, fmt.Errorf("%w: control set %d of %d", ErrGenesis, n, len(g.sets))
	}
	return g.sets[n], nil
}

// SetCount is the number of control sets.
func (g *Genesis) SetCount() int { return len(g.sets) }

// Below is the highest sequence number of an author below the cut.
func (g *Genesis) Below() map[peer.ID]uint64 {
	out := make(map[peer.ID]uint64, len(g.Authors))
	for _, a := range g.Authors {
		out[peer.ID(a.Peer)] = a.Seq
	}
	return out
}

// CheckPiece says whether raw is a piece of the genesis: chunks first, then buckets.
func (g *Genesis) CheckPiece(n int, raw []byte) error {
	hashes, at := g.Chunks, n
	if n >= len(g.Counts) {
		hashes, at = g.Stubs, n-len(g.Counts)
	}
	if at < 0 || (at+1)*sha256.Size > len(hashes) {
		return fmt.Errorf("%w: piece %d of %d", ErrGenesis, n, g.Pieces())
	}
	if h := sha256.Sum256(raw); !bytes.Equal(h[:], hashes[at*sha256.Size:(at+1)*sha256.Size]) {
		return fmt.Errorf("%w: piece %d is another", ErrGenesis, n)
	}
	return nil
}

// OpenChunk reads a chunk that CheckPiece has passed.
func (g *Genesis) OpenChunk(n int, raw []byte) ([]Residual, error) {
	var out []Residual
	if err := canon.Unmarshal(raw, &out); err != nil {
		return nil, fmt.Errorf("open chunk %d: %w: %w", n, ErrGenesis, err)
	}
	if uint64(len(out)) != g.Counts[n] {
		return nil, fmt.Errorf("open chunk %d: %w: %d residuals, want %d", n, ErrGenesis, len(out), g.Counts[n])
	}
	for _, r := range out {
		if len(r.Hash) != sha256.Size || r.Author >= uint64(len(g.Authors)) || r.Set >= uint64(len(g.sets)) {
			return nil, fmt.Errorf("open chunk %d: %w: a residual of nothing", n, ErrGenesis)
		}
	}
	return out, nil
}

// Chunker cuts residuals, which come in their order, into chunks.
type Chunker struct {
	Emit     func(raw []byte) error
	chunks   []byte
	counts   []uint64
	waiting  []Residual
	bytes    int
	elements int
}

// Add takes the next residual.
func (c *Chunker) Add(r Residual) error {
	size := sha256.Size + 40
	for _, e := range r.Live {
		size += len(e.Key) + len(e.Value) + 8
	}
	if len(c.waiting) > 0 && (c.bytes+size > chunkBytes || c.elements+len(r.Live) > chunkElements || len(c.waiting) >= chunkElements) {
		if err := c.flush(); err != nil {
			return err
		}
	}
	c.waiting = append(c.waiting, r)
	c.bytes, c.elements = c.bytes+size, c.elements+len(r.Live)
	return nil
}

func (c *Chunker) flush() error {
	raw, err := canon.Marshal(c.waiting)
	if err != nil {
		return fmt.Errorf("encode chunk: %w", err)
	}
	if len(raw) > MaxPiece {
		return fmt.Errorf("encode chunk: %d bytes, at most %d", len(raw), MaxPiece)
	}
	h := sha256.Sum256(raw)
	c.chunks, c.counts = append(c.chunks, h[:]...), append(c.counts, uint64(len(c.waiting)))
	c.waiting, c.bytes, c.elements = c.waiting[:0], 0, 0
	return c.Emit(raw)
}

// End emits the last chunk and writes all into the root.
func (c *Chunker) End(r *Root) error {
	if len(c.waiting) > 0 {
		if err := c.flush(); err != nil {
			return err
		}
	}
	r.Chunks, r.Counts = c.chunks, c.counts
	return nil
}

// Stub is what is kept of a folded block whether or not anything of it is live, so
// that a later block above it can be judged.
type Stub struct {
	Hash   [16]byte // the first half of it
	Height uint32
	Set    uint32
}

// PackStubs sorts the stubs into buckets and writes their hashes into the root.
func PackStubs(stubs []Stub, r *Root, emit func(raw []byte) error) error {
	slices.SortFunc(stubs, func(a, b Stub) int { return bytes.Compare(a.Hash[:], b.Hash[:]) })
	r.Bits, r.Stubs = 0, nil
	for r.Bits < maxBits && len(stubs)>>r.Bits > stubsInBucket {
		r.Bits++
	}
	at := 0
	for bucket := range 1 << r.Bits {
		var raw []byte
		for ; at < len(stubs) && Bucket(stubs[at].Hash[:], r.Bits) == bucket; at++ {
			s := stubs[at]
			raw = append(raw, s.Hash[:]...)
			raw = binary.BigEndian.AppendUint32(raw, s.Height)
			raw = binary.BigEndian.AppendUint32(raw, s.Set)
		}
		h := sha256.Sum256(raw)
		r.Stubs = append(r.Stubs, h[:]...)
		if err := emit(raw); err != nil {
			return err
		}
	}
	return nil
}

// Bucket is where the stub of a block is looked for.
func Bucket(hash []byte, bits uint64) int {
	return int(uint32(binary.BigEndian.Uint16(hash)) >> (maxBits - bits))
}

// FindStub looks a block up in its bucket.
func FindStub(bucket, hash []byte) (height, set uint64, found bool) {
	n := len(bucket) / StubSize
	i := sort.Search(n, func(i int) bool { return bytes.Compare(bucket[i*StubSize:i*StubSize+16], hash[:16]) >= 0 })
	if i == n || !bytes.Equal(bucket[i*StubSize:i*StubSize+16], hash[:16]) {
		return 0, 0, false
	}
	b := bucket[i*StubSize+16:]
	return uint64(binary.BigEndian.Uint32(b)), uint64(binary.BigEndian.Uint32(b[4:])), true
}

// SortSets brings sets, each rising, into the order of a root: the smaller first.
func SortSets(sets [][]uint64) {
	slices.SortFunc(sets, func(a, b []uint64) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), slices.Compare(a, b))
	})
}

// PackSets encodes sorted sets, each as its difference from the one before: a
// history adds to it one by one.
func PackSets(sets [][]uint64) []byte {
	out := binary.AppendUvarint(nil, uint64(len(sets)))
	var before []uint64
	for _, s := range sets {
		d := difference(before, s)
		out = binary.AppendUvarint(out, uint64(len(d)))
		last := uint64(0)
		for _, v := range d {
			out, last = binary.AppendUvarint(out, v-last), v
		}
		before = s
	}
	return out
}

// maxMembers bounds what the sets of a root may add up to.
const maxMembers = 1 << 22

func unpackSets(b []byte, limit uint64) ([][]uint64, error) {
	bad := errors.New("control sets cannot be read")
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			b = nil
			return 1 << 63
		}
		b = b[n:]
		return v
	}
	count := next()
	if count > limit+1 && count > uint64(len(b)) {
		return nil, bad
	}
	var out [][]uint64
	var before []uint64
	total := 0
	for range count {
		n := next()
		if n > limit {
			return nil, bad
		}
		d := make([]uint64, 0, min(n, uint64(len(b))))
		last := uint64(0)
		for range n {
			v := next()
			if last += v; v > limit || last >= limit || len(d) > 0 && v == 0 {
				return nil, bad
			}
			d = append(d, last)
		}
		before = difference(before, d)
		if total += len(before); total > maxMembers {
			return nil, bad
		}
		out = append(out, before)
	}
	if len(b) != 0 {
		return nil, bad
	}
	return out, nil
}

// difference is what stands in one of two rising lists only.
func difference(a, b []uint64) []uint64 {
	out := make([]uint64, 0, len(b))
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(a) == 0 || len(b) > 0 && b[0] < a[0]:
			out, b = append(out, b[0]), b[1:]
		case len(b) == 0 || a[0] < b[0]:
			out, a = append(out, a[0]), a[1:]
		default:
			a, b = a[1:], b[1:]
		}
	}
	return out
}
