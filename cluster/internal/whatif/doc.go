// Package whatif applies changes that nobody has made yet to a membership and its
// policy, as people write them: "join:2TB@home3", "leave:alice", "replication=3".
// Nothing happens; allocation tells what would.
package whatif
