// Package gossip is the network of one cluster: the libp2p host inside the
// private network, who may connect to it, and everything that members tell one
// another: heads, deltas, heartbeats, statements, questions.
//
// It speaks four protocols.
//
//   - The topic /pinfold/<cluster id>/1 carries heads, small deltas and
//     heartbeats. It is only a hint: nothing depends on a message arriving.
//   - /pinfold/sync/1 exchanges heads and statements on every new connection and
//     now and then with a random member, and streams the deltas that are missing,
//     oldest first, so that whatever arrived before a cut is kept.
//   - /pinfold/join/1 hands the founding record to somebody who proves that he
//     has the cluster's secret, and lets him sync as a candidate.
//   - /pinfold/ask/1 carries one request and a stream of answers between members.
//
// In a split each side goes on by itself; when it heals, one connection between
// the sides is enough for both to learn all that the other one has.
//
// Gossip promises that only members (and, for a minute, people who knock) hold a
// connection, that every foreign byte passes a bounded decoder, that a refused
// one is counted and shown, and that Announce never waits for the network. It
// verifies no delta and no statement: that is the work of whom it hands them to.
package gossip
