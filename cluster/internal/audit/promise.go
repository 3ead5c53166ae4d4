package audit

import (
	"time"

	"github.com/pinfold/pinfold/cluster/internal/statement"
)

// State is how a member stands to one pin that is assigned to it.
type State uint8

const (
	Unsaid  State = iota // none of its words knows the pin
	Missing              // it says that it does not have it, and never said that it does
	Held                 // it says that it holds it
	Lost                 // it said that it holds it, and says now that it does not
)

// Verdict is what a member's words say of one pin.
type Verdict struct {
	State    State
	Promised time.Time // of the first word that it holds it
	Lost     time.Time // of the first word after it that it does not; of a Held one: last time
	Repaired time.Time // of the word that it holds it again
}

// Judge reads a member's words on a pin, the oldest first: those made under the
// membership in force, which alone says what was assigned. knows says whether a
// word was made in knowledge of the pin as it is now. Words that name ranges in
// place of single items may except what is held: by them nothing is lost.
func Judge(words []*statement.Statement, hash uint64, knows func(*statement.Statement) bool) Verdict {
	var v Verdict
	for _, s := range words {
		if !knows(s) {
			continue
		}
		switch has := !s.Except.Has(hash); {
		case has:
			if v.State == Lost {
				v.Repaired = s.At
			}
			if v.Promised.IsZero() {
				v.Promised = s.At
			}
			v.State = Held
		case !v.Promised.IsZero() && v.State != Lost && s.Except.Exact():
			v.State, v.Lost = Lost, s.At
		case v.State != Lost:
			v.State = Missing
		}
	}
	return v
}

// LackingSince returns from when on a member says that it lacks something.
func LackingSince(words []*statement.Statement) time.Time {
	var at time.Time
	for _, s := range words {
		switch {
		case s.Missing == 0:
			at = time.Time{}
		case at.IsZero():
			at = s.At
		}
	}
	return at
}
