package audit

import (
	"fmt"
	"slices"
	"time"

	"github.com/pinfold/pinfold/pinset"
)

// Link is one kept statement of a member's chain.
type Link struct {
	Seq  uint64
	At   time.Time
	Hash [32]byte
	Prev []byte // hash of the one before, as this one says; none: it says nothing
}

// The flaws of a chain. A fork, or a broken chain, is proven by the statements
// themselves: their author signed two with one seq. It lied, or went on from a
// copy of its directory that was older.
const (
	Fork   = "fork"   // two statements with one seq are here
	Broken = "broken" // a statement names another one before it than the one that is here
	Gap    = "gap"    // statements between two were not received, or not kept: proves nothing
	Clock  = "clock"  // a statement says that it was made before the one before it
)

// Chain judges a member's kept statements, in the order of their seqs, and the
// seqs of which there are two. Flaws before from are left out.
func Chain(links []Link, forks []uint64, from time.Time) []pinset.ChainFlaw {
	var out []pinset.ChainFlaw
	for i, l := range links {
		add := func(kind string, proof bool, format string, args ...any) {
			if !l.At.Before(from) || proof {
				out = append(out, pinset.ChainFlaw{Kind: kind, Seq: l.Seq, At: l.At, Proof: proof, Detail: fmt.Sprintf(format, args...)})
			}
		}
		if slices.Contains(forks, l.Seq) {
			add(Fork, true, "there are two different statements with the number %d", l.Seq)
		}
		if i == 0 {
			continue
		}
		before := links[i-1]
		switch {
		case l.Seq > before.Seq+1:
			add(Gap, false, "%d statements after number %d are not kept here", l.Seq-before.Seq-1, before.Seq)
		case len(l.Prev) == 0:
			add(Gap, false, "number %d does not name the one before it", l.Seq)
		case [32]byte(l.Prev) != before.Hash:
			add(Broken, true, "number %d names another statement before it than number %d as it is kept here", l.Seq, before.Seq)
		}
		if l.At.Before(before.At) {
			add(Clock, false, "number %d says that it was made %s before number %d", l.Seq, before.At.Sub(l.At), before.Seq)
		}
	}
	return out
}
