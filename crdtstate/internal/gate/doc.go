// Package gate says what a block must be before its place in the history is looked
// at: a signed block of this cluster and epoch, with registered keys in their one
// spelling and values in their one encoding. It is a pure function of the bytes, so
// every peer gives the same verdict, and it may run in parallel.
//
// It leaves to epoch what depends on the ancestors: height and authority.
package gate
