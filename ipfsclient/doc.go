// Package ipfsclient says what pinfold asks of an IPFS node, and asks it of a
// Kubo over its HTTP RPC.
//
// The roles (Pinner, Adder, Reader, Storage, Swarm) are the contract that the
// rest of the house builds on: Client speaks it to Kubo, ipfsnode.Node is it, the
// fake in ipfsclienttest plays it, and one conformance suite there holds all
// three to the same words.
//
// The client promises that everything streams in both directions, that a stream
// which broke is never taken for one that ended (Kubo's X-Stream-Error trailer,
// torn bodies, a missing last line), that no call hangs for ever (an idle limit
// on each stream, never a limit on its whole length), and that a user can tell
// from the error which of these it was: nobody listens, it is not an IPFS node,
// it wants a secret, it is too old, it fell silent, or it said no.
//
// It leaves to others which pins may be touched: Kubo has no compare-and-set, and
// pin/add of a CID that somebody else pinned changes that pin. The tracker looks
// before it pins; nothing here does.
//
// Source: https://docs.ipfs.tech/reference/kubo/rpc/ and Kubo v0.42.0.
package ipfsclient
