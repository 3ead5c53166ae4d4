// Package compaction decides how the history is cut off while the cluster works,
// and holds the formats of it. It has no store, no clock and no network.
//
// A cut is a set of seals, one by each member: "I have this on my disk, up to these
// heads". What lies below the heads of a cut is folded: of each block only what is
// still live of it stays, under its old identity. Who has everything below a cut
// computes the genesis, whose root is the same everywhere, and acknowledges it. When
// all members did, nobody will ever ask for what was folded, and each of them drops it.
//
// Nothing stops meanwhile: the history stays one history, and those who have folded
// and those who have not exchange the same blocks. Who lacks what was folded takes
// the genesis instead.
package compaction
