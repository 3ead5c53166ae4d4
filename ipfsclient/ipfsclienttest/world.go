package ipfsclienttest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/pinset"
)

// World is a network of fakes.
type World struct {
	// Imagine, if not nil, says which CIDs exist without having content, and how
	// large their DAGs are. Everybody finds them. It must be safe for concurrent
	// use, and is set before the first node is made.
	Imagine func(cid.Cid) (pinset.Progress, bool)

	// Open makes every node reach every other without Connect.
	Open bool

	mu      sync.Mutex
	nodes   map[peer.ID]*Fake
	links   map[[2]peer.ID]bool
	changed chan struct{} // closed and replaced when someone may find more
}

// Everything is an Imagine for which all CIDs exist, each of one block of 1 KiB.
func Everything(cid.Cid) (pinset.Progress, bool) {
	return pinset.Progress{Blocks: 1, Bytes: 1024}, true
}

// CID returns the n-th of an endless row of CIDs (version 1, raw) for which there
// is no content.
func CID(n uint64) cid.Cid {
	h := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("pinfold test"), n))
	mh, err := multihash.Encode(h[:], multihash.SHA2_256)
	if err != nil {
		panic(err) // a code that is always there
	}
	return cid.NewCidV1(cid.Raw, mh)
}

// Node returns a new fake in w with defaults.
func (w *World) Node() *Fake { return w.NodeWith(Config{}) }

// NodeWith returns a new fake in w.
func (w *World) NodeWith(cfg Config) *Fake {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.nodes == nil {
		w.nodes, w.links, w.changed = map[peer.ID]*Fake{}, map[[2]peer.ID]bool{}, make(chan struct{})
	}
	n := len(w.nodes) + 1
	if cfg.ID == "" {
		cfg.ID = testID(n)
	}
	cfg.number = n
	f := newFake(w, cfg, fmt.Sprintf("/ip4/10.%d.%d.%d/tcp/4001", n>>16, n>>8&255, n&255))
	w.nodes[cfg.ID] = f
	return f
}

func testID(n int) peer.ID {
	id, err := peer.IDFromPrivateKey(testKey(n))
	if err != nil {
		panic(err)
	}
	return id
}

func testKey(n int) crypto.PrivKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "pinfold test node %d", n))
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		panic(err) // a key of the right length
	}
	return key
}

// Disconnect cuts the connection between two nodes.
func (w *World) Disconnect(a, b *Fake) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.links, link(a.id, b.id))
}

func link(a, b peer.ID) [2]peer.ID { return [2]peer.ID{min(a, b), max(a, b)} }

func (w *World) connect(a *Fake, to peer.ID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	other := w.nodes[to]
	if other == nil || other.stopped() {
		return false
	}
	w.links[link(a.id, to)] = true
	w.announce()
	return true
}

// announce wakes those who wait for blocks. The caller holds w.mu.
func (w *World) announce() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// find looks for a block at the nodes that n reaches. When there is none, it
// returns a channel that is closed when looking again may help.
func (w *World) find(n *Fake, c cid.Cid) (blocks.Block, <-chan struct{}) {
	w.mu.Lock()
	changed := w.changed
	var reach []*Fake
	for id, other := range w.nodes {
		if other != n && (w.Open || w.links[link(n.id, id)]) {
			reach = append(reach, other)
		}
	}
	w.mu.Unlock()
	for _, other := range reach {
		if other.stopped() {
			continue
		}
		if b, err := other.local(c); err == nil {
			return b, nil
		}
	}
	return nil, changed
}

func (w *World) imagined(c cid.Cid) (pinset.Progress, bool) {
	if w.Imagine == nil {
		return pinset.Progress{}, false
	}
	return w.Imagine(c)
}

// wake tells those who wait for blocks to look again.
func (w *World) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.announce()
}
