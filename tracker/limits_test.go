package tracker

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/pinset"
)

// sized makes every DAG that large, but for those that nobody provides.
func sized(bytes uint64, dead func(cid.Cid) bool) func(cid.Cid) (pinset.Progress, bool) {
	return func(c cid.Cid) (pinset.Progress, bool) {
		return pinset.Progress{Blocks: 1 + bytes/262144, Bytes: bytes}, dead == nil || !dead(c)
	}
}

func TestLentBytesAreNeverExceeded(t *testing.T) {
	for _, tc := range []struct {
		name  string
		known bool // sizes stand in the pins
		speed uint64
	}{
		{"known sizes", true, 0},
		{"known sizes, slowly", true, gb / 10},
		{"unknown sizes, slowly", false, gb / 10},
		{"unknown sizes, at once", false, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t)
				r.world.Imagine = sized(gb, nil)
				r.node = r.world.NodeWith(ipfsclienttest.Config{Speed: tc.speed})
				r.cfg.Lent = func() uint64 { return 5*gb + gb/2 }
				r.start()
				defer r.stop()
				for i := range uint64(10) {
					p := pinAt(testCID(i), "x")
					if tc.known {
						p.Size = gb
					}
					r.sets.pin(p)
				}
				for range 50 {
					settle(time.Minute)
					if s := r.Stats(); s.Used > s.Lent {
						t.Fatalf("used %d of %d", s.Used, s.Lent)
					}
				}
				s := r.Stats()
				if s.Items[pinset.StatusPinned] != 5 || s.Items[pinset.StatusRefused] != 5 {
					t.Errorf("items %v, want 5 pinned and 5 refused", s.Items)
				}
				for l, err := range r.All(context.Background()) {
					if err != nil || l.Status == pinset.StatusRefused && !strings.Contains(l.Error, "lent") {
						t.Errorf("refused without the reason: %+v, %v", l, err)
					}
				}
				if rep := r.Report(); rep.Missing != 5 {
					t.Errorf("%d exceptions, want the 5 refused", rep.Missing)
				}
			})
		})
	}
}

// A fetch whose size nobody knew, or somebody understated, ends at the line and
// not when it is done.
func TestFetchIsStoppedAtTheLine(t *testing.T) {
	for _, said := range []uint64{0, gb / 2} {
		bubble(t, func(t *testing.T) {
			r := newRig(t)
			r.world.Imagine = sized(100*gb, nil)
			r.node = r.world.NodeWith(ipfsclienttest.Config{Speed: gb / 10})
			r.cfg.Lent = func() uint64 { return 2 * gb }
			r.start()
			defer r.stop()
			p := pinAt(testCID(1), "x")
			p.Size = said
			r.sets.pin(p)
			settle(time.Hour)
			if l := r.wantStatus(p.CID, pinset.StatusRefused); !strings.Contains(l.Error, "lent") {
				t.Errorf("said %d: refused without the reason: %q", said, l.Error)
			}
			if stat, err := r.node.RepoStat(context.Background()); err != nil || stat.Used > 2*gb+gb/10 {
				t.Errorf("said %d: %d bytes came in, %v; 2 GB were lent", said, stat.Used, err)
			}
		})
	}
}

func TestRefusedIsTakenWhenRoomAppears(t *testing.T) {
	for _, tc := range []struct {
		name string
		room func(r *rig, lent *atomic.Uint64)
	}{
		{"more is lent", func(_ *rig, lent *atomic.Uint64) { lent.Store(3 * gb) }},
		{"something is unpinned", func(r *rig, _ *atomic.Uint64) {
			for i := range uint64(2) {
				if r.status(testCID(i)).Status == pinset.StatusPinned {
					r.sets.unpin(testCID(i), "")
				}
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t)
				r.world.Imagine = sized(gb, nil)
				var lent atomic.Uint64
				lent.Store(gb)
				r.cfg.Lent = lent.Load
				r.start()
				defer r.stop()
				r.sets.pin(pinAt(testCID(0), "x"), pinAt(testCID(1), "x"))
				settle(time.Minute)
				if s := r.Stats(); s.Items[pinset.StatusRefused] != 1 {
					t.Fatalf("items %v, want one refused", s.Items)
				}
				tc.room(r, &lent)
				settle(time.Minute)
				if s := r.Stats(); s.Items[pinset.StatusRefused] != 0 || s.Items[pinset.StatusPinned] == 0 {
					t.Errorf("items %v, want none refused", s.Items)
				}
			})
		})
	}
}

// Of copies that do not fit all, those beyond the minimum are refused.
func TestBestEffortCopiesAreRefusedFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, self, other)
		r.world.Imagine = sized(gb, nil)
		r.cfg.Lent = func() uint64 { return 10 * gb }
		r.cfg.Concurrency = 2
		extra := func(i uint64) bool { return i%2 == 0 }
		for i := range uint64(20) {
			p := pinAt(testCID(i), "x", self, other)
			p.Size = gb
			if extra(i) { // self is the last holder, and one is enough
				p = pinAt(testCID(i), "x", "aaa", self)
				p.Size, p.Replication.Min = gb, 1
			}
			r.sets.pin(p)
		}
		r.sets.setMembers("aaa", self, other)
		r.start()
		defer r.stop()
		settle(time.Hour)
		for i := range uint64(20) {
			want := pinset.StatusPinned
			if extra(i) {
				want = pinset.StatusRefused
			}
			r.wantStatus(testCID(i), want)
		}
	})
}

func TestReserveOfTheDiskIsKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.world.Imagine = sized(gb, nil)
		r.node = r.world.NodeWith(ipfsclienttest.Config{Disk: 10 * gb, Speed: gb / 20})
		r.cfg.Reserve = 4 * gb
		r.start()
		defer r.stop()
		for i := range uint64(10) {
			r.sets.pin(pinAt(testCID(i), "x")) // of unknown size
		}
		settle(time.Hour)
		stat, err := r.node.RepoStat(context.Background())
		// Two looks at the disk are some seconds apart.
		if err != nil || stat.Free < 3*gb {
			t.Errorf("%d bytes free, %v; want about %d", stat.Free, err, r.cfg.Reserve)
		}
		if s := r.Stats(); s.Items[pinset.StatusRefused] == 0 {
			t.Errorf("items %v, want some refused", s.Items)
		}
	})
}

// 10,000 CIDs that nobody provides do not delay what somebody does.
func TestDeadCIDsDoNotDelayGoodOnes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		dead := map[cid.Cid]bool{}
		r.world.Imagine = sized(1024, func(c cid.Cid) bool { return dead[c] })
		var pins []pinset.Pin
		for i := range uint64(10_000) {
			dead[testCID(i)] = true
			pins = append(pins, pinAt(testCID(i), "dead"))
		}
		r.start()
		defer r.stop()
		settle(time.Second) // from here on what comes is new, not found at the start
		r.sets.pin(pins...)
		settle(time.Minute)
		for i := range uint64(20) {
			c := testCID(100_000 + i)
			r.sets.pin(pinAt(c, "good"))
			settle(3 * time.Second)
			r.wantStatus(c, pinset.StatusPinned)
		}
		settle(2 * time.Hour) // each dead one has had its try
		s := r.Stats()
		if s.Items[pinset.StatusWaiting] < 9_000 {
			t.Errorf("items %v, want the dead ones waiting", s.Items)
		}
		c := testCID(200_000)
		r.sets.pin(pinAt(c, "good"))
		settle(time.Second)
		r.wantStatus(c, pinset.StatusPinned)
		l := r.status(testCID(5))
		if l.Attempts == 0 || l.Error == "" {
			t.Errorf("a dead one: %+v, want attempts and a reason", l)
		}
	})
}

func TestWaitingIsTriedAgainAndTheBackoffSurvivesARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		var alive atomic.Bool
		r.world.Imagine = sized(1024, func(cid.Cid) bool { return !alive.Load() })
		r.start()
		c := testCID(1)
		r.sets.pin(pinAt(c, "x"))
		settle(20 * time.Minute)
		before := r.wantStatus(c, pinset.StatusWaiting)
		if before.Attempts < 3 {
			t.Errorf("%d attempts in 20 minutes", before.Attempts)
		}
		r.kill()
		calls := r.node.Calls("pin")
		r.start()
		defer r.stop()
		settle(time.Second)
		after := r.wantStatus(c, pinset.StatusWaiting)
		if after.Attempts != before.Attempts || !after.Retry.Equal(before.Retry) || r.node.Calls("pin") != calls {
			t.Errorf("after a restart %+v, before %+v", after, before)
		}
		alive.Store(true)
		settle(12 * time.Hour)
		r.wantStatus(c, pinset.StatusPinned)
	})
}

func TestUnpinCancelsTheFetch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.world.Imagine = sized(100*gb, nil)
		r.node = r.world.NodeWith(ipfsclienttest.Config{Speed: gb / 100})
		r.start()
		defer r.stop()
		c := testCID(1)
		r.sets.pin(pinAt(c, "x"))
		settle(time.Minute)
		l := r.wantStatus(c, pinset.StatusPinning)
		if l.Progress.Bytes < gb/10 {
			t.Errorf("progress %+v after a minute", l.Progress)
		}
		r.sets.unpin(c, "")
		settle(time.Second)
		r.wantStatus(c, pinset.StatusUnpinned)
		if s := r.Stats(); s.Moving != 0 || s.Reserved != 0 || s.Queued+s.Later != 0 {
			t.Errorf("stats %+v, want nothing under way", s)
		}
	})
}

func TestNodeAwayEverythingWaitsAndCatchesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.node = r.world.Node()
		r.node.Stop()
		r.start()
		defer r.stop()
		for i := range uint64(50) {
			r.sets.pin(pinAt(testCID(i), "x"))
		}
		settle(time.Hour)
		l := r.wantStatus(testCID(1), pinset.StatusQueued)
		if !strings.Contains(l.Error, "away") || l.Attempts != 0 {
			t.Errorf("local %+v, want it to say that the node is away, and no attempts", l)
		}
		if h := r.Health(); len(h) != 1 || h[0].Code != "ipfs-away" || h[0].Severity != pinset.SeverityError {
			t.Errorf("health %+v", h)
		}
		if r.Report().Ready {
			t.Error("a report although the node was never seen")
		}
		r.node.Start()
		settle(time.Minute)
		if s := r.Stats(); s.Items[pinset.StatusPinned] != 50 {
			t.Errorf("items %v, want 50 pinned", s.Items)
		}
		if h := r.Health(); len(h) != 0 {
			t.Errorf("health %+v, want none", h)
		}
		r.node.Stop()
		r.sets.unpin(testCID(1), "")
		settle(time.Hour)
		r.node.Start()
		settle(time.Minute)
		r.wantStatus(testCID(1), pinset.StatusUnpinned)
		if s := r.Stats(); s.Items[pinset.StatusPinned] != 49 {
			t.Errorf("items %v, want 49 pinned", s.Items)
		}
	})
}

func TestMuteAndLyingNodes(t *testing.T) {
	for _, tc := range []struct {
		name   string
		faults ipfsclienttest.Faults
		want   pinset.Status
	}{
		{"says pinned and does nothing", ipfsclienttest.Faults{Before: ipfsclienttest.On(ipfsclienttest.Pretend, ipfsclienttest.OpPin)}, pinset.StatusPinError},
		{"never answers", ipfsclienttest.Faults{Before: ipfsclienttest.Hang}, pinset.StatusQueued},
		{"fails each pin", ipfsclienttest.Faults{Before: ipfsclienttest.On(ipfsclienttest.Fail(errors.New("broken")), ipfsclienttest.OpPin)}, pinset.StatusPinError},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t)
				r.node = r.world.Node()
				r.node.Break(tc.faults)
				r.start()
				defer r.stop()
				c := testCID(1)
				r.sets.pin(pinAt(c, "x"))
				settle(10 * time.Minute)
				if l := r.wantStatus(c, tc.want); l.Error == "" {
					t.Error("no reason")
				}
				if s := r.Stats(); s.Missing != 1 {
					t.Errorf("%d missing, want 1", s.Missing)
				}
				r.node.Break(ipfsclienttest.Faults{})
				settle(2 * time.Hour)
				r.wantStatus(c, pinset.StatusPinned)
			})
		})
	}
}

func TestPinWhoseBlocksAreGoneIsFetchedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).start()
		defer r.stop()
		c := testCID(1)
		var broken atomic.Bool
		broken.Store(true)
		lose := func(context.Context, ipfsclienttest.Call) error {
			if broken.Load() {
				r.node.Lose(c)
			}
			return nil
		}
		r.node.Break(ipfsclienttest.Faults{Before: ipfsclienttest.On(lose, ipfsclienttest.OpDAGSize)})
		r.sets.pin(pinAt(c, "x"))
		settle(time.Second)
		if l := r.wantStatus(c, pinset.StatusPinError); !strings.Contains(l.Error, "missing") {
			t.Errorf("reason %q", l.Error)
		}
		broken.Store(false)
		settle(time.Hour)
		r.wantStatus(c, pinset.StatusPinned)
	})
}

// Slow holders of the connections do not delay the fetch, and end with it.
type stuckConnector struct{ calls atomic.Int64 }

func (s *stuckConnector) ConnectHolders(ctx context.Context, _ cid.Cid, holders []peer.ID) {
	s.calls.Add(int64(len(holders)))
	<-ctx.Done()
}

func TestHoldersAreConnectedBesideTheFetch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, self, other)
		conn := &stuckConnector{}
		r.deps = func(d *Deps) { d.Connector = conn }
		r.start()
		defer r.stop()
		c := testCID(1)
		r.sets.pin(pinAt(c, "x", self, other))
		settle(time.Second)
		r.wantStatus(c, pinset.StatusPinned)
		if conn.calls.Load() != 2 {
			t.Errorf("%d holders, want 2", conn.calls.Load())
		}
	})
}
