package sim

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
)

var (
	oneSeed = flag.Uint64("seed", 0, "play only this scenario, with its log")
	seeds   = flag.Uint64("seeds", 0, "play this many scenarios; 0: 200, with -short 5")
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// TestScenarios plays seeded random runs: splits in any shape, crashes, joins,
// pins and unpins on all sides. Once everything has healed, all peers agree, every
// acknowledged write is there unless a removal had seen it, and a replay of all
// deltas gives the same.
func TestScenarios(t *testing.T) {
	first, last, log := uint64(1), uint64(200), quiet()
	if testing.Short() {
		last = 5
	}
	if *seeds > 0 {
		last = *seeds
	}
	if *oneSeed > 0 {
		first, last = *oneSeed, *oneSeed
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	for seed := first; seed <= last; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			s := NewScenario(seed)
			root := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				err := Play(t.Context(), s, func(i int) string { return filepath.Join(root, fmt.Sprint(i)) }, log)
				if err != nil {
					t.Errorf("%v\nplay it again: go test ./testnet/sim -run TestScenarios -seed %d\n%s", err, seed, story(s))
				}
			})
		})
	}
}

func story(s Scenario) string {
	text := fmt.Sprintf("%d peers, %d of them late, %v away, stores %v", s.Peers, s.Late, s.Delay, s.Stores)
	for i, step := range s.Steps {
		text += fmt.Sprintf("\n%3d %s", i, step)
	}
	return text
}
