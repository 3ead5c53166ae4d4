// Package receipt is a document that shows who holds a CID to whoever has nothing
// else: no daemon, no network, no secret.
//
// It carries the founding record, whose hash is the cluster's id; the members'
// records, each signed by its member; the founder's statement, which names the
// digest of that membership and so ties those records to the founding record; the
// CID's pins, and of each member that holds it the first and the latest of its
// signed statements that cover them. Who should hold the CID is computed again from
// the records and the pins. All is signed by the member that issued it.
//
// That the pins are in the pinset, and by which change, rests on the issuer's word:
// the change itself would show whatever else was pinned with it.
package receipt
