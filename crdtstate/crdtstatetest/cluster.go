package crdtstatetest

import (
	"context"
	"fmt"
	"io"
	"iter"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/identity/identitytest"
	"github.com/pinfold/pinfold/pinset"
)

// Cluster is a founding with the keys of its members to be. Keys[0] is the
// founder's.
type Cluster struct{ *identitytest.Cluster }

// New founds a cluster of n keys with the default policy.
func New(t testing.TB, n int) *Cluster { return &Cluster{identitytest.New(t, n)} }

// Config is that of the i-th peer with a store in memory.
func (c *Cluster) Config(i int) crdtstate.Config {
	return crdtstate.Config{Store: "memory", Founding: c.Founding, Secret: c.Secret, Key: c.Keys[i]}
}

// Open opens an empty state of the i-th peer, in memory. It is closed with the
// test.
func (c *Cluster) Open(i int) *crdtstate.State { return c.OpenWith(c.Config(i)) }

// OpenWith opens a state, which is closed with the test.
func (c *Cluster) OpenWith(cfg crdtstate.Config) *crdtstate.State {
	c.T.Helper()
	s, err := crdtstate.Open(context.Background(), cfg)
	if err != nil {
		c.T.Fatal(err)
	}
	c.T.Cleanup(func() {
		if err := s.Close(); err != nil {
			c.T.Error("close state:", err)
		}
	})
	return s
}

// Founded opens the founder's state with its first delta.
func (c *Cluster) Founded() *crdtstate.State {
	c.T.Helper()
	s := c.Open(0)
	c.Enter(s, 0)
	return s
}

// Enter commits the i-th peer's first record in its state.
func (c *Cluster) Enter(s *crdtstate.State, i int) {
	c.T.Helper()
	c.Commit(s, crdtstate.Op{Key: identity.MemberKey(c.ID(i)), Value: c.Seal(i, c.Record(i))})
}

// All opens a state for each key, in memory; all are members and in agreement.
func (c *Cluster) All() []*crdtstate.State {
	c.T.Helper()
	states := make([]*crdtstate.State, len(c.Keys))
	for i := range c.Keys {
		states[i] = c.Open(i)
		if i > 0 {
			c.Pull(states[i], states[0])
		}
		c.Enter(states[i], i)
		if i > 0 {
			c.Pull(states[0], states[i])
		}
	}
	for _, s := range states[1:] {
		c.Pull(s, states[0])
	}
	return states
}

// Commit commits changes that must be accepted.
func (c *Cluster) Commit(s *crdtstate.State, ops ...crdtstate.Op) pinset.Receipt {
	c.T.Helper()
	r, err := s.Commit(context.Background(), ops...)
	if err != nil {
		c.T.Fatal("commit:", err)
	}
	return r
}

// Pull delivers to one state what another has.
func (c *Cluster) Pull(to, from *crdtstate.State) int {
	c.T.Helper()
	n, err := Deliver(context.Background(), to, from)
	if err != nil {
		c.T.Fatal("deliver:", err)
	}
	return n
}

// Deliver hands everything that from has and to lacks to the latter, as the network
// would.
func Deliver(ctx context.Context, to, from *crdtstate.State) (int, error) {
	haves, err := to.Haves(ctx)
	if err != nil {
		return 0, err
	}
	heads := from.Summary().Heads
	sent := func(yield func([]byte, error) bool) {
		err := from.Send(ctx, heads, haves, func(raw []byte) error {
			if !yield(raw, nil) {
				return io.ErrClosedPipe
			}
			return nil
		})
		if err != nil && err != io.ErrClosedPipe {
			yield(nil, err)
		}
	}
	next, stop := iter.Pull2(sent)
	defer stop()
	return to.Receive(ctx, heads, func() ([]byte, error) {
		raw, err, ok := next()
		if !ok {
			return nil, io.EOF
		}
		return raw, err
	})
}

// Adopt hands the genesis of one state over to another, with what its members signed.
func Adopt(ctx context.Context, to, from *crdtstate.State) error {
	for _, raw := range from.Signed() {
		if _, err := to.AcceptSigned(ctx, raw); err != nil {
			return err
		}
	}
	root, have := to.Adopting()
	next, stop := iter.Pull2(func(yield func([]byte, error) bool) {
		err := from.Genesis(ctx, root, have, func(raw []byte) error {
			if !yield(raw, nil) {
				return io.ErrClosedPipe
			}
			return nil
		})
		if err != nil && err != io.ErrClosedPipe {
			yield(nil, err)
		}
	})
	defer stop()
	return to.Adopt(ctx, func() ([]byte, error) {
		raw, err, ok := next()
		if !ok {
			return nil, io.EOF
		}
		return raw, err
	})
}

// CID is the n-th test CID, the same in every run.
func CID(n int) cid.Cid {
	mh, err := multihash.Sum(fmt.Appendf(nil, "pinfold test block %d", n), multihash.SHA2_256, -1)
	if err != nil {
		panic(err) // sha2-256 is always there
	}
	return cid.NewCidV1(cid.Raw, mh)
}

// Pin is a pin of the n-th test CID by the default owner.
func Pin(n int) pinset.Pin {
	return pinset.Pin{CID: CID(n), Name: fmt.Sprintf("item %d", n), Created: identitytest.Start()}
}

// PinOp pins.
func PinOp(p pinset.Pin) crdtstate.Op {
	v, err := p.Encode()
	if err != nil {
		panic(err) // a test's pin is valid
	}
	return crdtstate.Op{Key: p.Key(), Value: v}
}

// UnpinOp removes.
func UnpinOp(p pinset.Pin) crdtstate.Op { return crdtstate.Op{Key: p.Key()} }
