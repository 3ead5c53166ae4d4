package sim

import (
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// TestEpochsOverTheNetwork: an epoch begins at all peers while they write, a peer
// that joins later takes its genesis, and all agree.
func TestEpochsOverTheNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := settled(t, 4, 20*time.Millisecond)
		defer p.end(t)
		late := p.peers[3]
		if err := late.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := p.remove(t.Context(), late, p.peers[0]); err != nil {
			t.Fatal(err)
		}
		for epoch := uint64(1); epoch <= 2; epoch++ {
			for i := range 12 {
				p.write(t.Context(), p.peers[i%3], i%6, i%4 == 3)
			}
			p.peers[1].State.Compact()
			begun := time.Now()
			for n := 0; p.peers[0].State.Epoch() < epoch || p.peers[1].State.Epoch() < epoch || p.peers[2].State.Epoch() < epoch; n++ {
				p.write(t.Context(), p.peers[n%3], n%6, false)
				time.Sleep(100 * time.Millisecond)
				if time.Since(begun) > 5*time.Minute {
					info, err := p.peers[1].State.Info()
					t.Fatalf("no epoch %d: %+v, %v", epoch, info, err)
				}
			}
			t.Logf("epoch %d after %v", epoch, time.Since(begun))
		}
		if err := p.agreed(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		newcomer, err := p.club.NewPeer(4, "memory", "")
		if err != nil {
			t.Fatal(err)
		}
		p.peers = append(p.peers[:3], newcomer)
		p.Peers++
		newcomer.Seen = p.peers[1].Net.Book()
		if err := newcomer.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := p.agreed(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
		if newcomer.State.Epoch() != 2 {
			t.Errorf("the newcomer is in epoch %d", newcomer.State.Epoch())
		}
		if err := p.check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestScenariosWithEpochs plays the scenarios with peers that ask for new epochs
// in the midst of splits, crashes, joins and removals.
func TestScenariosWithEpochs(t *testing.T) {
	first, last := uint64(1), uint64(60)
	if testing.Short() {
		last = 3
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
			s := NewScenario(seed).WithEpochs()
			root := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				err := Play(t.Context(), s, func(i int) string { return filepath.Join(root, fmt.Sprint(i)) }, verbose())
				if err != nil {
					t.Errorf("%v\nplay it again: go test ./testnet/sim -run TestScenariosWithEpochs -seed %d\n%s", err, seed, story(s))
				}
			})
		})
	}
}
