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
	"time"
)

var (
	oneSeed = flag.Uint64("seed", 0, "play only this scenario, with its log")
	seeds   = flag.Uint64("seeds", 0, "play this many scenarios; 0: 200, with -short 5")
)

// verbose logs if a single scenario is looked at.
func verbose() *slog.Logger {
	if *oneSeed == 0 {
		return quiet()
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// TestScenarios plays seeded random runs: splits in any shape, crashes, joins,
// pins and unpins on all sides. Once everything has healed, all peers agree, every
// acknowledged write is there unless a removal had seen it, and a replay of all
// deltas gives the same.
func TestScenarios(t *testing.T) {
	first, last := uint64(1), uint64(200)
	if testing.Short() {
		last = 5
	}
	if *seeds > 0 {
		last = *seeds
	}
	if *oneSeed > 0 {
		first, last = *oneSeed, *oneSeed
	}
	for seed := first; seed <= last; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			s := NewScenario(seed)
			root := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				err := Play(t.Context(), s, func(i int) string { return filepath.Join(root, fmt.Sprint(i)) }, verbose())
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

// TestOverTCPWithTheClustersKey plays a split, a join and a crash inside it, and
// its healing, over real connections on the private network.
func TestOverTCPWithTheClustersKey(t *testing.T) {
	halves := Shape{{}, {true}, {false, false}, {false, false, true}}
	s := Scenario{Seed: 1, Peers: 4, Late: 1, Keys: 12, Stores: []string{"memory", "pebble", "badger", "memory"}, Steps: []Step{
		{Do: Burst, Peer: 0, Count: 10, Wait: time.Minute},
		{Do: Unpin, Peer: 1, Key: 3},
		{Do: Cut, Shape: halves, Wait: 10 * time.Second},
		{Do: Pin, Peer: 0, Key: 3},
		{Do: Unpin, Peer: 2, Key: 4},
		{Do: Pin, Peer: 1, Key: 4},
		{Do: Unpin, Peer: 2, Key: 5},
		{Do: Join, Peer: 3, Sponsor: 2, Wait: 2 * time.Minute},
		{Do: Dying, Peer: 1, Key: 8, Count: 4},
		{Do: Pin, Peer: 2, Key: 11},
		{Do: Restart, Peer: 1, Wait: 10 * time.Second},
		{Do: Unpin, Peer: 1, Key: 6},
		{Do: Heal, Wait: time.Second},
		{Do: Pin, Peer: 3, Key: 7},
	}}
	root := t.TempDir()
	if err := PlayLoopback(t.Context(), s, func(i int) string { return filepath.Join(root, fmt.Sprint(i)) }, verbose()); err != nil {
		t.Errorf("%v\n%s", err, story(s))
	}
}
