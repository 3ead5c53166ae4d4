// Package audit judges members by what they signed: whether their statements are
// one chain, what they promised to hold and lost, whether they can show blocks of
// what they say they hold, and what a receipt is worth. It is pure: statements,
// clocks and blocks are handed in.
package audit
