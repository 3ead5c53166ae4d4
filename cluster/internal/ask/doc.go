// Package ask is the language of /pinfold/ask/1: what one member asks another, and
// the frames of the answer. Deterministic dag-cbor; unknown fields are passed
// over, so that newer members can say more.
//
// It leaves to cluster what the answers are and to gossip how they travel.
package ask
