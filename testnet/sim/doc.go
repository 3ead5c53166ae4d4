// Package sim runs whole peers (replicated state, network, allocation) in virtual
// time over a simulated network, so that an hour of splits, crashes and joins
// passes in a second and a bad one can be played again. It is used by tests only.
//
// A World is the network: any two hosts can be cut apart, in any shape. A Peer is
// one member with its state on a disk that outlives its crashes. A Scenario is a
// seeded list of steps; Play runs it in a World and an Oracle says what must be
// true when all has healed. All of it happens inside a testing/synctest bubble.
//
// The simulated network carries UDP, so peers run open (QUIC and the gater, no
// private network key); package gossip's own tests play splits over TCP with it.
package sim
