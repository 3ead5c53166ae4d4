package ipfsnode

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/boxo/datastore/dshelp"
	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/pinset"
)

// tripwire calls trip once, when at bytes of a reader have been read.
type tripwire struct {
	r    io.Reader
	at   int
	trip func()
}

func (w *tripwire) Read(b []byte) (int, error) {
	if w.at -= len(b); w.at <= 0 && w.trip != nil {
		w.trip()
		w.trip = nil
	}
	return w.r.Read(b)
}

func TestAddSurvivesCollection(t *testing.T) {
	n := testNode(t)
	data := noise(20, 8<<20)
	// Its first half is garbage already: the add finds it there and does not write it.
	add(t, n, file(data[:4<<20]), pinset.AddOptions{CIDVersion: 1}, "")
	add(t, n, file(noise(21, 1<<20)), pinset.AddOptions{CIDVersion: 1}, "")
	r := &tripwire{r: bytes.NewReader(data), at: 6 << 20, trip: func() {
		if got := collect(t, n); got < 5 {
			t.Errorf("collected %d blocks, want at least those of another add", got)
		}
	}}
	dir := files.NewSliceDirectory([]files.DirEntry{files.FileEntry("f", files.NewReaderFile(r))})
	root := add(t, n, dir, pinset.AddOptions{CIDVersion: 1}, "kept")
	collect(t, n)
	if !bytes.Equal(read(t, n, root.String()), data) {
		t.Error("read something else")
	}
	if _, err := n.DAGSize(t.Context(), root, pinset.Recursive); err != nil {
		t.Error(err)
	}
}

// Adds, pins and unpins go on while garbage is collected all the time.
func TestCollectionBesideEverything(t *testing.T) {
	a, b := testNode(t), testNode(t)
	connect(t, b, a)
	var roots []cid.Cid
	for i := range 8 {
		roots = append(roots, add(t, a, file(noise(uint64(30+i%4), 1<<20+i/4)), pinset.AddOptions{CIDVersion: 1}, "x"))
	}
	ctx, stop := context.WithCancel(t.Context())
	b.swarm.fetcher.reask = time.Second
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		for ctx.Err() == nil {
			collect(t, b)
		}
	}()
	var wg sync.WaitGroup
	for w := range 3 {
		rnd := rand.New(rand.NewPCG(uint64(w), 1))
		wg.Go(func() {
			for range 25 {
				i := rnd.IntN(len(roots))
				switch rnd.IntN(4) {
				case 0:
					if err := b.Unpin(ctx, roots[i], pinset.Recursive); err != nil {
						t.Error(err)
					}
				case 1:
					for _, err := range b.Add(ctx, file(noise(uint64(30+i%4), 1<<20+i/4)), pinset.AddOptions{CIDVersion: 1}, "added") {
						if err != nil {
							t.Error(err)
						}
					}
				default:
					if err := b.Pin(ctx, roots[i], pinset.PinOptions{Name: "pinned"}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	stop()
	<-collected
	pins := wholePins(t, b)
	checkCount(t, b)
	for p := range pins {
		c, err := cid.Decode(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Unpin(t.Context(), c, pinset.Recursive); err != nil {
			t.Error(err)
		}
	}
	collect(t, b)
	if got := used(t, b); got != 0 {
		t.Errorf("%d bytes left with no pin", got)
	}
}

func TestCollectionNeedsAllPinnedBlocks(t *testing.T) {
	n := testNode(t)
	root := add(t, n, file(noise(22, 1<<20)), pinset.AddOptions{}, "damaged")
	add(t, n, file(noise(23, 1<<20)), pinset.AddOptions{}, "")
	links, err := linksPB(mustGet(t, n, root))
	if err != nil {
		t.Fatal(err)
	}
	lose(t, n, links[1])
	before := used(t, n)
	var last error
	for c, err := range n.GC(t.Context()) {
		if last = err; err == nil {
			t.Errorf("collected %s", c)
		}
	}
	if last == nil || used(t, n) != before {
		t.Errorf("collected with a hole in a pin: %v", last)
	}
}

// lose loses a block behind the store's back.
func lose(t *testing.T, n *Node, c cid.Cid) {
	t.Helper()
	name := strings.TrimPrefix(dshelp.MultihashToDsKey(c.Hash()).String(), "/")
	if err := os.Remove(filepath.Join(n.cfg.Dir, "blocks", name[len(name)-3:len(name)-1], name+".data")); err != nil {
		t.Fatal(err)
	}
}

func mustHash(t testing.TB, s string) multihash.Multihash {
	t.Helper()
	h, err := multihash.Sum([]byte(s), multihash.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func mustGet(t *testing.T, n *Node, c cid.Cid) []byte {
	t.Helper()
	b, err := n.store.Get(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCollectorIsDueNearTheLimit(t *testing.T) {
	n := testNode(t, func(c *Config) { c.StorageMax = 10 << 20 })
	var c collector
	tidy := func(want bool, what string) {
		t.Helper()
		if got := c.due(n); got != want {
			t.Errorf("%s: due %v", what, got)
		}
		if err := c.tidy(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	old := add(t, n, file(noise(24, 5<<20)), pinset.AddOptions{CIDVersion: 1}, "old")
	tidy(false, "half full")
	add(t, n, file(noise(25, 4<<20+300<<10)), pinset.AddOptions{CIDVersion: 1}, "new")
	tidy(true, "nearly full")
	tidy(false, "all of it is pinned, nothing has changed")
	var refused error
	for _, err := range n.Add(t.Context(), file(noise(26, 2<<20)), pinset.AddOptions{}, "too much") {
		refused = err
	}
	if pinset.KindOf(refused) != pinset.KindRefused {
		t.Errorf("add over the limit: %v", refused)
	}
	if err := n.Unpin(t.Context(), old, pinset.Recursive); err != nil {
		t.Fatal(err)
	}
	tidy(true, "something was unpinned")
	if got := used(t, n); got > 5<<20 {
		t.Errorf("%d bytes in use after collection", got)
	}
}
