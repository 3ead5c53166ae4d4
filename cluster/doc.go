// Package cluster is what a peer of one cluster can do and answer: pin and unpin
// by the cluster's rules, say who holds what and what the others say they hold,
// bring data in and read it back, invite, leave.
//
// It is made in two steps, since its neighbours need each other. Members (what
// this peer knows of the others, and answers them) needs only the state and the
// IPFS node, and is handed to the network and the tracker. Cluster joins all of
// them and is what the doors serve.
//
// It promises that a pin it acknowledges is durable here, that what it calls
// pinned is the word of the member that holds it, with the age of that word, that
// added data is protected before its root is told, and that nothing it does waits
// for the network without a deadline. Lists stream.
//
// In a split: pins are taken as before; status shows the members of the other
// side by their last signed word and its age; who shall hold what does not change,
// since reachability decides nothing. What was covered by the other side's word
// stays covered: their copies are still there.
//
// It leaves to others how the state is merged (crdtstate), how peers talk
// (gossip), how the IPFS node is brought to hold what is assigned (tracker), and
// who may ask (httpapi).
package cluster
