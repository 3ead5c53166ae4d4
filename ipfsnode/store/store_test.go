package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/pinset"
)

// bench is a store and its database, to be opened again and again on one directory.
type bench struct {
	*Store
	db  *pebble.DB
	dir string
}

func openBench(t *testing.T, dir string, edit ...func(*Config)) *bench {
	t.Helper()
	db, err := pebble.Open(filepath.Join(dir, "db"), &pebble.Options{Logger: Quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Dir: filepath.Join(dir, "blocks"), Tmp: dir, DB: db, Arrived: func(context.Context, blocks.Block) {}}
	for _, e := range edit {
		e(&cfg)
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{s, db, dir}
}

// close leaves the store as a crash does, but for what a checkpoint kept.
func (b *bench) close(t *testing.T) {
	t.Helper()
	if err := errors.Join(b.Close(), b.db.Close()); err != nil {
		t.Fatal(err)
	}
}

func block(i int, size int) blocks.Block {
	data := bytes.Repeat([]byte(fmt.Sprintf("%08d", i)), size/8)
	h, err := multihash.Sum(data, multihash.SHA2_256, -1)
	if err != nil {
		panic(err)
	}
	b, err := blocks.NewBlockWithCid(data, cid.NewCidV1(cid.Raw, h))
	if err != nil {
		panic(err)
	}
	return b
}

func (b *bench) put(t *testing.T, ss *Session, blks ...blocks.Block) {
	t.Helper()
	for _, blk := range blks {
		if _, err := ss.Put(t.Context(), blk); err != nil {
			t.Fatal(err)
		}
	}
}

func (b *bench) recover(t *testing.T) {
	t.Helper()
	if err := b.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) checkpoint(t *testing.T) {
	t.Helper()
	if err := b.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) has(t *testing.T, blk blocks.Block) bool {
	t.Helper()
	_, err := b.Size(t.Context(), blk.Cid())
	if err != nil && !ipld.IsNotFound(err) {
		t.Fatal(err)
	}
	return err == nil
}

func kinds(t *testing.T, run func(t *testing.T, kind func(*Config))) {
	for _, k := range []string{Flatfs, Badger} {
		t.Run(k, func(t *testing.T) { run(t, func(c *Config) { c.Kind = k }) })
	}
}

func TestCountsSurviveACrash(t *testing.T) {
	kinds(t, func(t *testing.T, kind func(*Config)) {
		dir := t.TempDir()
		b := openBench(t, dir, kind)
		ss := b.Begin()
		for i := range 200 {
			b.put(t, ss, block(i, 800))
		}
		b.put(t, ss, block(7, 800)) // twice is once
		ss.End()
		if got := b.Used(); got != 200*800 {
			t.Errorf("used %d", got)
		}
		b.close(t)

		b = openBench(t, dir, kind)
		b.recover(t)
		if got := b.Used(); got != 200*800 {
			t.Errorf("without a checkpoint: used %d", got)
		}
		b.checkpoint(t)
		b.close(t)

		b = openBench(t, dir, kind)
		if got := b.Used(); got != 200*800 {
			t.Errorf("with a checkpoint: used %d before recovery", got)
		}
		ss = b.Begin()
		b.put(t, ss, block(1000, 800), block(1001, 8000))
		if _, err := b.remove(t.Context(), block(3, 800).Cid().Hash()); err != nil {
			t.Fatal(err)
		}
		ss.End()
		b.close(t)

		b = openBench(t, dir, kind)
		b.recover(t)
		if got := b.Used(); got != 200*800+8000 {
			t.Errorf("changes after a checkpoint: used %d", got)
		}
		b.close(t)
	})
}

func TestOnlyChangedPartsAreCountedAgain(t *testing.T) {
	dir := t.TempDir()
	b := openBench(t, dir)
	ss := b.Begin()
	for i := range 8000 {
		b.put(t, ss, block(i, 8))
	}
	ss.End()
	b.close(t)
	b = openBench(t, dir)
	b.recover(t)
	b.checkpoint(t)
	ss = b.Begin()
	b.put(t, ss, block(9000, 8), block(9001, 8))
	ss.End()
	b.close(t)
	b = openBench(t, dir)
	defer b.close(t)
	if n := b.usage.doubtful.Load(); n < 1 || n > 100 { // some parts' stamps were too fresh to trust
		t.Errorf("%d of %d parts are to be counted again after two changes", n, shards)
	}
}

// pretendReboot makes the last checkpoint look like that of an earlier start of the
// machine.
func (b *bench) pretendReboot(t *testing.T) {
	t.Helper()
	raw, done, err := b.db.Get(usageKey)
	if err != nil {
		t.Fatal(err)
	}
	cp := decodeCheckpoint(raw)
	if err := done.Close(); err != nil {
		t.Fatal(err)
	}
	if cp.boot == "" {
		t.Skip("this machine has no boot id")
	}
	cp.boot = "another"
	if err := b.db.Set(usageKey, cp.encode(), pebble.Sync); err != nil {
		t.Fatal(err)
	}
}

func TestTornBlocksAfterAPowerCutAreNotThere(t *testing.T) {
	dir := t.TempDir()
	b := openBench(t, dir)
	ss := b.Begin()
	old, torn, rewritten, whole := block(1, 800), block(2, 800), block(3, 800), block(4, 800)
	b.put(t, ss, old)
	b.recover(t)
	b.checkpoint(t)
	b.put(t, ss, torn, rewritten, whole)
	ss.End()
	flat := b.disk.(*flatDisk)
	for _, blk := range []blocks.Block{torn, rewritten} {
		key := keyOf(blk.Cid().Hash())
		if err := os.WriteFile(filepath.Join(flat.path(flat.part(key)), key.String()[1:]+".data"), make([]byte, 400), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.pretendReboot(t)
	b.close(t)

	b = openBench(t, dir)
	defer b.close(t)
	for _, tc := range []struct {
		name string
		blk  blocks.Block
		want bool
	}{{"old", old, true}, {"torn", torn, false}, {"to rewrite", rewritten, false}, {"whole", whole, true}} {
		if got := b.has(t, tc.blk); got != tc.want {
			t.Errorf("%s block there: %v", tc.name, got)
		}
		if _, err := b.Get(t.Context(), tc.blk.Cid()); (err == nil) != tc.want {
			t.Errorf("%s block: %v", tc.name, err)
		}
	}
	ss = b.Begin()
	b.put(t, ss, rewritten)
	ss.End()
	if !b.has(t, rewritten) {
		t.Error("a torn block was not written again")
	}
	b.checkpoint(t) // must not forget that there are torn blocks
	b.recover(t)
	if b.has(t, torn) || !b.has(t, rewritten) || !b.has(t, whole) || b.Used() != 3*800 {
		t.Errorf("after recovery: torn %v, rewritten %v, whole %v, used %d", b.has(t, torn), b.has(t, rewritten), b.has(t, whole), b.Used())
	}
}

func TestLimit(t *testing.T) {
	b := openBench(t, t.TempDir(), func(c *Config) { c.Limit = 2000 })
	defer b.close(t)
	ss := b.Begin()
	defer ss.End()
	b.put(t, ss, block(1, 800), block(2, 800), block(1, 800))
	if _, err := ss.Put(t.Context(), block(3, 800)); pinset.KindOf(err) != pinset.KindRefused {
		t.Errorf("over the limit: %v", err)
	}
	if err := b.Keep(t.Context(), block(3, 800)); err != nil || b.has(t, block(3, 800)) {
		t.Errorf("what nobody holds is dropped without a word: %v", err)
	}
	b.put(t, ss, block(4, 400))
}

func TestCollectSparesWhatSessionsTouched(t *testing.T) {
	kinds(t, func(t *testing.T, kind func(*Config)) {
		b := openBench(t, t.TempDir(), kind)
		defer b.close(t)
		before := b.Begin() // ended before: its blocks are garbage
		b.put(t, before, block(0, 800), block(1, 800), block(2, 800), block(3, 800))
		before.End()
		open := b.Begin()
		b.put(t, open, block(1, 800)) // was there: touched only
		ending := b.Begin()
		b.put(t, ending, block(2, 800), block(20, 800))
		var begun *Session
		mark := func(context.Context) (*Seen, error) {
			ending.End() // its pin came too late for this mark
			begun = b.Begin()
			b.put(t, begun, block(3, 800), block(30, 800))
			return NewSeen(b.cfg.Tmp), nil
		}
		var gone []cid.Cid
		for c, err := range b.Collect(t.Context(), mark) {
			if err != nil {
				t.Fatal(err)
			}
			gone = append(gone, c)
		}
		if len(gone) != 1 || !gone[0].Equals(block(0, 800).Cid()) {
			t.Errorf("collected %v, want only %s", gone, block(0, 800).Cid())
		}
		open.End()
		begun.End()
		nothing := func(context.Context) (*Seen, error) { return NewSeen(b.cfg.Tmp), nil }
		n := 0
		for _, err := range b.Collect(t.Context(), nothing) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != 5 || b.Used() != 0 || len(b.sessions) != 0 {
			t.Errorf("then collected %d, %d bytes and %d sessions left", n, b.Used(), len(b.sessions))
		}
	})
}

func TestCollectKeepsWhatIsMarkedAndStopsWhenLeft(t *testing.T) {
	b := openBench(t, t.TempDir())
	defer b.close(t)
	ss := b.Begin()
	for i := range 300 {
		b.put(t, ss, block(i, 80))
	}
	ss.End()
	mark := func(context.Context) (*Seen, error) {
		live := NewSeen(b.cfg.Tmp)
		for i := range 100 {
			if _, _, err := live.Add(block(i, 80).Cid()); err != nil {
				return nil, err
			}
		}
		return live, nil
	}
	for range b.Collect(t.Context(), mark) {
		break
	}
	if b.Used() <= 100*80 {
		t.Error("leaving the loop did not end the collection")
	}
	for _, err := range b.Collect(t.Context(), mark) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 300 {
		if got := b.has(t, block(i, 80)); got != (i < 100) {
			t.Errorf("block %d there: %v", i, got)
		}
	}
}

// A Seen that spills says the same as one in memory.
func TestSeenAgainstAMap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	small, large := NewSeen(t.TempDir()), NewSeen(t.TempDir())
	small.limit = 7
	defer small.Close()
	defer large.Close()
	bytesSeen, readings := map[string]bool{}, map[string]bool{}
	for range 5000 {
		c := block(rnd.IntN(500), 8).Cid()
		codec := []uint64{cid.Raw, cid.DagProtobuf, cid.DagCBOR, cid.GitRaw}[rnd.IntN(4)]
		c = cid.NewCidV1(codec, c.Hash())
		wantFresh := !bytesSeen[string(c.Hash())]
		wantDescend := codec != cid.Raw && !readings[c.KeyString()]
		bytesSeen[string(c.Hash())], readings[c.KeyString()] = true, true
		for _, s := range []*Seen{small, large} {
			fresh, descend, err := s.Add(c)
			if err != nil || fresh != wantFresh || descend != wantDescend {
				t.Fatalf("limit %d, %s: %v %v %v, want %v %v", s.limit, c, fresh, descend, err, wantFresh, wantDescend)
			}
		}
	}
	for i := range 600 {
		h := block(i, 8).Cid().Hash()
		for _, s := range []*Seen{small, large} {
			if has, err := s.Has(h); err != nil || has != bytesSeen[string(h)] {
				t.Errorf("limit %d: has %v, %v", s.limit, has, err)
			}
		}
	}
}

func TestCheckpointSurvivesAnyBytes(t *testing.T) {
	var c checkpoint
	c.at, c.boot = 5, "b"
	c.parts[3] = partCount{1, 2, 3}
	whole := c.encode()
	if got := decodeCheckpoint(whole); *got != c {
		t.Errorf("decoded %+v", got)
	}
	for i := range whole {
		decodeCheckpoint(whole[:i])
		torn := slices.Clone(whole)
		torn[i] ^= 0xff
		decodeCheckpoint(torn)
	}
}
