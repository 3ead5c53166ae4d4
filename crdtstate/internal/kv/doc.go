// Package kv is the ordered key-value store below the replicated state: badger,
// pebble, or memory for tests, behind one small interface of raw bytes.
//
// It promises that a Batch takes effect in its order: after a crash a prefix of
// it may be there, never a later entry without the earlier ones. Pebble's batches
// are atomic; badger's are up to about 2 MB. Nothing is durable before an Apply
// with durable set has returned.
//
// It leaves the meaning of keys and values to its caller.
package kv
