// Package block is the form of one delta of the replicated state: a dag-pb node
// whose data is the delta as go-ds-crdt reads it, followed by a signed envelope
// that go-ds-crdt passes over, and whose links are the delta's parents.
//
// The signature covers the payload, the priority, the author, the author's
// sequence number, the epoch and the parents. A block has one encoding, and Open
// refuses every other, so a CID names one content by one author and nobody can
// mint a second CID for it.
//
// It leaves to the gate of crdtstate whether a well-formed block may be admitted.
//
// Layout of the envelope (field 100 of the delta, the last one): version 1 (one
// byte) | length of the author's peer id (one byte) | peer id | sequence (8 bytes,
// big endian) | epoch (8 bytes, big endian) | signature (64 bytes). Signed are
// "pinfold/delta/v1", 0, the cluster id as text, 0, and the block as it is
// encoded with an envelope that ends before the signature.
package block
