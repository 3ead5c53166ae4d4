// Package daemon is the composition root: it reads the configuration, takes the
// lock on the directory, opens what is shared (the IPFS node, the ledger of placed
// pins, the listeners), starts one cluster's state, network, tracker and rules
// over it, and takes everything down again in the reverse order.
//
// Daemon only wires. What a peer may do and answer is decided in cluster; what it
// holds, in tracker; what is replicated, in crdtstate.
//
// New binds and opens, so that addresses are known and every mistake in the
// configuration is found before anything runs; Run blocks until its context ends
// or a part fails, and unwinds the same stack that New built.
package daemon
