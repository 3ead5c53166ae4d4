// Package wire is the form of what travels between members: frames, messages,
// and the compressed stream of deltas.
//
// Every decoder here is bounded: it refuses what is above its limit before it
// takes memory for it, and none trusts a length that it was told. What a message
// means, and who may send it, is left to package gossip.
package wire
