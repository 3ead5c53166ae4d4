// Package budget decides whether bytes may be fetched now, how many, and else when:
// a limit for the day and one for the month, windows of the day for what is large,
// and a pause. It is pure: time, and what was fetched so far, are arguments.
//
// Days, months and windows are those of the clock on the wall, in the location of
// the time that is passed. Where the clocks are put forward or back, a window lasts
// as long as the clock on the wall shows it: shorter, longer, twice, or not at all.
//
// It leaves to others to count and to keep what was counted (tracker).
package budget
