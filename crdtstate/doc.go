// Package crdtstate is the replicated state of a cluster: the pinset and the
// records that say who may write it, as a set of signed deltas that every peer
// merges by itself. It knows no network: others hand it blocks and heads, and it
// hands out what it has.
//
// It promises:
//
//   - An acknowledged change is merged and on this peer's disk (Commit).
//   - Only what its author was allowed to say at the block's ancestors is admitted,
//     with the same verdict on every peer, in any order of arrival. What is refused
//     leaves no trace but a count.
//   - Peers with the same blocks have the same state, and can tell by 32 bytes
//     (Summary.Digest).
//   - A split loses nothing: both sides go on writing, and merge when they meet. A
//     removal and a concurrent re-pin end as pinned. Of concurrent values of one key
//     the one with the longer history wins (the higher delta; of equal ones the
//     greater bytes).
//   - After a crash at any moment it opens with every acknowledged change.
//
// Inside, the block log (internal/blocklog) is the truth: signed blocks
// (internal/block), each after its parents. go-ds-crdt merges them, through
// internal/merge, into cells, which are a cache that can be made again. A round
// admits blocks, merges them, and writes log, cells, digest and checkpoint in one
// batch (internal/epoch). Own changes are grouped (commit.go): what queues up while the
// disk is flushed becomes the next delta.
//
// It leaves to others: how blocks travel (gossip), who holds what (allocation),
// what a pin needs beyond its form (cluster).
package crdtstate
