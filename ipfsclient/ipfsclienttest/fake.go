package ipfsclienttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/ipld/merkledag"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/pinfold/pinfold/ipfsclient"
	"github.com/pinfold/pinfold/pinset"
)

// Config of a fake. The zero value is a node with a boundless disk.
type Config struct {
	number int     // of the node in its world
	ID     peer.ID // "": one of the world's
	Disk   uint64  // bytes of its file system, 0: boundless
	Max    uint64  // its own configured limit (Kubo's StorageMax), which Kubo does not hold itself to
	Speed  uint64  // bytes per second at which imagined DAGs come in, 0: at once
}

// Fake is an IPFS node in memory, in all its roles.
type Fake struct {
	world *World
	id    peer.ID
	addr  string
	cfg   Config

	faults atomic.Pointer[Faults]
	down   atomic.Bool
	others atomic.Uint64 // bytes on its disk that are not its own
	weight atomic.Uint64 // bytes of all imagined DAGs that are here

	storage gate       // pins and adds go in together, GC alone
	mu      sync.Mutex // guards what follows
	calls   map[Op]int
	pins    map[cid.Cid]pinned
	waste   map[cid.Cid]uint64 // bytes of imagined DAGs that came in and are not pinned
	blocks  *content           // nil until there is a real block
}

// pinned is kept small: a benchmark has hundreds of thousands.
type pinned struct {
	name     string
	bytes    uint64 // of an imagined DAG
	count    uint32 // its blocks
	mode     pinset.Mode
	imagined bool
	lost     bool // the pin is there, the data is not
}

var _ ipfsclient.Node = (*Fake)(nil)

func newFake(w *World, cfg Config, addr string) *Fake {
	f := &Fake{world: w, id: cfg.ID, addr: addr, cfg: cfg,
		calls: map[Op]int{}, pins: map[cid.Cid]pinned{}, waste: map[cid.Cid]uint64{}}
	f.faults.Store(&Faults{})
	return f
}

// ID returns the node's peer id.
func (f *Fake) ID() peer.ID { return f.id }

// Address returns a multiaddress for other fakes to connect to.
func (f *Fake) Address() string { return f.addr + "/p2p/" + f.id.String() }

// Break makes calls from now on fail as told; the zero Faults heals the node.
func (f *Fake) Break(faults Faults) { f.faults.Store(&faults) }

// Stop takes the node away: calls are refused, others get nothing from it.
func (f *Fake) Stop() { f.down.Store(true) }

// Start brings it back.
func (f *Fake) Start() {
	f.down.Store(false)
	f.world.mu.Lock()
	defer f.world.mu.Unlock()
	f.world.announce()
}

func (f *Fake) stopped() bool { return f.down.Load() }

// Occupy puts n bytes of other things on the node's disk.
func (f *Fake) Occupy(n uint64) { f.others.Store(n) }

// Calls says how often a method was called.
func (f *Fake) Calls(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

// Forget drops a pin without a word, as an owner does with `ipfs pin rm`.
func (f *Fake) Forget(c cid.Cid) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unpinLocked(c)
}

// Claim makes the node say that it holds a pin whose data it does not have.
func (f *Fake) Claim(p pinset.NodePin) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unpinLocked(p.CID)
	f.pins[p.CID] = pinned{name: p.Name, mode: p.Mode, lost: true}
}

// Lose drops the data of c and keeps its pin: a broken disk.
func (f *Fake) Lose(c cid.Cid) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p, ok := f.pins[c]; ok {
		p.lost = true
		f.pins[c] = p
	}
	if f.blocks != nil {
		f.blocks.remove(c)
	}
}

// do runs a call between its faults.
func (f *Fake) do(ctx context.Context, c Call, act func() error) error {
	f.mu.Lock()
	f.calls[c.Op]++
	f.mu.Unlock()
	if f.stopped() {
		return Refuse(ctx, c)
	}
	faults := f.faults.Load()
	if faults.Before != nil {
		if err := faults.Before(ctx, c); errors.Is(err, errPretend) {
			return nil
		} else if err != nil {
			return err
		}
	}
	if err := context.Cause(ctx); err != nil {
		return ended(c, err)
	}
	if err := act(); err != nil {
		return err
	}
	if faults.After != nil {
		return faults.After(ctx, c)
	}
	return nil
}

func ended(c Call, err error) error {
	return pinset.Errorf(pinset.KindTimeout, "%s (fake): %w", c.Op, err)
}

// full says that need more bytes do not fit. The caller holds f.mu.
func (f *Fake) full(need uint64) error {
	if f.cfg.Disk == 0 || f.usedLocked()+f.others.Load()+need <= f.cfg.Disk {
		return nil
	}
	return pinset.Errorf(pinset.KindUnavailable, "ipfs node (fake): no space left on device")
}

func (f *Fake) usedLocked() uint64 {
	used := f.weight.Load()
	if f.blocks != nil {
		used += f.blocks.bytes()
	}
	return used
}

// local returns a block that is here.
func (f *Fake) local(c cid.Cid) (blocks.Block, error) {
	f.mu.Lock()
	b := f.blocks
	f.mu.Unlock()
	if b == nil {
		return nil, ipld.ErrNotFound{Cid: c}
	}
	return b.store.Get(context.Background(), c)
}

// dag returns the node's content, which it makes when it is first needed.
func (f *Fake) dag() *content {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.blocks == nil {
		f.blocks = newContent(f)
	}
	return f.blocks
}

// content is the real blocks of a fake.
type content struct {
	store  *counted
	online ipld.DAGService
	here   ipld.DAGService
}

func newContent(f *Fake) *content {
	store := &counted{Blockstore: blockstore.NewBlockstore(dssync.MutexWrap(ds.NewMapDatastore()), blockstore.NoPrefix()), fake: f}
	return &content{
		store:  store,
		online: merkledag.NewDAGService(blockservice.New(store, exchange{f})),
		here:   merkledag.NewDAGService(blockservice.New(store, nil)),
	}
}

func (c *content) bytes() uint64 { return c.store.total.Load() }

func (c *content) remove(k cid.Cid) { _ = c.store.DeleteBlock(context.Background(), k) }

// counted is a block store that knows its size and the node's disk.
type counted struct {
	blockstore.Blockstore
	fake  *Fake
	mu    sync.Mutex
	total atomic.Uint64
}

func (s *counted) Put(ctx context.Context, b blocks.Block) error {
	return s.PutMany(ctx, []blocks.Block{b})
}

func (s *counted) PutMany(ctx context.Context, bs []blocks.Block) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range bs {
		if has, err := s.Has(ctx, b.Cid()); err != nil || has {
			continue
		}
		size := uint64(len(b.RawData()))
		if d := s.fake.cfg.Disk; d != 0 && s.total.Load()+s.fake.weight.Load()+s.fake.others.Load()+size > d {
			return pinset.Errorf(pinset.KindUnavailable, "ipfs node (fake): no space left on device")
		}
		if err := s.Blockstore.Put(ctx, b); err != nil {
			return fmt.Errorf("put block %s: %w", b.Cid(), err)
		}
		s.total.Add(size)
	}
	s.fake.world.wake()
	return nil
}

func (s *counted) DeleteBlock(ctx context.Context, c cid.Cid) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	size, err := s.GetSize(ctx, c)
	if err != nil {
		return err
	}
	s.total.Add(-uint64(size))
	return s.Blockstore.DeleteBlock(ctx, c)
}

// exchange fetches blocks from the nodes that a fake is connected to.
type exchange struct{ fake *Fake }

func (x exchange) GetBlock(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	for {
		b, changed := x.fake.world.find(x.fake, c)
		if b != nil {
			return b, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (x exchange) GetBlocks(ctx context.Context, cs []cid.Cid) (<-chan blocks.Block, error) {
	out := make(chan blocks.Block)
	go func() { // ends with ctx, or when all are delivered
		defer close(out)
		for _, c := range cs {
			b, err := x.GetBlock(ctx, c)
			if err != nil {
				return
			}
			select {
			case out <- b:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func (x exchange) NotifyNewBlocks(context.Context, ...blocks.Block) error { return nil }
func (x exchange) Close() error                                           { return nil }

// Identity implements ipfsclient.Swarm.
func (f *Fake) Identity(ctx context.Context) (id pinset.NodeID, err error) {
	err = f.do(ctx, Call{Op: OpIdentity}, func() error {
		id = pinset.NodeID{Peer: f.id, Addresses: []string{f.Address()}, Agent: "fake/1"}
		return nil
	})
	return id, err
}

// Sign implements ipfsclient.Swarm. A node whose id was given signs with a key
// that is not that of its id.
func (f *Fake) Sign(ctx context.Context, data []byte) (sig []byte, err error) {
	err = f.do(ctx, Call{Op: OpSign}, func() error {
		sig, err = testKey(f.cfg.number).Sign(append([]byte("libp2p-key signed message:"), data...))
		return err
	})
	return sig, err
}

// Connect implements ipfsclient.Swarm.
func (f *Fake) Connect(ctx context.Context, addrs ...string) error {
	return f.do(ctx, Call{Op: OpConnect}, func() error {
		for _, a := range addrs {
			m, err := multiaddr.NewMultiaddr(a)
			if err != nil {
				return pinset.Invalid("address %q: %v", a, err)
			}
			info, err := peer.AddrInfoFromP2pAddr(m)
			if err != nil {
				return pinset.Invalid("address %q: %v", a, err)
			}
			if f.world.connect(f, info.ID) {
				return nil
			}
		}
		return pinset.Errorf(pinset.KindUnavailable, "connect %q (fake): nobody there", addrs)
	})
}
