// Package annals keeps what the history of the pinset tells beyond its present
// state: which pins were removed, by whom, as they were (Removed), and what came
// together after a split (merges.go). Everything is derived from the admitted
// deltas by one reader, which remembers how far it has come; it is this peer's own,
// replicated to nobody, and bounded.
//
// Deltas carry no time. When something happened is when this peer learnt of it, and
// what happened before this peer was a member is not told.
package annals
