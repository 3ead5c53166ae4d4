package ipfsnode

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	blocks "github.com/ipfs/go-block-format"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/pinfold/pinfold/ipfsnode/store"
	"github.com/pinfold/pinfold/pinset"
)

// Config of a node.
type Config struct {
	Dir        string             // everything the node keeps; one process at a time
	Listen     []ma.Multiaddr     // TCP and QUIC; empty: dial only
	Key        crypto.PrivKey     // nil: kept in Dir, made at the first start
	StorageMax uint64             // bytes that blocks may take; 0: no limit of its own
	Spare      uint64             // bytes of the file system that blocks leave free; 0: 100 MiB
	SendRate   uint64             // bytes of blocks that are sent in a second, on average; 0: no limit
	FetchRate  uint64             // the same of blocks that are fetched
	Allowed    func(peer.ID) bool // whom blocks are served to; nil: nobody. Called often, concurrently
	Blockstore string             // store.Flatfs (default) or store.Badger
	Agent      string             // told to other nodes; default "pinfold"
	PortMap    bool               // ask the home router for a port
	Log        *slog.Logger       // default: silent
}

func (c Config) withDefaults() Config {
	if c.Allowed == nil {
		c.Allowed = func(peer.ID) bool { return false }
	}
	if c.Spare == 0 {
		c.Spare = 100 << 20
	}
	if c.Agent == "" {
		c.Agent = "pinfold"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Log = c.Log.With("component", "ipfsnode")
	return c
}

// Node is an IPFS node. All methods are safe for concurrent use until Close.
type Node struct {
	cfg   Config
	db    *pebble.DB // pins and counts
	store *store.Store
	pins  *pins
	swarm *swarm
	dag   ipld.DAGService // local blocks, else fetched ones
	tmp   string

	unpinned atomic.Uint64 // counts what may have left garbage
}

// New opens the node in cfg.Dir, or makes it, and binds its listeners. It works when
// New returns; Run keeps it in order.
func New(cfg Config) (n *Node, err error) {
	n = &Node{cfg: cfg.withDefaults(), tmp: filepath.Join(cfg.Dir, "tmp")}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
			n = nil
		}
	}()
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return n, fmt.Errorf("make IPFS node's directory: %w", err)
	}
	if n.db, err = openDB(filepath.Join(cfg.Dir, "pins")); err != nil {
		return n, err
	}
	n.pins = &pins{db: n.db}
	if err := errors.Join(os.RemoveAll(n.tmp), os.Mkdir(n.tmp, 0o700)); err != nil { // the database's lock is ours
		return n, fmt.Errorf("clear temporary directory: %w", err)
	}
	if cfg.Key == nil {
		if n.cfg.Key, err = loadKey(filepath.Join(cfg.Dir, "key")); err != nil {
			return n, err
		}
	}
	n.store, err = store.Open(store.Config{
		Dir: filepath.Join(cfg.Dir, "blocks"), Kind: cfg.Blockstore, Limit: cfg.StorageMax, Spare: n.cfg.Spare, Tmp: n.tmp, DB: n.db,
		Arrived: func(ctx context.Context, b blocks.Block) { n.swarm.arrived(ctx, b) },
	})
	if err != nil {
		return n, err
	}
	if n.swarm, err = newSwarm(n.cfg, n.store); err != nil {
		return n, err
	}
	n.dag = n.swarm.dag
	return n, n.settle()
}

// settleTime is how long a start may take to count what a crash left uncounted; Run
// counts the rest.
const settleTime = 3 * time.Second

func (n *Node) settle() error {
	ctx, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	if err := n.store.Recover(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// Close ends the node; nothing may use it any more. What New could not open is
// skipped.
func (n *Node) Close() error {
	var errs []error
	if n.swarm != nil {
		errs = append(errs, n.swarm.close())
	}
	if n.store != nil {
		if n.swarm != nil {
			errs = append(errs, n.store.Checkpoint(context.Background()))
		}
		errs = append(errs, n.store.Close())
	}
	if n.db != nil {
		errs = append(errs, n.db.Close())
	}
	return errors.Join(errs...)
}

// Times of Run.
const (
	tidyEvery       = 10 * time.Second
	checkpointEvery = 30 * time.Second
)

// Run keeps connections to members, counts what a crash left uncounted, keeps the
// counts, and collects garbage when StorageMax comes near. It returns nil when ctx
// ends.
func (n *Node) Run(ctx context.Context) error {
	if err := n.store.Recover(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	var c collector
	saved := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			n.swarm.forget()
			if err := n.tidy(ctx, &c, now.Sub(saved) >= checkpointEvery); err != nil && ctx.Err() == nil {
				return err
			}
			if now.Sub(saved) >= checkpointEvery {
				saved = now
			}
		}
	}
}

func (n *Node) tidy(ctx context.Context, c *collector, save bool) error {
	if save {
		if err := n.store.Checkpoint(ctx); err != nil {
			return err
		}
	}
	return c.tidy(ctx, n)
}

// RepoStat returns the node's disk, as in pinset.RepoStat.
func (n *Node) RepoStat(context.Context) (pinset.RepoStat, error) {
	free, err := n.store.Free()
	if err != nil {
		return pinset.RepoStat{}, fmt.Errorf("stat file system: %w", err)
	}
	return pinset.RepoStat{Used: n.store.Used(), Max: n.cfg.StorageMax, Free: free}, nil
}

// openDB opens the database of pins and counts, with as little memory as it takes.
func openDB(dir string) (*pebble.DB, error) {
	cache := pebble.NewCache(2 << 20)
	defer cache.Unref()
	db, err := pebble.Open(dir, &pebble.Options{Cache: cache, MemTableSize: 1 << 20, MaxOpenFiles: 64, Logger: store.Quiet{}})
	if err != nil {
		return nil, pinset.Wrap(pinset.KindUnavailable, err, "open pins (is another process using %s?)", dir)
	}
	return db, nil
}

func loadKey(path string) (crypto.PrivKey, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read IPFS node's key: %w", err)
	}
	key, err := crypto.UnmarshalPrivateKey(raw)
	if err != nil {
		return nil, fmt.Errorf("read IPFS node's key: %w", err)
	}
	return key, nil
}

func makeKey(path string) (crypto.PrivKey, error) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make IPFS node's key: %w", err)
	}
	raw, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make IPFS node's key: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "key-") // 0600
	if err != nil {
		return nil, fmt.Errorf("write IPFS node's key: %w", err)
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return nil, fmt.Errorf("write IPFS node's key: %w", err)
	}
	return key, nil
}
