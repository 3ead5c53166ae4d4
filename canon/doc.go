// Package canon is the one encoding of everything pinfold signs, hashes or
// replicates: deterministic dag-cbor without floats.
//
// A value has exactly one encoding, so two members that agree on a value agree
// on its bytes, and nobody can mint a second spelling of a signed record. Maps
// are sorted by key length and then bytewise, integers and lengths take their
// shortest form, lengths are definite, keys are strings and occur once, the only
// tag is 42 (a CID).
//
// Records evolve: a field that this version does not know is kept (Extra) and
// written back unchanged, so an old peer that updates a record of a newer one
// loses nothing.
//
// Canon leaves to its callers what the values mean.
//
// Source: https://ipld.io/specs/codecs/dag-cbor/spec/
package canon
