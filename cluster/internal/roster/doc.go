// Package roster is the membership and the pins as the allocation sees them: what of
// the records and the policy decides who holds what, and nothing else. It also finds
// members by what people call them. It is pure.
package roster
