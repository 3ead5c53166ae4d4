package canon

import (
	"errors"
	"reflect"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

// ErrNotCanonical is returned for bytes that are not the one encoding of a
// value: wrong order, long integers, floats, repeated keys, foreign tags,
// trailing bytes.
var ErrNotCanonical = errors.New("not canonical dag-cbor")

// Extra holds the fields of a record that this version does not know, encoded.
type Extra map[string]cbor.RawMessage

var (
	enc = must(cbor.EncOptions{
		Sort:          cbor.SortLengthFirst,
		IndefLength:   cbor.IndefLengthForbidden,
		NilContainers: cbor.NilContainerAsEmpty,
	}.EncMode())
	dec = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		MaxNestedLevels:   maxNested,
		MaxArrayElements:  maxArray,
		MaxMapPairs:       maxPairs,
		DefaultMapType:    reflect.TypeFor[map[string]any](),
		UTF8:              cbor.UTF8RejectInvalid,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // compiled constants: cannot fail at run time
	}
	return v
}

// Marshal returns the canonical encoding of v.
func Marshal(v any) ([]byte, error) { return enc.Marshal(v) }

// Unmarshal decodes b into v. It does not check that b is canonical: use it for
// bytes that Check has passed before they were stored.
func Unmarshal(b []byte, v any) error { return dec.Unmarshal(b, v) }

// MarshalKeeping encodes the struct v together with the unknown fields that
// UnmarshalKeeping found in an earlier version of it.
func MarshalKeeping(v any, extra Extra) ([]byte, error) {
	if len(extra) == 0 {
		return enc.Marshal(v)
	}
	known, err := enc.Marshal(v)
	if err != nil {
		return nil, err
	}
	all := make(map[string]cbor.RawMessage, len(extra)+8)
	if err := dec.Unmarshal(known, &all); err != nil {
		return nil, err
	}
	for k, raw := range extra {
		if _, taken := all[k]; !taken {
			all[k] = raw
		}
	}
	return enc.Marshal(all)
}

// UnmarshalKeeping checks that b is canonical, decodes it into the struct that v
// points at, and returns the fields v has no place for.
func UnmarshalKeeping(b []byte, v any) (Extra, error) {
	if err := Check(b); err != nil {
		return nil, err
	}
	if err := dec.Unmarshal(b, v); err != nil {
		return nil, err
	}
	t := reflect.TypeOf(v).Elem()
	names := make([]string, 0, 16)
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("cbor"), ",")
		names = append(names, name)
	}
	if !unknown(b, names) {
		return nil, nil
	}
	var all map[string]cbor.RawMessage
	if err := dec.Unmarshal(b, &all); err != nil {
		return nil, err
	}
	for _, name := range names {
		delete(all, name)
	}
	return all, nil
}
