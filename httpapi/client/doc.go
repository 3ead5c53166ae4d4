// Package client is the typed client of the REST API, over a unix socket or TCP
// with a token.
//
// It promises values of pinset, lists as sequences that end early when they are
// left, and errors that are *pinset.Error with the server's kind, message and
// hint, also when a stream fails under way. It leaves what is asked and shown to
// the command line.
package client
