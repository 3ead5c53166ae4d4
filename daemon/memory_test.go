package daemon_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pinfold/pinfold/daemon"
)

// forced is how often a collection was asked for.
func forced() uint32 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.NumForcedGC
}

func TestMemoryIsGivenBackAfterABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- daemon.Trim(ctx) }()
		time.Sleep(time.Minute) // what the test's own start needed
		before := forced()
		time.Sleep(time.Minute)
		if n := forced() - before; n != 0 {
			t.Errorf("%d trims while nothing happened", n)
		}
		keep := make([][]byte, 100)
		for i := range keep {
			keep[i] = make([]byte, 1<<20)
		}
		runtime.KeepAlive(keep)
		time.Sleep(time.Minute)
		if n := forced() - before; n != 1 {
			t.Errorf("%d trims after a burst, want 1", n)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
