package identitytest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/identity"
)

// Start is when test clusters are founded.
func Start() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// Key returns the n-th test key, the same in every run.
func Key(t testing.TB, n int) identity.Key {
	t.Helper()
	seed := sha256.Sum256(fmt.Appendf(nil, "pinfold test key %d", n))
	private, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		t.Fatal(err)
	}
	k, err := identity.KeyFrom(private)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Cluster is a founding with the keys of its members to be. Keys[0] is the
// founder's.
type Cluster struct {
	T        testing.TB
	Founding *identity.Founding
	Secret   identity.Secret
	Keys     []identity.Key
}

// New founds a test cluster of n keys with the default policy.
func New(t testing.TB, n int) *Cluster { return NewWith(t, n, identity.DefaultPolicy()) }

// NewWith founds a test cluster of n keys.
func NewWith(t testing.TB, n int, p identity.Policy) *Cluster {
	t.Helper()
	c := &Cluster{T: t, Secret: identity.Secret(sha256.Sum256([]byte("pinfold test secret")))}
	for i := range n {
		c.Keys = append(c.Keys, Key(t, i))
	}
	f, err := identity.Found(c.Keys[0], "test", c.Secret, p, Start())
	if err != nil {
		t.Fatal(err)
	}
	c.Founding = f
	return c
}

// ID is the peer id of the i-th key.
func (c *Cluster) ID(i int) peer.ID { return c.Keys[i].ID() }

// Record is a valid record of the i-th key: seq 1, 1 TB lent.
func (c *Cluster) Record(i int) identity.Record {
	return identity.Record{
		Peer: c.ID(i), Name: fmt.Sprintf("peer%d", i), Proof: c.Secret.Proof(c.Founding.ID(), c.ID(i)),
		Lent: 1e12, Phi: identity.FullPhi, Seq: 1, Level: identity.OwnLevel,
	}
}

// Seal signs a record with the i-th key.
func (c *Cluster) Seal(i int, r identity.Record) []byte {
	c.T.Helper()
	value, err := r.Seal(c.Keys[i], c.Founding.ID())
	if err != nil {
		c.T.Fatal(err)
	}
	return value
}

// Element is the i-th key's first record as an element of a block.
func (c *Cluster) Element(i int) identity.Element {
	c.T.Helper()
	return identity.Element{Key: identity.MemberKey(c.ID(i)), Value: c.Seal(i, c.Record(i))}
}

// Entry is the i-th key's first record as an admitted entry.
func (c *Cluster) Entry(i int) identity.Entry {
	e := c.Element(i)
	return identity.Entry{Author: c.ID(i), Seq: 1, Priority: uint64(i) + 1, Key: e.Key, Value: e.Value}
}

// Authority is that of the first n members' records.
func (c *Cluster) Authority(n int) *identity.Authority {
	c.T.Helper()
	var all []identity.Entry
	for i := range n {
		all = append(all, c.Entry(i))
	}
	return identity.NewAuthority(c.Founding, c.Secret, all...)
}
