// Package silence counts for how long each member was not heard, for those who
// must decide that it is gone. Only time counts in which this peer ran and heard
// somebody: who was switched off or cut off himself has nothing to say about the
// others. The count survives a restart.
package silence
