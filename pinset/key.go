package pinset

import (
	"encoding/base32"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multibase"
	"github.com/multiformats/go-multihash"
)

// PinPrefix starts the key of every pin: /p/<CIDv1 in base32>/<owner>, the owner
// being "-" for the default and "o" + base32 (lower case, unpadded) for a name.
// Always two segments, so that no key is a path prefix of another.
const PinPrefix = "/p/"

var ownerCode = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// V1 returns the CIDv1 of c: what two spellings of one CID have in common.
func V1(c cid.Cid) cid.Cid {
	if c.Version() == 1 {
		return c
	}
	return cid.NewCidV1(c.Type(), c.Hash())
}

// CIDPrefix is the prefix of the keys of all owners' pins of c.
func CIDPrefix(c cid.Cid) string {
	s, err := V1(c).StringOfBase(multibase.Base32)
	if err != nil {
		panic(err) // base32 is always there
	}
	return PinPrefix + s + "/"
}

// Key is the key of owner's pin of c.
func Key(c cid.Cid, owner string) string {
	if owner == "" {
		return CIDPrefix(c) + "-"
	}
	return CIDPrefix(c) + "o" + ownerCode.EncodeToString([]byte(owner))
}

// ParseKey reads what Key wrote and refuses every other spelling of it.
func ParseKey(key string) (c cid.Cid, owner string, err error) {
	rest, ok := strings.CutPrefix(key, PinPrefix)
	if !ok {
		return cid.Undef, "", Invalid("key %q: not a pin's", key)
	}
	name, seg, ok := strings.Cut(rest, "/")
	if !ok {
		return cid.Undef, "", Invalid("key %q: no owner", key)
	}
	if c, err = cid.Decode(name); err != nil {
		return cid.Undef, "", Invalid("key %q: %v", key, err)
	}
	if owner, err = ParseOwner(seg); err != nil {
		return cid.Undef, "", Invalid("key %q: owner: %v", key, err)
	}
	if err := ValidateOwner(owner); err != nil {
		return cid.Undef, "", err
	}
	if Key(c, owner) != key {
		return cid.Undef, "", Invalid("key %q: want it spelled %q", key, Key(c, owner))
	}
	return c, owner, nil
}

// ParseOwner reads the last segment of a pin's key.
func ParseOwner(segment string) (string, error) {
	if segment == "-" {
		return "", nil
	}
	raw, err := ownerCode.DecodeString(strings.TrimPrefix(segment, "o"))
	return string(raw), err
}

// ValidateOwner refuses an owner's name that is too long or not UTF-8.
func ValidateOwner(owner string) error { return text("owner", owner, MaxOwner) }

// toV0 returns the CIDv0 of c, which only dag-pb under sha2-256 has.
func toV0(c cid.Cid) (cid.Cid, error) {
	p := c.Prefix()
	if p.Codec != cid.DagProtobuf || p.MhType != multihash.SHA2_256 || p.MhLength != 32 {
		return cid.Undef, Invalid("cid %s: has no version 0 form", c)
	}
	return cid.NewCidV0(c.Hash()), nil
}
