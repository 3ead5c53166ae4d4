// Package fill judges how evenly a cluster's members are filled: how far apart
// they are, and what keeps them from being closer. It is pure: members, placement
// and counts in, words for people out.
package fill
