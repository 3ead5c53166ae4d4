// Package abreast reads lists that are in one order, that of the pinset's keys, side
// by side: the pins of a CID together, and of each member's list what is next.
package abreast
