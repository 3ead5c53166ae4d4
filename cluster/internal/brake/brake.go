// Package brake stops whoever removes much of the pinset at once, by mistake most
// likely. It is pure: it knows the removals of a short window, and is told the time.
package brake

import (
	"fmt"
	"sync"
	"time"
)

const (
	// Window is how long removals count together.
	Window = 10 * time.Minute
	// Always is how many removals within the window are never too many.
	Always = 20

	step = 10 * time.Second
)

// Brake counts removals. The zero Brake has seen none. It is safe for concurrent use.
type Brake struct {
	mu    sync.Mutex
	steps []count // rising, within the window
}

type count struct {
	at time.Time
	n  uint64
}

// Load is what somebody is about to do.
type Load struct {
	Now     time.Time
	Live    uint64 // pins now
	Percent uint64 // of the pinset that may go within the window; 100: all of it
	Wanted  uint64 // removals that are about to be made together
	Made    uint64 // of them those that are counted now
}

// TooMuch says why removals are refused.
type TooMuch struct {
	Removed, Wanted, Of uint64 // within the window, besides, and of how many
	Percent             uint64
}

func (e *TooMuch) Error() string {
	return fmt.Sprintf("%d of %d pins would be removed within %s: at most %d %% without force", e.Removed+e.Wanted, e.Of, Window, e.Percent)
}

// Take counts removals, or refuses them.
func (b *Brake) Take(l Load) *TooMuch {
	b.mu.Lock()
	defer b.mu.Unlock()
	removed := b.within(l.Now)
	of := l.Live + removed // as many as there were when the window began, or more
	if all := removed + max(l.Wanted, l.Made); all > max(Always, of*l.Percent/100) {
		return &TooMuch{removed, max(l.Wanted, l.Made), of, l.Percent}
	}
	if n := len(b.steps); n > 0 && l.Now.Sub(b.steps[n-1].at) < step {
		b.steps[n-1].n += l.Made
	} else {
		b.steps = append(b.steps, count{l.Now, l.Made})
	}
	return nil
}

// within forgets what is over, and counts the rest. When the clock was set back,
// what lies ahead counts until it is over.
func (b *Brake) within(now time.Time) (n uint64) {
	kept := b.steps[:0]
	for _, c := range b.steps {
		if now.Sub(c.at) < Window {
			kept = append(kept, c)
			n += c.n
		}
	}
	b.steps = kept
	return n
}
