// Package deficit keeps the list of CIDs that lack copies, so that asking for it
// costs as much as its answer and not a walk over the pinset.
//
// The list is only a hint of what to look at: whoever reads it judges each row
// again. It promises that nothing short is missing from a list that says it is
// whole. It is bounded: of a list too long to keep it says that it is not whole.
//
// What a CID needs and has is judged by cluster; Compare says how much has to be
// judged again when a member speaks, falls silent or is heard again.
package deficit
