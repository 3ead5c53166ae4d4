package kubotest

import (
	"testing"
	"time"
)

// Eventually waits until check returns nil, and fails the test with what and the
// last error when that takes longer than within. It is for other processes, which
// no synctest bubble can hold; inside one program, wait for the event itself.
func Eventually(t testing.TB, within time.Duration, what string, check func() error) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	pause := 2 * time.Millisecond
	for {
		err := check()
		if err == nil {
			return
		}
		again := time.NewTimer(pause)
		select {
		case <-again.C:
		case <-deadline.C:
			again.Stop()
			t.Fatalf("%s: not within %v: %v", what, within, err)
		}
		pause = min(2*pause, 100*time.Millisecond)
	}
}
