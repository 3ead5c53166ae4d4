// Package identity is who a peer is and who may do what: keys, the cluster's
// secret, the founding record, invites, member records, policy, roles, removals,
// and the tokens of the doors.
//
// Everything a cluster's peers must agree on is an entry of the replicated state
// under /m/, /c/ or /x/. Authority evaluates a set of such entries: it is pure,
// does not depend on the order in which they came, and knows neither clock nor
// network. Check is its verdict on one block, given the authority at that
// block's ancestors; two peers that know the ancestors always agree on it.
//
// Identity promises that each signed thing has exactly one encoding (package
// canon inside a libp2p signed envelope whose domain names the cluster), that
// secrets are not printed by accident, and that files of secrets are 0600.
//
// It leaves to crdtstate how entries are stored and merged, to gossip how they
// travel, and the values under /p/, /f/ and /s/ to those who give them meaning.
package identity
