// Package statement is a member's signed word on what it holds: its form, and the
// book of the latest one of each member.
//
// A statement says: "under the membership with digest View, of all pins whose
// latest change Vector covers, I hold every one that the allocation assigns to
// me, except these." Exceptions are named by hashes of their CIDs; when they are
// many, by ranges of hashes. So it is short however large the pinset is, and errs
// only towards claiming less.
//
// Each member writes only its own, and of two the one with the higher seq counts.
// The book promises that this peer's seq rises over restarts, and that it keeps
// nothing that is not signed by whom it names.
//
// Each statement names the hash of the one before: whoever takes a word back has
// to break the chain or to say two things under one seq, and both can be shown to
// others. A bounded History of earlier ones is kept of each member.
package statement
