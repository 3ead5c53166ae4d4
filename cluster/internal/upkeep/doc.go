// Package upkeep holds what a cluster's chores wait for: queues of things that are
// due at a time, bounded in memory, sets of changed CIDs that say "all" when they
// grow too large, and the order in which members take turns.
//
// It does nothing itself; the cluster's loops do.
package upkeep
