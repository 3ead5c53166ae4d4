package crdtstate

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

// What can be wrong with a block that was handed in. Errors of Receive wrap one of
// them.
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
)

const maxKey = 512

// inspected is a block that was looked at by itself: form, signature, keys and
// values. It is the part of the gate that needs no state, and runs in parallel.
type inspected struct {
	*block.Block
	elems []identity.Element
	form  error // not a signed block of this cluster
	rule  error // a signed block that breaks a rule
}

func inspect(cluster string, epoch uint64, raw []byte) inspected {
	b, err := block.Open(cluster, raw)
	in := inspected{Block: b, form: err}
	if err != nil {
		return in
	}
	in.rule = in.rules(epoch)
	return in
}

func (in *inspected) rules(epoch uint64) error {
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
	in.elems = make([]identity.Element, 0, len(d.Elements)+len(d.Tombstones))
	seen := make(map[string]struct{}, cap(in.elems))
	for _, e := range d.Elements {
		if _, twice := seen[e.Key]; twice {
			return fmt.Errorf("key %q: twice in one delta", e.Key)
		}
		seen[e.Key] = struct{}{}
		if e.Id != "" {
			return fmt.Errorf("key %q: an element with an id", e.Key)
		}
		if err := checkValue(e.Key, e.Value); err != nil {
			return err
		}
		in.elems = append(in.elems, identity.Element{Key: e.Key, Value: e.Value})
	}
	clear(seen)
	for _, e := range d.Tombstones {
		if err := checkTombstone(e); err != nil {
			return err
		}
		if _, twice := seen[e.Key+e.Id]; twice {
			return fmt.Errorf("key %q: one removal twice", e.Key)
		}
		seen[e.Key+e.Id] = struct{}{}
		in.elems = append(in.elems, identity.Element{Key: e.Key, Tombstone: true})
	}
	return nil
}

func checkTombstone(e *pb.Element) error {
	if len(e.Value) != 0 {
		return fmt.Errorf("key %q: a removal with a value", e.Key)
	}
	if err := checkKey(e.Key); err != nil {
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

// checkKey refuses keys outside the registered prefixes, and every spelling of a
// key but one: the library would clean it and write elsewhere.
func checkKey(key string) error {
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

// checkValue checks a key and the form of its value. Control values are left to
// the authority.
func checkValue(key string, value []byte) error {
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
	if err := checkKey(key); err != nil {
		return err
	}
	switch key[:3] {
	case identity.SizePrefix:
		_, err := decodeSize(value)
		return err
	case identity.FollowPrefix:
		if err := canon.Check(value); err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
	}
	return nil
}

func sizeKey(c cid.Cid) string {
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
	if sizeKey(c) != key {
		return cid.Undef, fmt.Errorf("key %q: want it spelled %q", key, sizeKey(c))
	}
	return c, nil
}

func encodeSize(n uint64) []byte {
	b, err := canon.Marshal(n)
	if err != nil {
		panic(err) // a number
	}
	return b
}

func decodeSize(value []byte) (n uint64, err error) {
	if err := canon.Unmarshal(value, &n); err != nil {
		return 0, fmt.Errorf("size %x: %w", value, err)
	}
	if !bytes.Equal(encodeSize(n), value) {
		return 0, fmt.Errorf("size %x: not its one encoding", value)
	}
	return n, nil
}
