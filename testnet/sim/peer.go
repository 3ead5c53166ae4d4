package sim

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/gossip"
	"github.com/pinfold/pinfold/identity"
)

// Club is the cluster that the peers make.
type Club struct {
	Sites    Sites
	Secret   identity.Secret
	Founding *identity.Founding
	Log      *slog.Logger
	seed     uint64

	// Options, if set, makes each host's own; peers relay for one another then.
	Options func(number int) []libp2p.Option
}

// Peer is one member, or one to be. Its key and directory outlive crashes.
type Peer struct {
	Number int
	Key    identity.Key
	Dir    string
	Store  string
	Gone   bool            // was removed
	Seen   []peer.AddrInfo // its address book, kept over crashes

	club  *Club
	State *crdtstate.State
	Net   *gossip.Network
	stop  context.CancelFunc
	done  chan error
	work  sync.WaitGroup
}

// NewClub founds a cluster. Peer 0 is its founder. The seed decides all keys.
func NewClub(w Sites, seed uint64, log *slog.Logger) (*Club, error) {
	c := &Club{Sites: w, Log: log, seed: seed}
	_, _ = c.random(1 << 32).Read(c.Secret[:])
	founder, err := c.key(0)
	if err != nil {
		return nil, err
	}
	c.Founding, err = identity.Found(founder, "simulated", c.Secret, identity.DefaultPolicy(), time.Now())
	return c, err
}

func (c *Club) random(stream uint64) *rand.ChaCha8 {
	var b [32]byte
	binary.BigEndian.PutUint64(b[:], c.seed)
	binary.BigEndian.PutUint64(b[8:], stream)
	return rand.NewChaCha8(b)
}

func (c *Club) key(number int) (identity.Key, error) {
	seed := make([]byte, 32)
	_, _ = c.random(uint64(number)).Read(seed)
	private, _, err := crypto.GenerateEd25519Key(bytes.NewReader(seed))
	if err != nil {
		return identity.Key{}, fmt.Errorf("make key: %w", err)
	}
	return identity.KeyFrom(private)
}

// NewPeer makes a peer that is no member yet and not started. Store is that of
// crdtstate.Config.
func (c *Club) NewPeer(number int, store, dir string) (*Peer, error) {
	key, err := c.key(number)
	return &Peer{Number: number, Key: key, Dir: dir, Store: store, club: c}, err
}

// Info is where the peer is found.
func (p *Peer) Info() peer.AddrInfo {
	return peer.AddrInfo{ID: p.Key.ID(), Addrs: []ma.Multiaddr{p.club.Sites.Site(p.Number).Known}}
}

// Up says whether the peer runs.
func (p *Peer) Up() bool { return p.Net != nil }

// authority is what the peer knows of members; nil when it is down.
func (p *Peer) authority() *identity.Authority {
	if !p.Up() {
		return nil
	}
	return p.State.Authority()
}

// record is a member record of the peer, sealed: the first one, or one to show.
func (p *Peer) record(seq uint64) ([]byte, error) {
	id := p.club.Founding.ID()
	return identity.Record{
		Peer: p.Key.ID(), Name: fmt.Sprintf("peer-%d", p.Number), Proof: p.club.Secret.Proof(id, p.Key.ID()),
		Lent: uint64(p.Number+1) << 30, Phi: identity.FullPhi, Seq: seq, Level: identity.OwnLevel,
		Domains: []string{fmt.Sprintf("home-%d", p.Number)},
	}.Seal(p.Key, id)
}

// config of the peer's network.
func (p *Peer) config(record []byte) gossip.Config {
	site := p.club.Sites.Site(p.Number)
	newHost := site.NewHost
	if p.club.Options != nil {
		newHost = func(opts ...libp2p.Option) (host.Host, error) {
			return site.NewHost(append(opts, p.club.Options(p.Number)...)...)
		}
	}
	return gossip.Config{
		Key: p.Key, Secret: p.club.Secret, Founding: p.club.Founding, Record: record,
		Listen: []ma.Multiaddr{site.Listen}, Bootstrap: p.Seen,
		Open: site.Open, NewHost: newHost, Relay: p.club.Options != nil, Log: p.club.Log.With("peer", p.Number),
	}
}

// Start opens the peer's state and network.
func (p *Peer) Start(ctx context.Context) error {
	state, err := crdtstate.Open(ctx, crdtstate.Config{
		Dir: p.Dir, Store: p.Store, Founding: p.club.Founding, Secret: p.club.Secret, Key: p.Key,
		Log: p.club.Log.With("peer", p.Number), Rest: time.Second,
	})
	if err != nil {
		return fmt.Errorf("open state of peer %d: %w", p.Number, err)
	}
	first, err := p.record(1)
	if err != nil {
		return errors.Join(err, state.Close())
	}
	shown, err := p.record(identity.LastIncarnation - 1)
	if err != nil {
		return errors.Join(err, state.Close())
	}
	n, err := gossip.New(p.config(shown), gossip.Deps{
		Blocks: state, Authority: state.Authority,
		Refused: func(err error) bool { return errors.Is(err, crdtstate.ErrRefused) },
		Summary: func() gossip.Summary { return gossip.Summary(state.Summary()) },
		Epochs:  state, Geneses: state,
	})
	if err != nil {
		return errors.Join(err, state.Close())
	}
	ctx, p.stop = context.WithCancel(ctx)
	p.State, p.Net, p.done = state, n, make(chan error, 1)
	go func() { p.done <- n.Run(ctx) }()
	p.work.Go(func() { p.announce(ctx, state, n) })
	p.work.Go(func() { p.enrol(ctx, state, first) })
	return nil
}

func (p *Peer) announce(ctx context.Context, state *crdtstate.State, n *gossip.Network) {
	for {
		select {
		case <-ctx.Done():
			return
		case a, ok := <-state.Announcements():
			if !ok {
				return
			}
			n.Announce(a.Head, a.Block)
		case raw := <-state.NewlySigned():
			n.ShareSigned(raw)
		}
	}
}

// enrol makes the peer a member as soon as it can: its first delta. The
// founder's makes the cluster.
func (p *Peer) enrol(ctx context.Context, s *crdtstate.State, record []byte) {
	for !s.Authority().Is(p.Key.ID()) {
		if s.Summary().Blocks > 0 || p.Number == 0 {
			_, err := s.Commit(ctx, crdtstate.Op{Key: identity.MemberKey(p.Key.ID()), Value: record})
			if err == nil {
				return
			}
			p.club.Log.Warn("not enrolled", "peer", p.Number, "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Stop ends the peer. Its directory stays as it is.
func (p *Peer) Stop() error {
	if !p.Up() {
		return nil
	}
	if book := p.Net.Book(); len(book) > 0 {
		p.Seen = book
	}
	p.stop()
	err := <-p.done
	p.work.Wait()
	err = errors.Join(err, p.State.Close())
	p.Net, p.State = nil, nil
	return err
}
