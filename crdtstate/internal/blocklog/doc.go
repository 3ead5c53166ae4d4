// Package blocklog is the durable truth of one epoch: every admitted block, in
// the order of admission, which puts each after its parents.
//
// Beside a block it keeps what the gate and the senders ask for without reading
// it: its CID, height, author, sequence number, parents (as positions) and the
// number of the set of control blocks among its ancestors.
//
// A Reader sees what was written to the store. A Log adds the blocks of the round
// that is under way, and writes them into the caller's batch.
package blocklog
