// Package allocation says which members hold which item. It is a pure function:
// the same member records and the same item give the same ordered list on every
// peer and every CPU, so nobody stores or negotiates an allocation. In a split
// both sides go on naming the same holders, because being reachable is not an
// input; neither are clocks, measured space or history.
//
// The method is calibrated rendezvous. Every member draws an exponential number
// for every item from a hash of the two, divided by the member's rate; the
// smallest numbers win. Rates are not capacities: they are solved, once for a set
// of members and a number of copies, so that each member's chance of being among
// the holders is its share of the capacity (plain weighted rendezvous overfills
// small members as soon as there is more than one copy). Members of one household
// or region share a draw, so that copies land in distinct ones wherever there are
// enough of them.
//
// Allocation promises:
//   - the order of records, of tags and of named members never matters;
//   - a member that leaves moves only its own items, one that comes back gets
//     exactly its old ones;
//   - the answer for one item never depends on another item;
//   - holders are distinct and in distinct domains where the level allows it;
//   - no floating point on the way of an item. The solver of the rates uses
//     float64, with every product rounded by an explicit conversion so that no
//     compiler may fuse it, and vectors in testdata hold its results on all
//     targets.
//
// Beside Allocate stand what is asked about it: Holds (is it mine), Explain (why
// these), Compare (what would a change move), Usable; and two rules that are no part
// of it and only use or feed it: StandIns (who keeps a copy while holders cannot be
// reached) and Feedback (the fill factor phi that a member should ask for).
//
// It leaves to others which records count (identity), when an unreachable member
// is to be replaced for a while, and when phi is published (tracker, cluster).
//
// Sources: B. Rosén, Asymptotic theory for order sampling, J. Stat. Planning and
// Inference 62 (1997); N. Aires, Algorithms to find exact inclusion probabilities
// for conditional Poisson sampling and Pareto πps sampling designs, Methodology
// and Computing in Applied Probability 1 (1999).
package allocation
