package merge

import (
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multibase"

	"github.com/pinfold/pinfold/crdtstate/internal/kv"
)

// Pins is the range of store keys of all pins after a key of the CRDT, or of all
// for "".
func Pins(after string) (from, to []byte, err error) {
	all := []byte{cellPrefix, pinTag}
	if after == "" {
		return all, kv.After(all), nil
	}
	if from, err = code(after); err != nil {
		return nil, nil, err
	}
	return append(from, 0), kv.After(all), nil
}

// PinsOf is the range of store keys of all pins of one CID.
func PinsOf(c cid.Cid) (from, to []byte, err error) {
	text, err := c.StringOfBase(multibase.Base32)
	if err != nil {
		return nil, nil, err
	}
	if from, err = pack([]byte{cellPrefix, pinTag}, text); err != nil {
		return nil, nil, err
	}
	return from, kv.After(from), nil
}

// All is the range of store keys of all cells.
func All() (from, to []byte) { return []byte{cellPrefix}, []byte{cellPrefix + 1} }

// ParsePin reads a store key within Pins: the CID and the last segment of the key.
func ParsePin(storeKey []byte) (cid.Cid, string, error) {
	if len(storeKey) < 2 || storeKey[1] != pinTag {
		return cid.Undef, "", fmt.Errorf("cell key %x: not a pin's", storeKey)
	}
	c, rest, err := unpack(storeKey[2:])
	return c, string(rest), err
}

// KeyText is the CRDT's key of a store key.
func KeyText(storeKey []byte) (string, error) { return text(storeKey) }

// ValueOf is the visible value in a record, nil when the key is not in the set. It
// points into the record.
func ValueOf(record []byte) ([]byte, error) {
	c, err := decodeCell(record)
	return c.Value, err
}
