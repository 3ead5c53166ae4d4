// Package queue decides whose turn it is among the items of a tracker that are not
// at rest, and how many are worked on at one time. It knows no node, no ledger and
// no clock: whoever asks says what time it is.
//
// A job waits in a lane: by what its pin's owner said of its priority, and by
// whether it is new, a repair, or only a copy beyond the minimum. In a lane the
// owners take turns, who has the fewest runs first, so that nobody's many delay
// another's few.
//
// What nobody provides must not delay what somebody does, and nobody knows before
// it was tried. So a fetch begins as a try, which takes no slot of those whose data
// comes (Slots); half of the tries are of the newest jobs and half of the oldest,
// and of the newest those get room of their own that came after all that are known
// to have found nobody. What finds nobody goes on in a lane of its own, slowly.
package queue
