// Package metrics measures this peer and shows it: a page for Prometheus, and the
// list of the faults that are present now.
//
// What others know it asks when it is asked itself (Sources, small functions that
// the composition root fills); only what nobody else keeps, the time of commits
// and the number of API requests, is counted here. It promises that names and
// labels are stable (a golden test), that labels take few values whatever clients
// send, and that a source that fails costs its own figures only.
package metrics
