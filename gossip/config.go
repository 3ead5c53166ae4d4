package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/pinfold/pinfold/identity"
)

// Config of one cluster's network.
type Config struct {
	Key      identity.Key
	Secret   identity.Secret
	Founding *identity.Founding

	Listen    []ma.Multiaddr  // nil: TCP on 9096 of all addresses
	Bootstrap []peer.AddrInfo // the invite's peers and the address book of the last run

	Open    bool // without the private network's key: QUIC works, the gater alone keeps strangers out
	MDNS    bool // look for members on the local network
	PortMap bool // ask the router for a port
	Relay   bool // relay for members when reachable, be relayed when not

	// Record is a sealed member record of this peer, above any that the state has,
	// shown at every connection while the state does not list this peer, and later
	// to members who do not know it yet. Nil: it has nothing to show.
	Record []byte

	Heartbeat time.Duration // between heartbeats of an idle peer; 0: 30 s

	// NewHost makes the host; nil: libp2p.New with limits of ours. A simulation adds its own options.
	NewHost func(...libp2p.Option) (host.Host, error)

	Log *slog.Logger
}

const defaultHeartbeat = 30 * time.Second

// withDefaults fills what is left out.
func (c Config) withDefaults() Config {
	if len(c.Listen) == 0 {
		c.Listen = []ma.Multiaddr{ma.StringCast("/ip4/0.0.0.0/tcp/9096"), ma.StringCast("/ip6/::/tcp/9096")}
		if c.Open {
			c.Listen = append(c.Listen, ma.StringCast("/ip4/0.0.0.0/udp/9096/quic-v1"), ma.StringCast("/ip6/::/udp/9096/quic-v1"))
		}
	}
	if c.Heartbeat <= 0 {
		c.Heartbeat = defaultHeartbeat
	}
	if c.NewHost == nil {
		c.NewHost = realHost
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate says what is missing or does not fit together.
func (c Config) Validate() error {
	if c.Key.Private() == nil {
		return errors.New("network: no key")
	}
	if c.Founding == nil {
		return errors.New("network: no founding record")
	}
	if c.Open {
		return nil
	}
	for _, a := range c.Listen {
		if _, err := a.ValueForProtocol(ma.P_QUIC_V1); err == nil {
			return fmt.Errorf("network: listen %s: QUIC cannot carry the private network's key; use tcp, or set network.open", a)
		}
	}
	return nil
}

// Blocks is the replicated state's log of deltas. Its methods are safe for
// concurrent use.
type Blocks interface {
	// Known says whether a delta is admitted here.
	Known(context.Context, cid.Cid) (bool, error)
	// Haves names deltas that tell a sender what is here: the heads, and older
	// ones at growing distance. At most 4,096.
	Haves(context.Context) ([]cid.Cid, error)
	// Send yields the ancestors of want (and want) that are no ancestors of have,
	// oldest first. Unknown haves are passed over; yield keeps nothing.
	Send(ctx context.Context, want, have []cid.Cid, yield func(raw []byte) error) error
	// Receive verifies and admits what next returns until io.EOF, in that order.
	// What was admitted before an error stays.
	Receive(ctx context.Context, heads []cid.Cid, next func() (raw []byte, err error)) (admitted int, err error)
}

// Summary is what the state says of itself in heartbeats.
type Summary struct {
	Heads  []cid.Cid
	Count  uint64 // live pins
	Digest [32]byte
	Height uint64
	Blocks uint64 // deltas in the log
}

// Records are the members' latest statements, opaque here. A statement has one
// author, and of two the one with the higher seq counts.
type Records interface {
	Seqs() map[peer.ID]uint64
	Record(peer.ID) []byte // nil: none
	// Accept checks a statement and keeps it if it is newer than what is here;
	// fresh says whether it was.
	Accept(ctx context.Context, raw []byte) (fresh bool, err error)
}

// Epochs is what the members sign when a new epoch begins. It is opaque here.
type Epochs interface {
	Epoch() uint64 // in force here
	Signed() [][]byte
	// SignedDigest names what Signed returns; nil for nothing.
	SignedDigest() []byte
	// AcceptSigned checks a record and keeps it if it is news.
	AcceptSigned(ctx context.Context, raw []byte) (fresh bool, err error)
}

// Geneses is what an epoch begins with, for who lacks what was folded.
type Geneses interface {
	// Behind says whether this peer needs the genesis of an epoch.
	Behind(epoch uint64) bool
	// Adopting is the root and the number of pieces of one that arrived in part.
	Adopting() (root []byte, pieces int)
	// Adopt takes one over: next returns the root, the pieces, then io.EOF.
	Adopt(ctx context.Context, next func() ([]byte, error)) error
	// Genesis yields root and pieces, without those that somebody has of this root.
	Genesis(ctx context.Context, root []byte, have int, yield func(raw []byte) error) error
}

// Answerer serves /pinfold/ask/1. It is called concurrently, and only for
// members; yield copies what it is given and fails when the asker is gone.
type Answerer interface {
	Answer(ctx context.Context, from peer.ID, request []byte, yield func([]byte) error) error
}

// Deps is what the network works for.
type Deps struct {
	Blocks    Blocks
	Summary   func() Summary
	Authority func() *identity.Authority // cheap: asked at every message
	Records   Records                    // nil: no statements
	Answerer  Answerer                   // nil: nothing is answered
	Epochs    Epochs                     // nil: there is one epoch
	Geneses   Geneses                    // set with Epochs

	// Refused says whether an error of Blocks.Receive means that a delta was bad,
	// so that who served it is counted. Nil: every error does.
	Refused func(error) bool
}

func (d Deps) refused(err error) bool { return d.Refused == nil || d.Refused(err) }
