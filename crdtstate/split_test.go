package crdtstate_test

import (
	"context"
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/crdtstate/crdtstatetest"
	"github.com/pinfold/pinfold/crdtstate/internal/block"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// TestSplitsHeal (I1, I2, I3, I10, I11): members write in random groups that hear
// only each other; after one full exchange all agree, and every state is at all
// times the replay of its log.
func TestSplitsHeal(t *testing.T) {
	for _, tc := range []struct {
		store              string
		members, steps, in int
	}{
		{"memory", 5, 400, 6}, {"badger", 3, 120, 1}, {"pebble", 3, 120, 1},
	} {
		for seed := range tc.in {
			t.Run(fmt.Sprintf("%s/%d", tc.store, seed), func(t *testing.T) {
				c := crdtstatetest.New(t, tc.members)
				rng := rand.New(rand.NewSource(int64(seed)))
				split(t, c, members(t, c, tc.store), rng, tc.steps)
			})
		}
	}
}

// members is Cluster.All over a kind of store.
func members(t testing.TB, c *crdtstatetest.Cluster, store string) []*crdtstate.State {
	if store == "memory" {
		return c.All()
	}
	states := make([]*crdtstate.State, len(c.Keys))
	for i := range states {
		cfg := c.Config(i)
		cfg.Store, cfg.Dir = store, t.TempDir()
		states[i] = openOnDisk(t, cfg)
		if i > 0 {
			c.Pull(states[i], states[0])
		}
		c.Enter(states[i], i)
		for j := range i {
			c.Pull(states[j], states[i])
		}
	}
	return states
}

func split(t *testing.T, c *crdtstatetest.Cluster, s []*crdtstate.State, rng *rand.Rand, steps int) {
	side := make([]int, len(s))
	for step := range steps {
		i := rng.Intn(len(s))
		switch rng.Intn(10) {
		case 0: // another split
			for j := range side {
				side[j] = rng.Intn(3)
			}
		case 1, 2, 3, 4, 5:
			c.Commit(s[i], randomOps(rng, 1+rng.Intn(6), fmt.Sprint(step))...)
		default:
			if j := rng.Intn(len(s)); j != i && side[i] == side[j] {
				c.Pull(s[i], s[j])
			}
		}
		if step%10 == 0 {
			check(t, s[i])
		}
	}
	for range 2 {
		for i := range s {
			for j := range s {
				if i != j {
					c.Pull(s[i], s[j])
				}
			}
		}
	}
	for _, x := range s {
		check(t, x)
	}
	agree(t, s...)
	if n := len(s[0].Summary().Heads); n > len(s) {
		t.Errorf("I10: %d heads of %d writers", n, len(s))
	}
}

// randomOps pins and unpins among a few CIDs and owners.
func randomOps(rng *rand.Rand, n int, name string) []crdtstate.Op {
	var ops []crdtstate.Op
	for range n {
		p := crdtstatetest.Pin(rng.Intn(12))
		p.Owner = []string{"", "", "ann", "bob"}[rng.Intn(4)]
		p.Name = name
		if rng.Intn(3) == 0 {
			ops = append(ops, crdtstatetest.UnpinOp(p))
		} else {
			ops = append(ops, crdtstatetest.PinOp(p))
		}
	}
	return ops
}

// TestRemovalAgainstRepin (I11): a concurrent re-pin survives a removal, and an
// observed pin is gone everywhere.
func TestRemovalAgainstRepin(t *testing.T) {
	ctx := context.Background()
	c := crdtstatetest.New(t, 3)
	s := c.All()
	seen, repinned := crdtstatetest.Pin(1), crdtstatetest.Pin(2)
	c.Commit(s[0], crdtstatetest.PinOp(seen), crdtstatetest.PinOp(repinned))
	c.Pull(s[1], s[0])
	c.Pull(s[2], s[0])
	c.Commit(s[1], crdtstatetest.UnpinOp(seen), crdtstatetest.UnpinOp(repinned))
	c.Commit(s[2], crdtstatetest.PinOp(repinned))
	for _, order := range [][2]int{{1, 2}, {2, 1}} {
		x := c.Open(0)
		c.Pull(x, s[0])
		c.Pull(x, s[order[0]])
		c.Pull(x, s[order[1]])
		check(t, x)
		if _, err := x.Pin(ctx, repinned.CID, ""); err != nil {
			t.Errorf("order %v: the re-pin was lost: %v", order, err)
		}
		if _, err := x.Pin(ctx, seen.CID, ""); pinset.KindOf(err) != pinset.KindNotFound {
			t.Errorf("order %v: the removed pin: %v", order, err)
		}
	}
}

// TestOrderOfArrivalDoesNotMatter (I4): the same blocks in any order that keeps
// parents first give the same state and the same verdicts.
func TestOrderOfArrivalDoesNotMatter(t *testing.T) {
	c := crdtstatetest.New(t, 4)
	s := c.All()
	rng := rand.New(rand.NewSource(7))
	split(t, c, s, rng, 150)
	log, err := s[0].LogBlocks()
	if err != nil {
		t.Fatal(err)
	}
	// One member's delta by a stranger's key is refused wherever it comes.
	forged := forge(t, c, s[0], func(f *forgery) { f.key = strangerKey(t) })
	for round := range 8 {
		x := c.Open(1)
		for _, b := range shuffled(rng, log) {
			if rng.Intn(20) == 0 {
				if n, err := receive(x, forged); n != 0 || err == nil {
					t.Fatalf("round %d: the forgery was admitted: %v", round, err)
				}
			}
			if n, err := receive(x, b.Raw); err != nil || n != 1 {
				t.Fatalf("round %d: block %s: %d, %v", round, b.CID, n, err)
			}
		}
		check(t, x)
		agree(t, s[0], x)
	}
}

// shuffled returns the log in another order that keeps parents first.
func shuffled(rng *rand.Rand, log []*block.Block) []*block.Block {
	var out []*block.Block
	placed := map[string]bool{}
	rest := slices.Clone(log)
	for len(rest) > 0 {
		var ready []int
		for i, b := range rest {
			if !slices.ContainsFunc(b.Parents, func(p cid.Cid) bool { return !placed[p.KeyString()] }) {
				ready = append(ready, i)
			}
		}
		i := ready[rng.Intn(len(ready))]
		out = append(out, rest[i])
		placed[rest[i].CID.KeyString()] = true
		rest = slices.Delete(rest, i, i+1)
	}
	return out
}

// receive delivers raw blocks whose last one is the head.
func receive(s *crdtstate.State, raws ...[]byte) (int, error) {
	return receiveHeads(s, nil, raws...)
}

func identityKey(c *crdtstatetest.Cluster) string { return identity.MemberKey(c.ID(0)) }

func nextRecord(c *crdtstatetest.Cluster) identity.Record {
	r := c.Record(0)
	r.Seq++
	return r
}

// TestAllOfWhatASplitPinnedTwiceIsRemoved: both sides pinned the same list; one
// Commit that removes it all takes out every element, whatever fits into one delta.
func TestAllOfWhatASplitPinnedTwiceIsRemoved(t *testing.T) {
	c := crdtstatetest.New(t, 3)
	s := c.All()
	var unpins []crdtstate.Op
	for _, x := range s {
		var ops []crdtstate.Op
		for i := range crdtstate.MaxOps {
			ops = append(ops, crdtstatetest.PinOp(crdtstatetest.Pin(i)))
		}
		c.Commit(x, ops...)
	}
	for i := range crdtstate.MaxOps {
		unpins = append(unpins, crdtstatetest.UnpinOp(crdtstatetest.Pin(i)))
	}
	c.Pull(s[0], s[1])
	c.Pull(s[0], s[2])
	r := c.Commit(s[0], unpins...)
	if n := s[0].Summary().Count; n != 0 {
		t.Errorf("%d pins after all were removed", n)
	}
	if heads := s[0].Summary().Heads; len(heads) != 1 || heads[0] != r.Head || s[0].Vector()[c.ID(0)] != r.Seq {
		t.Errorf("receipt %+v, heads %v", r, heads)
	}
	check(t, s[0])
	c.Pull(s[1], s[0])
	agree(t, s[0], s[1])
}
