// Package tracker keeps the pins of this peer's IPFS node equal to what the
// allocation assigns to this peer: it compares, acts, retries, reports, accounts.
//
// One pure function (decide) takes the time and what is known of one CID, and
// says what to do; a thin loop does it. Everything that must survive kill -9 is in
// a ledger: what we mean to pin and under which name is written and synced before
// the IPFS node is asked, what the node answered after it. What is in memory is a
// queue of the items that are not at rest; an item at rest costs nothing.
//
// The tracker promises, in this order:
//
//   - It never removes or replaces a root pin that it did not place. Before it
//     pins it looks at the IPFS node; a pin that is not ours serves us (borrowed)
//     or stands in the way (refused). It unpins only what ledger and node both
//     show under our exact mark. Between looking and acting the IPFS node's owner
//     may act too: nodes have no compare-and-set, and that window stays open.
//   - A copy that is no longer assigned here stays until the statements of those
//     who shall have it cover every pin of the CID, and for the grace time after.
//   - It never goes over the lent bytes or into the reserve of the disk: it
//     checks before a fetch by the known size and during it by the bytes so far.
//     What is refused is said, with the reason, and tried again when there is room.
//   - It says pinned only of what the IPFS node confirmed, and its Report names
//     the membership and the versions of the pinset that were looked at in full.
//   - What nobody provides does not delay what somebody does, nor one owner's many
//     pins another's few (internal/queue): fetches begin as tries, which take no slot
//     of those whose data comes, and who finds nobody tries again, slowly, in slots of
//     its own.
//
// A split moves nothing: assignment is computed from the members that are recorded,
// and copies are let go only on the word of others, which a cut holds up. What lies
// beyond it is made up for by interim copies: this member stands in for holders that
// are away (Absence), for pins that they never said they hold, and for all after
// days. These copies are in the ledger and in no statement, and go like any other
// that is not assigned. Whose idea of who is away differs makes some too many.
// Expired pins count until the pinset drops them: clocks decide nothing.
//
// It leaves to others who shall hold what (allocation), what members say and who is
// away (cluster), and which IPFS nodes to connect to (Connector).
package tracker
