// Package silence says who of the members is not heard. Book counts for how long,
// for those who must decide that a member is gone: only time counts in which this
// peer ran and heard somebody, for who was switched off or cut off himself has
// nothing to say about the others; the count survives a restart. Away is about the
// present, for those who keep copies meanwhile; it forgets.
package silence
