package deficit

import (
	"maps"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/cluster/internal/statement"
)

// Word is what counts of one member: its latest statement, nil: none, and whether
// it is heard.
type Word struct {
	*statement.Statement
	Heard bool
}

// Effect is what has to be judged again.
type Effect int

// The effects, each of which includes those before it.
const (
	Nothing Effect = iota
	Rows           // the CIDs in the list: some may have their copies now
	All            // the pinset: some may have lost copies
)

// Compare tells what a change of the members' words calls for, under the
// membership with digest view. known are hashes of what is in the list: that these
// are missing is no news.
func Compare(before, after map[peer.ID]Word, view [32]byte, known func(uint64) bool) Effect {
	worst := Nothing
	for id, b := range before {
		worst = max(worst, change(b, after[id], view, known))
	}
	for id, a := range after {
		if _, there := before[id]; !there && a.Statement != nil {
			worst = max(worst, Rows)
		}
	}
	return worst
}

func change(b, a Word, view [32]byte, known func(uint64) bool) Effect {
	counted := b.Heard && b.Statement != nil && b.View == view
	switch {
	case b == a:
		return Nothing
	case !counted:
		return Rows
	case !a.Heard || a.Statement == nil || a.View != view || forgot(b.Vector, a.Vector):
		return All
	case a.Except.News(b.Except, known):
		return All
	}
	return Rows
}

// forgot says whether a vector covers less than an earlier one did.
func forgot(before, after map[peer.ID]uint64) bool {
	if maps.Equal(before, after) {
		return false
	}
	for author, seq := range before {
		if after[author] < seq {
			return true
		}
	}
	return false
}
