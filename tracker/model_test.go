package tracker

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/pinset"
)

var (
	modelSeeds = flag.Int("tracker.seeds", 150, "how many random lives to play")
	modelSeed  = flag.Int64("tracker.seed", 0, "play only this life")
)

// life is a random sequence of events, and what must hold whatever their order.
type life struct {
	*rig
	t       *testing.T
	rng     *rand.Rand
	log     []string
	owner   map[cid.Cid]pinset.NodePin // what the owner of the node pinned himself
	torn    map[cid.Cid]bool           // our pins that he removed, and no sweep was since
	covered bool
	noticed bool      // that nothing is covered: it was so for longer than from look to look
	since   time.Time // of covered, after that was noticed
	was     bool      // covered before the event
	away    bool
}

const lifeCIDs = 8

func (l *life) cid() cid.Cid { return testCID(uint64(l.rng.IntN(lifeCIDs))) }

func (l *life) note(format string, args ...any) {
	l.log = append(l.log, fmt.Sprintf(format, args...))
}

func (l *life) fatalf(format string, args ...any) {
	l.t.Helper()
	l.t.Fatalf("%s\nafter:\n  %s", fmt.Sprintf(format, args...), strings.Join(l.log, "\n  "))
}

// event does one thing to the world.
func (l *life) event() {
	c := l.cid()
	switch n := l.rng.IntN(100); {
	case n < 25:
		p := pinAt(c, []string{"a", "b"}[l.rng.IntN(2)], [][]peer.ID{{self}, {other}, {other, self}, nil}[l.rng.IntN(4)]...)
		p.Mode, p.Owner = pinset.Mode(l.rng.IntN(2)), []string{"", "bob"}[l.rng.IntN(2)]
		l.note("pin %s %s %q for %v", c, p.Mode, p.Owner, p.Include)
		l.sets.pin(p)
	case n < 40:
		owner := []string{"", "bob"}[l.rng.IntN(2)]
		l.note("unpin %s %q", c, owner)
		l.sets.unpin(c, owner)
	case n < 52:
		l.ownerPin(c)
	case n < 60:
		l.ownerUnpin(c)
	case n < 66:
		l.note("members")
		l.sets.setMembers([][]peer.ID{{self}, {self, other}, {other}, {self, other, third}}[l.rng.IntN(4)]...)
	case n < 74:
		if l.covered = !l.covered; l.covered && l.noticed {
			l.since, l.noticed = time.Now(), false
		}
		l.note("covered %v", l.covered)
		yes := l.covered
		l.sets.absent(nil) // who is away says nothing new
		l.sets.cover(func(pinset.Pin, peer.ID) bool { return yes })
	case n < 82:
		l.note("kill")
		l.kill()
		l.start()
	case n < 88:
		l.away = !l.away
		l.note("node away %v", l.away)
		if l.away {
			l.node.Stop()
		} else {
			l.node.Start()
		}
	case n < 90:
		gone := []map[peer.ID]bool{nil, {other: false}, {other: true}, {other: false, third: true}}[l.rng.IntN(4)]
		l.note("away, and whether for long: %v", gone)
		l.sets.absent(gone)
	case n < 93:
		l.note("recover all")
		_ = l.RecoverAll(context.Background())
	default:
		l.note("an hour and a half")
		settle(90 * time.Minute)
		l.noticed = l.noticed || !l.covered && !l.away
		l.checkStandIns()
	}
}

// ownerPin is `ipfs pin add` by the node's owner.
func (l *life) ownerPin(c cid.Cid) {
	p := pinset.NodePin{CID: c, Mode: pinset.Mode(l.rng.IntN(2)), Name: []string{"", "mine"}[l.rng.IntN(2)]}
	err := l.node.Pin(context.Background(), c, pinset.PinOptions{Mode: p.Mode, Name: p.Name})
	l.note("owner pins %s %s %q: %v", c, p.Mode, p.Name, err)
	if err == nil {
		l.owner[c] = p
	}
}

// ownerUnpin is `ipfs pin rm`, of his own pins or of ours.
func (l *life) ownerUnpin(c cid.Cid) {
	err := l.node.Unpin(context.Background(), c, pinset.Recursive)
	l.note("owner unpins %s: %v", c, err)
	if err == nil {
		delete(l.owner, c)
		l.torn[c] = true
	}
}

// nodePins lists the node's pins, also while it is away.
func (l *life) nodePins() map[cid.Cid]pinset.NodePin {
	if l.away {
		l.node.Start()
		defer l.node.Stop()
	}
	out := map[cid.Cid]pinset.NodePin{}
	for p, err := range l.node.Pins(context.Background()) {
		if err != nil {
			l.fatalf("list pins: %v", err)
		}
		out[p.CID] = p
	}
	return out
}

// assigned says how much of c this member shall hold, by the allocation alone.
func (l *life) assigned(c cid.Cid) extent {
	pins, _ := l.sets.PinsOf(context.Background(), c)
	x := nothing
	for _, p := range pins {
		if slices.Contains(l.sets.View().Allocate(itemOf(p, 0)).Holders, self) {
			x = max(x, extentOf(p.Mode))
		}
	}
	return x
}

// short says whether some pin has too few members to hold it.
func (l *life) short(pins []pinset.Pin) bool {
	return slices.ContainsFunc(pins, func(p pinset.Pin) bool { return l.sets.View().Allocate(itemOf(p, 0)).Short > 0 })
}

// check holds after each event.
func (l *life) check(before map[cid.Cid]pinset.NodePin) {
	l.t.Helper()
	now := l.nodePins()
	for c, want := range l.owner {
		if got, ok := now[c]; !ok || got != want {
			l.fatalf("the owner's pin of %s is %+v, was %+v", c, got, want)
		}
	}
	for c, was := range before {
		if _, still := now[c]; still || !l.mark.on(was.Name) || l.torn[c] {
			continue
		}
		pins, _ := l.sets.PinsOf(context.Background(), c)
		need := false
		for _, p := range pins {
			need = need || extentOf(p.Mode) >= extentOf(was.Mode)
		}
		if need && !((l.covered || l.was) && time.Since(l.since) >= l.cfg.Grace()) {
			e, _ := l.ledger.get(context.Background(), keyOf(c))
			l.fatalf("the copy of %s went before others had it; covered %v for %v; pins %+v, was %+v, entry %+v, members %d", c, l.covered, time.Since(l.since), pins, was, e, len(l.sets.View().Members()))
		}
	}
}

// checkStandIns holds some time after the last event: of each pin there are as many
// copies at members that can be reached as it needs, of those in line for it this
// one's among them.
func (l *life) checkStandIns() {
	l.t.Helper()
	if l.away {
		return
	}
	now := l.nodePins()
	away, long, _ := l.sets.Away()
	for _, p := range l.sets.all() {
		it := itemOf(p, 0)
		holders, near, turn := l.sets.View().Allocate(it).Holders, 0, false
		for _, id := range l.sets.View().Ranked(it) {
			has := slices.Contains(holders, id) && l.covered && !long[id] // and said so before it went
			if id == self && near < max(1, p.Replication.Min) {
				turn = true
			}
			if !away[id] || has {
				near++
			}
		}
		_, mine := l.owner[p.CID]
		if got, there := now[p.CID]; turn && !mine && !l.torn[p.CID] && len(away) > 0 && (!there || extentOf(got.Mode) < extentOf(p.Mode)) {
			e, _ := l.ledger.get(context.Background(), keyOf(p.CID))
			l.fatalf("nobody stands in for %v with %+v: the node has %+v, the entry is %+v", away, p, got, e)
		}
	}
}

// checkReport holds when everything that can happen now has happened.
func (l *life) checkReport() {
	l.t.Helper()
	now := l.nodePins()
	rep := l.Report()
	if !rep.Ready || rep.Vector["author"] != l.sets.Vector()["author"] || rep.View != l.sets.View().Digest() {
		return
	}
	missing := slices.Collect(rep.Exceptions)
	for i := range uint64(lifeCIDs) {
		c := testCID(i)
		p, there := now[c]
		if x := l.assigned(c); x > nothing && !l.torn[c] && !slices.Contains(missing, c) && (!there || extentOf(p.Mode) < x) {
			l.fatalf("the report claims %s, and the node has %+v", c, p)
		}
	}
}

// end heals everything, waits, and compares with what must have come of it.
func (l *life) end() {
	l.t.Helper()
	l.node.Start()
	l.away = false
	l.sets.cover(func(pinset.Pin, peer.ID) bool { return true })
	l.sets.absent(nil)
	l.note("the end")
	settle(8 * time.Hour)
	now := l.nodePins()
	var missing []cid.Cid
	for i := range uint64(lifeCIDs) {
		c := testCID(i)
		x := l.assigned(c)
		got, there := now[c]
		pins, _ := l.sets.PinsOf(context.Background(), c)
		if mine, ok := l.owner[c]; ok {
			if got != mine {
				l.fatalf("the owner's pin of %s is %+v, was %+v", c, got, mine)
			}
			if extentOf(mine.Mode) < x {
				missing = append(missing, c)
				l.wantStatus(c, pinset.StatusRefused)
			} else if x > nothing {
				l.wantStatus(c, pinset.StatusPinned)
			}
			continue
		}
		switch {
		case x == nothing && l.short(pins):
			// Too few others to take it: what is here stays, what is not stays away.
			if there {
				l.wantStatus(c, pinset.StatusPinned)
			}
		case x == nothing && there:
			l.fatalf("%s is still pinned: %+v", c, got)
		case x == nothing && len(pins) > 0:
			l.wantStatus(c, pinset.StatusRemote)
		case x == nothing:
			l.wantStatus(c, pinset.StatusUnpinned)
		case !there || extentOf(got.Mode) != x || !l.mark.on(got.Name):
			l.fatalf("%s is pinned as %+v, want %s by us (%+v)", c, got, x.mode(), l.status(c))
		default:
			l.wantStatus(c, pinset.StatusPinned)
		}
	}
	rep := l.Report()
	got := slices.Collect(rep.Exceptions)
	same := len(got) == len(missing)
	for _, c := range missing {
		same = same && slices.Contains(got, c)
	}
	if !rep.Ready || !same {
		l.fatalf("report ready %v, exceptions %v, want %v", rep.Ready, got, missing)
	}
	consistent(l.rig, l.t)
	if l.t.Failed() {
		for it := range l.ledger.all(context.Background()) {
			l.note("%s %+v", it.key.cid(), it.entry)
		}
		l.fatalf("see above")
	}
}

func TestRandomLives(t *testing.T) {
	for seed := int64(1); seed <= int64(*modelSeeds); seed++ {
		if *modelSeed != 0 {
			seed = *modelSeed
		}
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) { bubble(t, func(t *testing.T) { play(t, seed) }) })
		if !ok || *modelSeed != 0 {
			t.Logf("play it again with -tracker.seed %d", seed)
			return
		}
	}
}

func play(t *testing.T, seed int64) {
	r := newRig(t, self, other)
	r.node = r.world.NodeWith(ipfsclienttest.Config{})
	r.cfg.Grace, r.cfg.Sweep = anHour, time.Hour
	l := &life{rig: r, t: t, rng: rand.New(rand.NewPCG(uint64(seed), 0)), owner: map[cid.Cid]pinset.NodePin{}, torn: map[cid.Cid]bool{}, noticed: true}
	l.start()
	defer func() { l.stop() }()
	for range 60 {
		before := l.nodePins()
		l.was = l.covered // the letting go may be under way
		began := time.Now()
		l.event()
		l.check(before)
		if l.rng.IntN(2) == 0 {
			settle(time.Duration(l.rng.IntN(3000)) * time.Millisecond)
			l.check(before)
			l.checkReport()
		}
		if time.Since(began) > l.cfg.Sweep && !l.away {
			clear(l.torn)
		}
	}
	l.end()
}

func anHour() time.Duration { return time.Hour }
