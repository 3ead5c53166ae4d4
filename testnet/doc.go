// Package testnet runs several peers on one machine, each a process of its own
// with its own directory and IPFS node, on loopback only, to play with a cluster
// in one terminal and to test it end to end: peers are killed, the network is cut
// and healed, data spreads.
//
// Its folder sim holds the simulated network in virtual time that tests use; it is
// never linked into the program.
package testnet
