// Package store keeps blocks on disk: in flatfs or badger, counted as they come and
// go, within a limit, durable after a flush, and held against garbage collection by
// sessions. It knows no pins, no network and no DAGs.
package store
