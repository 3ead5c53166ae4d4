package cluster

import (
	"context"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

func at(s pinset.Summary, r *rig, i int) pinset.Holding {
	for _, h := range s.Holdings {
		if h.Peer == r.ids.ID(i) {
			return h
		}
	}
	return pinset.Holding{}
}

// TestStatusOfAMember has a row for each state that a member can be in.
func TestStatusOfAMember(t *testing.T) {
	held := pinset.Local{CID: cidN(1), Status: pinset.StatusPinned, Size: 5}
	for _, tc := range []struct {
		name string
		do   func(r *rig, h int)
		want pinset.Status
		say  string
		old  bool // known from its last word
	}{
		{"it answers", func(r *rig, h int) { r.peers[h].tracker.set(held) }, pinset.StatusPinned, "", false},
		{"it answers that it does not", func(r *rig, h int) {
			r.peers[h].tracker.set(pinset.Local{CID: cidN(1), Status: pinset.StatusPinError, Error: "no \x1b[2J space"})
		}, pinset.StatusPinError, "no  [2J space", false},
		{"it is away and said that it holds it", func(r *rig, h int) { r.peers[h].says(); r.split(h) }, pinset.StatusPinned, "", true},
		{"it is away and said that it did not", func(r *rig, h int) { r.peers[h].says(cidN(1)); r.split(h) }, pinset.StatusClusterError, "did not have this yet", true},
		{"it is away and its word is older", func(r *rig, h int) {
			r.peers[h].says()
			r.split(h)
			r.peers[0].pin(pinset.Pin{CID: cidN(1), Name: "new"})
		}, pinset.StatusClusterError, "older", true},
		{"it is away and never spoke", func(r *rig, h int) { r.split(h) }, pinset.StatusClusterError, "never said", false},
		{"it hangs, and had said that it holds it", func(r *rig, h int) {
			r.peers[h].says()
			r.peers[0].net.faults[h] = hang
		}, pinset.StatusPinned, "", true},
		{"it hangs, and never spoke", func(r *rig, h int) { r.peers[0].net.faults[h] = hang }, pinset.StatusClusterError, "deadline", false},
		{"it answers garbage", func(r *rig, h int) { r.peers[0].net.faults[h] = garbage }, pinset.StatusClusterError, "read answer", false},
		{"it answers nothing", func(r *rig, h int) { r.peers[0].net.faults[h] = tornAfter(0) }, pinset.StatusClusterError, "broke off", false},
		{"it answers about another cid", func(r *rig, h int) {
			r.peers[h].tracker.items[pinset.CIDPrefix(cidN(1))] = pinset.Local{CID: cidN(2), Status: pinset.StatusPinned}
		}, pinset.StatusClusterError, "something else", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 5)
				p := r.peers[0].pin(pinset.Pin{CID: cidN(1)})
				h := r.holderOf(p, 0)
				tc.do(r, h)
				time.Sleep(time.Minute) // words grow old
				began := time.Now()
				s, err := r.peers[0].Status(t.Context(), cidN(1), false)
				must(t, s, err)
				if took := time.Since(began); took > r.peers[0].cfg.AskTime {
					t.Errorf("took %s", took)
				}
				got := at(s, r, h)
				if got.Status != tc.want || !strings.Contains(got.Error, tc.say) || !got.Assigned || got.Name == "" {
					t.Errorf("got %+v, want %s with %q", got, tc.want, tc.say)
				}
				if (got.Age >= time.Minute-time.Second) != tc.old && !(tc.old && got.Age > 0) {
					t.Errorf("age %s", got.Age)
				}
				if (got.Age > 0) != tc.old {
					t.Errorf("age %s, want old %v", got.Age, tc.old)
				}
			})
		})
	}
}

// A member that was heard since it spoke still stands by its word.
func TestAgeIsThatOfTheLastTimeHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		r.peers[0].pin(pinset.Pin{CID: cidN(1)})
		r.peers[1].says()
		word := r.peers[0].book.Latest(r.ids.ID(1))
		time.Sleep(time.Hour)
		for name, tc := range map[string]struct {
			state PeerState
			want  time.Duration
		}{
			"not heard since":                {PeerState{}, time.Hour},
			"heard with the same word":       {PeerState{LastHeard: time.Now().Add(-time.Minute), Statement: word.Seq}, time.Minute},
			"heard with a newer word":        {PeerState{LastHeard: time.Now().Add(-time.Minute), Statement: word.Seq + 1}, time.Hour},
			"heard just now, but not itself": {PeerState{LastHeard: time.Now(), Statement: word.Seq}, time.Second},
		} {
			r.peers[0].net.said[1] = tc.state
			if got := r.peers[0].age(word); got.Round(time.Second) != tc.want {
				t.Errorf("%s: %s, want %s", name, got, tc.want)
			}
		}
	})
}

func TestCopiesAreCounted(t *testing.T) {
	pinned := func(mode pinset.Mode, c cid.Cid) pinset.Local {
		return pinset.Local{CID: c, Mode: mode, Status: pinset.StatusPinned}
	}
	for _, tc := range []struct {
		name          string
		pin           pinset.Pin
		hold          []pinset.Mode // at that many peers
		copies, short int
	}{
		{"none", pinset.Pin{}, nil, 0, 2},
		{"one of two", pinset.Pin{}, []pinset.Mode{pinset.Recursive}, 1, 1},
		{"enough", pinset.Pin{}, []pinset.Mode{pinset.Recursive, pinset.Recursive}, 2, 0},
		{"more", pinset.Pin{}, []pinset.Mode{0, 0, 0, 0}, 4, 0},
		{"a direct copy is none of a recursive pin", pinset.Pin{}, []pinset.Mode{pinset.Recursive, pinset.Direct}, 1, 1},
		{"a recursive copy is one of a direct pin", pinset.Pin{Mode: pinset.Direct}, []pinset.Mode{pinset.Recursive, pinset.Direct}, 2, 0},
		{"everywhere", pinset.Pin{Replication: pinset.Replication{Min: -1, Max: -1}}, []pinset.Mode{0, 0, 0}, 3, 1},
		{"more than there are members", pinset.Pin{Replication: pinset.Replication{Min: 9, Max: 9}}, []pinset.Mode{0, 0, 0, 0}, 4, 5},
	} {
		r := newRig(t, 4)
		tc.pin.CID = cidN(1)
		r.peers[0].pin(tc.pin)
		for i, m := range tc.hold {
			r.peers[i].tracker.set(pinned(m, cidN(1)))
		}
		s, err := r.peers[3].Status(t.Context(), cidN(1), false)
		if err != nil || s.Copies != tc.copies || s.Short != tc.short {
			t.Errorf("%s: %d copies, %d short, want %d, %d (%v)", tc.name, s.Copies, s.Short, tc.copies, tc.short, err)
		}
	}
}

func TestStatusOfWhatIsNotPinned(t *testing.T) {
	r := newRig(t, 3)
	s, err := r.peers[0].Status(t.Context(), cidN(7), false)
	if err != nil || len(s.Pins) != 0 || len(s.Holdings) != 3 || s.Short != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := r.peers[0].Status(t.Context(), cid.Undef, false); pinset.KindOf(err) != pinset.KindInvalid {
		t.Errorf("no cid: %v", err)
	}
	s, err = r.peers[0].Status(t.Context(), cidN(7), true)
	if err != nil || len(s.Holdings) != 1 || s.Holdings[0].Peer != r.ids.ID(0) || r.peers[0].net.asked != 2 {
		t.Errorf("local: %+v, %v; %d asked", s, err, r.peers[0].net.asked)
	}
}

// TestStatusAllEqualsStatusOfEach draws clusters in every kind of disorder. The
// stream is in order, has each CID of the pinset and of the members' lists once,
// and says of each what Status says, but for members that need not hold it.
func TestStatusAllEqualsStatusOfEach(t *testing.T) {
	for seed := range int64(40) {
		rnd := rand.New(rand.NewSource(seed))
		r := newRigWith(t, 2+rnd.Intn(5), identity.DefaultPolicy(), func(i int, rec *identity.Record) {
			if rnd.Intn(5) == 0 {
				rec.Mirrors = []string{pinset.MirrorAll}
			}
		})
		for n := range 1 + rnd.Intn(30) {
			for _, owner := range []string{"", "alice"}[:1+rnd.Intn(2)] {
				r.peers[0].pin(pinset.Pin{CID: cidN(n), Owner: owner, Mode: pinset.Mode(rnd.Intn(2))})
			}
		}
		for i, p := range r.peers {
			for n := range 40 {
				if rnd.Intn(2) == 0 {
					p.tracker.set(pinset.Local{CID: cidN(n), Status: pinset.Status(1 + rnd.Intn(12))})
				}
			}
			if rnd.Intn(3) > 0 {
				p.says(cidN(rnd.Intn(30)))
			}
			if i > 0 && rnd.Intn(4) == 0 {
				r.split(i)
			}
		}
		want := map[string]pinset.Summary{}
		note := func(c cid.Cid) {
			s := must2(r.peers[0].Status(t.Context(), c, false))
			want[pinset.CIDPrefix(c)] = s
		}
		for p, err := range r.peers[0].Pins(t.Context()) {
			must(t, 0, err)
			note(p.CID)
		}
		for i, p := range r.peers {
			for l := range p.tracker.All(t.Context()) {
				if !r.isCut(0, i) {
					note(l.CID)
				}
			}
		}
		last := ""
		for s, err := range r.peers[0].StatusAll(t.Context(), false) {
			must(t, 0, err)
			key := pinset.CIDPrefix(s.CID)
			if key <= last {
				t.Fatalf("seed %d: out of order", seed)
			}
			last = key
			w, ok := want[key]
			if !ok {
				t.Fatalf("seed %d: %s twice, or nobody has it", seed, s.CID)
			}
			delete(want, key)
			compareSummaries(t, r, fmt.Sprintf("seed %d: %s", seed, s.CID), w, s)
		}
		if len(want) > 0 {
			t.Fatalf("seed %d: %d CIDs are missing", seed, len(want))
		}
	}
}

// compareSummaries passes over what Status tells beyond StatusAll: members without
// any part in a CID; and StatusAll's "queued" for what a member has not looked at.
func compareSummaries(t *testing.T, r *rig, where string, want, got pinset.Summary) {
	t.Helper()
	want.Holdings = slices.DeleteFunc(slices.Clone(want.Holdings), func(h pinset.Holding) bool {
		return !h.Assigned && (h.Status == pinset.StatusRemote || h.Status == pinset.StatusClusterError)
	})
	got.Holdings = slices.DeleteFunc(slices.Clone(got.Holdings), func(h pinset.Holding) bool {
		return !h.Assigned && h.Status == pinset.StatusRemote
	})
	for _, list := range [][]pinset.Holding{want.Holdings, got.Holdings} {
		for i := range list {
			list[i].Age = list[i].Age.Round(time.Minute)
			if list[i].Status == pinset.StatusQueued || list[i].Status == pinset.StatusRemote {
				list[i].Status, list[i].Mode = pinset.StatusQueued, 0
			}
			list[i].CID = pinset.V1(list[i].CID)
		}
		slices.SortFunc(list, func(a, b pinset.Holding) int { return strings.Compare(string(a.Peer), string(b.Peer)) })
	}
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Fatalf("%s: %s", where, diff)
	}
}

func TestStatusAllOutlivesBadMembers(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault askFault
		say   string
	}{
		{"torn at once", tornAfter(0), "broke off"},
		{"torn after the first frame", tornAfter(1), "broke off"},
		{"garbage", garbage, "read answer"},
	} {
		r := newRig(t, 3)
		for n := range 600 {
			r.peers[0].pin(pinset.Pin{CID: cidN(n), Replication: pinset.Replication{Min: 3, Max: 3}})
			for _, p := range r.peers {
				p.tracker.set(pinset.Local{CID: cidN(n), Status: pinset.StatusPinned})
			}
		}
		r.peers[0].net.faults[1] = tc.fault
		n, full, broken := 0, 0, 0
		for s, err := range r.peers[0].StatusAll(t.Context(), false) {
			must(t, 0, err)
			n++
			switch h := at(s, r, 1); {
			case h.Status == pinset.StatusPinned:
				full++
			case strings.Contains(h.Error, tc.say):
				broken++
			}
			if s.Copies < 2 {
				t.Fatalf("%s: %d copies", tc.name, s.Copies)
			}
		}
		if n != 600 || full+broken != 600 || broken == 0 {
			t.Errorf("%s: %d items, %d whole, %d without the bad member", tc.name, n, full, broken)
		}
	}
}

func TestStatusAllLocalAsksNobody(t *testing.T) {
	r := newRig(t, 3)
	for n := range 5 {
		r.peers[0].pin(pinset.Pin{CID: cidN(n)})
	}
	r.peers[0].tracker.set(pinset.Local{CID: cidN(9), Status: pinset.StatusUnpinning})
	n := 0
	for s, err := range r.peers[0].StatusAll(t.Context(), true) {
		must(t, 0, err)
		if n++; len(s.Holdings) != 1 || s.Holdings[0].Peer != r.ids.ID(0) {
			t.Errorf("%+v", s)
		}
	}
	if n != 6 || r.peers[0].net.asked != 0 {
		t.Errorf("%d items, %d asked", n, r.peers[0].net.asked)
	}
}

// Who stops reading early leaves nothing running.
func TestStatusAllCanBeLeftEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		for n := range 20 {
			r.peers[0].pin(pinset.Pin{CID: cidN(n)})
		}
		for range r.peers[0].StatusAll(t.Context(), false) {
			break
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for _, err := range r.peers[0].StatusAll(ctx, false) {
			if err != nil {
				break
			}
			cancel()
		}
	})
}

func TestRecoverTellsTheHolders(t *testing.T) {
	r := newRig(t, 6)
	p := r.peers[0].pin(pinset.Pin{CID: cidN(1)})
	holders := r.peers[0].Allocate(p)
	_, err := r.peers[0].Recover(t.Context(), cidN(1))
	must(t, 0, err)
	for i, p := range r.peers {
		want := i == 0 || slices.Contains(holders, r.ids.ID(i))
		if got := len(p.tracker.recovered) == 1; got != want {
			t.Errorf("peer %d: recovered %v, want %v", i, got, want)
		}
	}
	r.split(5)
	must(t, 0, r.peers[0].RecoverAll(t.Context()))
	for i, p := range r.peers {
		if want := i != 5; p.tracker.all != 1 == want {
			t.Errorf("peer %d: all recovered %d times", i, p.tracker.all)
		}
	}
}
