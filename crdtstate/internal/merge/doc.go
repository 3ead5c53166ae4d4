// Package merge lets go-ds-crdt merge admitted deltas, and nothing else.
//
// The library gets the blocks oldest first, one by one, through a Broadcaster
// with a barrier (Merge returns when it is idle), with one worker (with more it
// loses concurrent re-pins), no repair, no network: its DAGService reads the block
// log. What it stores lands in cells: one record for each key, holding value,
// priority, live element ids and awaited removals, in place of the library's five
// long textual entries. Everything collects in memory until Flush writes it into
// the caller's batch, so the store holds the state at a barrier, never between.
//
// Its content is a cache of the block log: it can be thrown away and made again.
//
// Merge forgets an element and its removal once both are there: every block is
// merged once and after its ancestors, so neither comes again. The cells therefore
// follow the size of the live set, not of its history.
package merge
