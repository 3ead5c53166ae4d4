package gate

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ipfs/boxo/datastore/dshelp"
	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-ds-crdt/pb"
	"github.com/multiformats/go-multibase"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/canon"
	"github.com/pinfold/pinfold/crdtstate/internal/block"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// What can be wrong with a block that was handed in.
var (
	// ErrRefused: forged, malformed, or not within its author's rights. Who sent it
	// should have known.
	ErrRefused = errors.New("refused")
	// ErrUnvouched comes with ErrRefused when a block is well made, but neither by a
	// member nor below a member's block. A sender that has not heard of a removal may
	// send such blocks in good faith.
	ErrUnvouched = errors.New("no member vouches for it")
	// ErrParked: made under a feature level that this peer does not know. It is
	// neither admitted nor held against anyone.
	ErrParked = errors.New("from a newer pinfold, parked until this one is updated")
	// ErrIncomplete: a parent or a head was not delivered. Ask for more.
	ErrIncomplete = errors.New("incomplete")
	// ErrKnown: admitted already.
	ErrKnown = errors.New("admitted already")
)

const maxKey = 512

// Inspected is a block that was looked at by itself: form, signature, keys and
// values. It is the part of the gate that needs no state, and may run in parallel.
type Inspected struct {
	*block.Block
	Elems []identity.Element
	Form  error // not a signed block of this cluster
	Rule  error // a signed block that breaks a rule
}

// Inspect looks at a block of an epoch as it came.
func Inspect(cluster string, epoch uint64, raw []byte) Inspected {
	b, err := block.Open(cluster, raw)
	in := Inspected{Block: b, Form: err}
	if err != nil {
		return in
	}
	in.Rule = in.rules(epoch)
	return in
}

// Trusted is a block that was inspected before it was stored, or made here.
func Trusted(b *block.Block) Inspected {
	in := Inspected{Block: b, Elems: make([]identity.Element, 0, len(b.Delta.Elements)+len(b.Delta.Tombstones))}
	for _, e := range b.Delta.Elements {
		in.Elems = append(in.Elems, identity.Element{Key: e.Key, Value: e.Value})
	}
	for _, e := range b.Delta.Tombstones {
		in.Elems = append(in.Elems, identity.Element{Key: e.Key, Tombstone: true})
	}
	return in
}

func (in *Inspected) rules(epoch uint64) error {
	d := in.Delta
	if in.Epoch != epoch {
		return fmt.Errorf("epoch %d, want %d", in.Epoch, epoch)
	}
	if in.Seq == 0 || len(in.Parents) == 0 && in.Seq != 1 {
		return fmt.Errorf("sequence number %d", in.Seq)
	}
	if n := len(d.Elements) + len(d.Tombstones); n > block.MaxElements {
		return fmt.Errorf("%d changes: at most %d", n, block.MaxElements)
	}
	in.Elems = make([]identity.Element, 0, len(d.Elements)+len(d.Tombstones))
	seen := make(map[string]struct{}, cap(in.Elems))
	for _, e := range d.Elements {
		if _, twice := seen[e.Key]; twice {
			return fmt.Errorf("key %q: twice in one delta", e.Key)
		}
		seen[e.Key] = struct{}{}
		if e.Id != "" {
			return fmt.Errorf("key %q: an element with an id", e.Key)
		}
		if err := CheckValue(e.Key, e.Value); err != nil {
			return err
		}
		in.Elems = append(in.Elems, identity.Element{Key: e.Key, Value: e.Value})
	}
	return in.removals()
}

func (in *Inspected) removals() error {
	seen := make(map[string]struct{}, len(in.Delta.Tombstones))
	for _, e := range in.Delta.Tombstones {
		if err := checkTombstone(e); err != nil {
			return err
		}
		if _, twice := seen[e.Key+e.Id]; twice {
			return fmt.Errorf("key %q: one removal twice", e.Key)
		}
		seen[e.Key+e.Id] = struct{}{}
		in.Elems = append(in.Elems, identity.Element{Key: e.Key, Tombstone: true})
	}
	return nil
}

func checkTombstone(e *pb.Element) error {
	if len(e.Value) != 0 {
		return fmt.Errorf("key %q: a removal with a value", e.Key)
	}
	if err := CheckKey(e.Key); err != nil {
		return err
	}
	if len(e.Id) < 2 || e.Id[0] != '/' {
		return fmt.Errorf("key %q: removal of %q", e.Key, e.Id)
	}
	mh, err := dshelp.DsKeyToMultihash(ds.RawKey(e.Id))
	if err != nil || len(mh) != 34 || mh[0] != multihash.SHA2_256 || mh[1] != 32 ||
		dshelp.MultihashToDsKey(mh).String() != e.Id {
		return fmt.Errorf("key %q: removal of %q", e.Key, e.Id)
	}
	return nil
}

// CheckKey refuses keys outside the registered prefixes, and every spelling of a
// key but one: the library would clean it and write elsewhere.
func CheckKey(key string) error {
	if len(key) > maxKey || len(key) < 4 || key[0] != '/' || key[2] != '/' || path.Clean(key) != key {
		return fmt.Errorf("key %.80q: not one", key)
	}
	switch key[:3] {
	case pinset.PinPrefix:
		_, _, err := pinset.ParseKey(key)
		return err
	case identity.SizePrefix:
		_, err := sizeKeyCID(key)
		return err
	case identity.FollowPrefix:
		name := key[3:]
		if strings.Contains(name, "/") || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
			return fmt.Errorf("key %q: want one word after %s", key, identity.FollowPrefix)
		}
		return nil
	case identity.MemberPrefix, identity.ControlPrefix, identity.RemovalPrefix:
		return nil // the authority knows them one by one
	}
	return fmt.Errorf("key %q: no such kind of key", key)
}

// CheckValue checks a key and the form of its value. Control values are left to
// the authority.
func CheckValue(key string, value []byte) error {
	if len(value) == 0 || len(value) > pinset.MaxValue {
		return fmt.Errorf("key %.80q: a value of %d bytes: want 1 to %d", key, len(value), pinset.MaxValue)
	}
	if strings.HasPrefix(key, pinset.PinPrefix) {
		if len(key) > maxKey {
			return fmt.Errorf("key %.80q: %d bytes long, at most %d", key, len(key), maxKey)
		}
		_, err := pinset.Check(key, value)
		return err
	}
	if err := CheckKey(key); err != nil {
		return err
	}
	switch key[:3] {
	case identity.SizePrefix:
		_, err := DecodeSize(value)
		return err
	case identity.FollowPrefix:
		if err := canon.Check(value); err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
	}
	return nil
}

// SizeKey is where the size of a DAG stands.
func SizeKey(c cid.Cid) string {
	s, err := pinset.V1(c).StringOfBase(multibase.Base32)
	if err != nil {
		panic(err) // base32 is always there
	}
	return identity.SizePrefix + s
}

func sizeKeyCID(key string) (cid.Cid, error) {
	c, err := cid.Decode(strings.TrimPrefix(key, identity.SizePrefix))
	if err != nil {
		return cid.Undef, fmt.Errorf("key %q: %w", key, err)
	}
	if SizeKey(c) != key {
		return cid.Undef, fmt.Errorf("key %q: want it spelled %q", key, SizeKey(c))
	}
	return c, nil
}

// EncodeSize is the value of a SizeKey.
func EncodeSize(n uint64) []byte {
	b, err := canon.Marshal(n)
	if err != nil {
		panic(err) // a number
	}
	return b
}

// DecodeSize reads what EncodeSize wrote, and no other spelling of it.
func DecodeSize(value []byte) (n uint64, err error) {
	if err := canon.Unmarshal(value, &n); err != nil {
		return 0, fmt.Errorf("size %x: %w", value, err)
	}
	if !bytes.Equal(EncodeSize(n), value) {
		return 0, fmt.Errorf("size %x: not its one encoding", value)
	}
	return n, nil
}
