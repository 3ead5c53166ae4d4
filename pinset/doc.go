// Package pinset is pinfold's vocabulary: what a pin is, under which key and in
// which bytes it is replicated, what states it goes through, and how sizes and
// errors are spelled. It does no I/O and knows no other room.
//
// A pin is one owner's claim that a CID be kept. Its key is (CID, owner): two
// owners of one CID are two pins, and the data goes when the last one goes.
//
// Pinset promises that every value has exactly one encoding (package canon), that
// whatever Validate accepts can be encoded and decoded without loss, and that
// nothing here depends on clock, locale or map order.
//
// It leaves to others who holds a pin (allocation), where it is stored
// (crdtstate), and how it is shown (httpapi, cli).
package pinset
