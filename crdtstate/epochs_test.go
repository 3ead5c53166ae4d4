package crdtstate_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/crdtstate/crdtstatetest"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

var (
	epochSeeds = flag.Int("epochs.seeds", 12, "random histories with epochs to try")
	epochFrom  = flag.Int("epochs.from", 0, "the first of them")
)

// club is a cluster whose peers begin epochs, in a bubble of virtual time.
type club struct {
	*crdtstatetest.Cluster
	t      *testing.T
	rng    *rand.Rand
	peers  []*clubber
	alive  map[string]map[string]bool // oracle: tags by key
	tags   int
	epochs int
	said   []string
}

type clubber struct {
	n     int
	disk  *crdtstate.MemoryDisk
	state *crdtstate.State // nil: down
	away  bool
	seq   uint64 // of its records
}

func newClub(t *testing.T, n int, seed int64) *club {
	c := &club{Cluster: crdtstatetest.New(t, n), t: t, rng: rand.New(rand.NewSource(seed)), alive: map[string]map[string]bool{}}
	for i := range n {
		c.peers = append(c.peers, &clubber{n: i, disk: &crdtstate.MemoryDisk{}})
	}
	return c
}

func (c *club) start(p *clubber) {
	c.t.Helper()
	cfg := c.Config(p.n)
	cfg.Rest = time.Millisecond
	s, err := crdtstate.OnDisk(cfg, p.disk)
	if err != nil {
		c.t.Fatal("start:", err)
	}
	p.state = s
	go func() {
		for range s.Announcements() {
		}
	}()
}

func (c *club) stop(p *clubber) {
	c.t.Helper()
	if p.state == nil {
		return
	}
	if err := p.state.Close(); err != nil {
		c.t.Fatal("stop:", err)
	}
	p.state = nil
}

// member makes a peer a member, if it is none where it looks.
func (c *club) member(p *clubber) bool {
	a := p.state.Authority()
	if a.Is(c.ID(p.n)) {
		return true
	}
	if p.n != 0 && p.state.Summary().Blocks == 0 {
		return false
	}
	r := c.Record(p.n)
	r.Seq, r.Incarnation = max(a.NextSeq(c.ID(p.n)), p.seq+1), a.NextIncarnation(c.ID(p.n))
	_, err := p.state.Commit(context.Background(), crdtstate.Op{Key: identity.MemberKey(c.ID(p.n)), Value: c.Seal(p.n, r)})
	if err == nil {
		p.seq = r.Seq
	}
	return err == nil
}

// sync is an exchange of two peers, as the network does it: signed records, deltas,
// and the genesis for who lacks what was folded.
func (c *club) sync(a, b *clubber) {
	if a.state == nil || b.state == nil {
		return
	}
	ctx := context.Background()
	for _, way := range [][2]*crdtstate.State{{a.state, b.state}, {b.state, a.state}} {
		for _, raw := range way[0].Signed() {
			if _, err := way[1].AcceptSigned(ctx, raw); err != nil {
				c.t.Fatal("accept:", err)
			}
		}
	}
	synctest.Wait()
	for _, way := range [][2]*crdtstate.State{{a.state, b.state}, {b.state, a.state}} {
		from, to := way[0], way[1]
		_, err := crdtstatetest.Deliver(ctx, to, from)
		c.say("deliver", a, b, err)
		if to.Behind(from.Epoch()) {
			if err = crdtstatetest.Adopt(ctx, to, from); err != nil && !errors.Is(err, crdtstate.ErrRefused) {
				c.t.Fatal("adopt:", err)
			}
			c.say("adopt", a, b, err)
			synctest.Wait()
			_, err = crdtstatetest.Deliver(ctx, to, from)
			c.say("deliver again", a, b, err)
		}
		synctest.Wait()
	}
}

// say keeps what went wrong lately, for who looks at a failure.
func (c *club) say(what string, a, b *clubber, err error) {
	if err != nil {
		c.said = append(c.said, fmt.Sprintf("%s between %d and %d: %v", what, a.n, b.n, err))
		c.said = c.said[max(0, len(c.said)-10):]
	}
}

func (c *club) seen(s *crdtstate.State, key string) (tags []string) {
	values, err := s.LiveValues(key)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, v := range values {
		pin, err := pinset.Decode(key, v)
		if err != nil {
			c.t.Fatal(err)
		}
		tags = append(tags, pin.Name)
	}
	return tags
}

// write pins or unpins one of a few CIDs, and tells the oracle.
func (c *club) write(p *clubber) {
	if p.state == nil || !p.state.Authority().CanWrite(c.ID(p.n)) {
		return
	}
	pin := crdtstatetest.Pin(c.rng.Intn(10))
	key := pin.Key()
	seen := c.seen(p.state, key)
	op := crdtstatetest.UnpinOp(pin)
	if c.rng.Intn(100) < 60 {
		c.tags++
		pin.Name = fmt.Sprintf("tag %d", c.tags)
		op = crdtstatetest.PinOp(pin)
	}
	if _, err := p.state.Commit(context.Background(), op); err != nil {
		return // not acknowledged, so not done: it was judged before it was signed
	}
	for _, tag := range seen {
		delete(c.alive[key], tag)
	}
	if op.Value != nil {
		if c.alive[key] == nil {
			c.alive[key] = map[string]bool{}
		}
		c.alive[key][pin.Name] = true
	}
}

// settle brings everybody back and lets everybody hear everything.
func (c *club) settle() {
	for _, p := range c.peers {
		if p.away = false; p.state == nil {
			c.start(p)
		}
	}
	for range 8 {
		for i, a := range c.peers {
			for _, b := range c.peers[i+1:] {
				c.sync(a, b)
			}
		}
		for _, p := range c.peers {
			c.member(p)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
	}
}

// verify compares all with each other and with the oracle. With exact, nothing that
// was removed is there again; where members were away for long and others signed anew
// what they had of theirs, it may be.
func (c *club) verify(seed int64, exact bool) {
	c.t.Helper()
	var states []*crdtstate.State
	for _, p := range c.peers {
		check(c.t, p.state)
		states = append(states, p.state)
	}
	agree(c.t, states...)
	for n := range 10 {
		key := crdtstatetest.Pin(n).Key()
		got := c.seen(states[0], key)
		slices.Sort(got)
		got = slices.Compact(got)
		want := slices.Sorted(maps.Keys(c.alive[key]))
		lost := slices.ContainsFunc(want, func(tag string) bool { return !slices.Contains(got, tag) })
		if lost || exact && !slices.Equal(got, want) {
			c.t.Fatalf("seed %d: pin %d: live are %v, by all that was said %v", seed, n, got, want)
		}
	}
	genesis := map[uint64]string{}
	for _, s := range states {
		info, err := s.Info()
		if err != nil {
			c.t.Fatal(err)
		}
		if g, ok := genesis[info.Epoch]; ok && g != info.Genesis.String() {
			c.t.Fatalf("seed %d: two geneses of epoch %d", seed, info.Epoch)
		}
		genesis[info.Epoch] = info.Genesis.String()
		c.epochs = max(c.epochs, int(info.Epoch))
	}
	if len(genesis) != 1 {
		c.t.Fatalf("seed %d: epochs %v", seed, genesis)
	}
}

// step does one random thing.
func (c *club) step(hard bool) {
	p := c.peers[c.rng.Intn(len(c.peers))]
	switch r := c.rng.Intn(100); {
	case r < 50:
		c.write(p)
	case r < 85:
		if q := c.peers[c.rng.Intn(len(c.peers))]; q != p && !p.away && !q.away {
			c.sync(p, q)
		}
	case r < 90:
		if p.state != nil {
			p.state.Compact()
		}
	case r < 93:
		c.stop(p)
		c.start(p)
		synctest.Wait()
	case r < 94:
		time.Sleep(6 * time.Second)
	case hard && r < 96:
		p.away = p.n != 0 && !p.away
	case hard && r < 98: // an admin removes who is away
		if p.away && c.peers[0].state.Authority().Is(c.ID(p.n)) {
			c.remove(p)
		}
	case hard && r < 100:
		if p.state != nil && !p.away {
			c.member(p)
		}
	}
}

func (c *club) remove(p *clubber) {
	auth := c.peers[0].state.Authority()
	m, _ := auth.Member(c.ID(p.n))
	value, err := identity.CauseAdmin.Encode()
	if err != nil {
		c.t.Fatal(err)
	}
	key := identity.RemovalKey(c.ID(p.n), m.Incarnation, c.ID(0))
	c.Commit(c.peers[0].state, crdtstate.Op{Key: key, Value: value})
}

// seedsToTry is fewer for a short look.
func seedsToTry() int {
	if testing.Short() {
		return min(*epochSeeds, 3)
	}
	return *epochSeeds
}

func playHistory(t *testing.T, seed int64, hard bool) (epochs int) {
	synctest.Test(t, func(t *testing.T) {
		c := newClub(t, 4, seed)
		for _, p := range c.peers {
			c.start(p)
			if p.n > 0 {
				c.sync(p, c.peers[0])
			}
			if !c.member(p) {
				t.Fatal("no member")
			}
			c.sync(p, c.peers[0])
		}
		for range 400 {
			c.step(hard)
		}
		defer func() {
			for _, p := range c.peers {
				if t.Failed() && p.state != nil {
					info, err := p.state.Info()
					t.Logf("peer %d: %+v %v", p.n, info, err)
				}
				c.stop(p)
			}
			if t.Failed() {
				t.Log("seed", seed, "lately:", strings.Join(c.said, "\n"))
			}
		}()
		c.settle()
		c.verify(seed, !hard)
		epochs = c.epochs
	})
	return epochs
}

// TestEpochsAgainstTheOracle (I12): whatever happens while epochs begin, all agree
// in the end, on one genesis, and what is live is what an observed-remove set of
// everything that was acknowledged has.
func TestEpochsAgainstTheOracle(t *testing.T) {
	total := 0
	for seed := range seedsToTry() {
		total += playHistory(t, int64(*epochFrom+seed), false)
	}
	t.Logf("%d histories, %d epochs", seedsToTry(), total)
	if total < seedsToTry() {
		t.Errorf("only %d epochs began in %d histories", total, seedsToTry())
	}
}

// The same with members that are away over epochs, removed, and come back: nothing
// that was acknowledged is lost.
func TestEpochsWithAbsence(t *testing.T) {
	total := 0
	for seed := range seedsToTry() {
		total += playHistory(t, int64(*epochFrom+1000+seed), true)
	}
	t.Logf("%d histories, %d epochs", seedsToTry(), total)
}
