package tracker

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/pinset"
	"github.com/pinfold/pinfold/tracker/internal/budget"
)

// lined gives a rig's tracker a line with rules that can change.
func (r *rig) lined(rules Rules) *atomic.Pointer[Rules] {
	var now atomic.Pointer[Rules]
	now.Store(&rules)
	before := r.deps
	r.deps = func(d *Deps) {
		if before != nil {
			before(d)
		}
		f, err := OpenTraffic(context.Background(), d.Ledger, func() Rules { return *now.Load() })
		if err != nil {
			r.t.Fatal(err)
		}
		d.Traffic = f
	}
	return &now
}

// hours is a schedule of one window, so long from now, in whole hours.
func hours(t *testing.T, from, to int) Schedule {
	t.Helper()
	clock := func(h int) string { return time.Now().Add(time.Duration(h) * time.Hour).Format("15:04") }
	s, err := ParseSchedule(clock(from) + "-" + clock(to))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTrafficOfADayIsKept(t *testing.T) {
	for _, tc := range []struct {
		name  string
		known bool // sizes stand in the pins
		speed uint64
		first uint64 // pinned on the first day
		over  uint64 // bytes that a fetch brings before it is stopped
	}{
		{"known sizes, at once", true, 0, 3, 0},
		{"known sizes, slowly", true, gb / 100, 3, 0},
		{"unknown sizes, slowly", false, gb / 100, 0, 10 * gb / 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t)
				r.world.Imagine = sized(gb, nil)
				r.node = r.world.NodeWith(ipfsclienttest.Config{Speed: tc.speed})
				r.lined(Rules{Day: 3*gb + gb/2})
				r.start()
				defer func() { r.stop() }()
				for i := range uint64(10) {
					p := pinAt(testCID(i), "x")
					if tc.known {
						p.Size = gb
					}
					r.sets.pin(p)
				}
				for hour := range 6 * 24 {
					settle(time.Hour)
					if u := r.Stats().Traffic; u.Today > u.TodayLimit+tc.over {
						t.Fatalf("hour %d: %d bytes fetched today, at most %d", hour, u.Today, u.TodayLimit)
					}
					if hour == 5 {
						s := r.Stats()
						if n := s.Items[pinset.StatusPinned]; n < tc.first || n > 3 {
							t.Errorf("items %v on the first day, want %d or 3 pinned", s.Items, tc.first)
						}
						wantPutOff(t, r, "in a day")
						before := s.Traffic.Today
						r.stop() // that it was used up outlasts a restart
						r.start()
						settle(time.Minute)
						if u := r.Stats().Traffic; u.Today != before {
							t.Errorf("after a restart %d bytes of today, before %d", u.Today, before)
						}
					}
				}
				if s := r.Stats(); s.Items[pinset.StatusPinned] != 10 || s.Traffic.Month != 10*gb {
					t.Errorf("after six days items %v, %d bytes fetched; want all pinned, and each byte fetched once", s.Items, s.Traffic.Month)
				}
				if h := r.Health(); len(h) != 0 {
					t.Errorf("health %+v, want none", h)
				}
			})
		})
	}
}

// wantPutOff checks that something is refused for the traffic, says so and until when.
func wantPutOff(t *testing.T, r *rig, why string) {
	t.Helper()
	tomorrow := time.Now().AddDate(0, 0, 1).Format("2006-01-02")
	n := 0
	for l, err := range r.All(context.Background()) {
		if err != nil || l.Status == pinset.StatusPinned || l.Error == "" {
			continue
		}
		n++
		if l.Status == pinset.StatusPinning {
			continue
		}
		if !strings.Contains(l.Error, why) || l.Retry.Format("2006-01-02") != tomorrow {
			t.Errorf("put off: %+v, want %q and a retry on %s", l, why, tomorrow)
		}
	}
	if n == 0 {
		t.Error("nothing is put off")
	}
}

func TestMoreTrafficIsUsedWhenItIsAllowed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.world.Imagine = sized(gb, nil)
		rules := r.lined(Rules{Day: 2 * gb, Month: 3 * gb})
		r.start()
		defer r.stop()
		for i := range uint64(5) {
			p := pinAt(testCID(i), "x")
			p.Size = gb
			r.sets.pin(p)
		}
		settle(time.Minute)
		if s := r.Stats(); s.Items[pinset.StatusPinned] != 2 {
			t.Errorf("items %v, want 2 pinned", s.Items)
		}
		h := r.Health()
		if len(h) != 2 || h[0].Code != "refused" || h[1].Code != "traffic-used-up" || !strings.Contains(h[1].Detail, "2 GB of 2 GB today") {
			t.Errorf("health %+v", h)
		}
		if limits := r.Stats().Traffic.Limits(); !strings.Contains(limits, "2 GB of 3 GB this month") || !strings.Contains(limits, "used up, until ") {
			t.Errorf("limits %q", limits)
		}
		rules.Store(&Rules{Day: 10 * gb, Month: 3 * gb})
		settle(time.Minute)
		if s := r.Stats(); s.Items[pinset.StatusPinned] != 3 {
			t.Errorf("items %v, want 3 pinned, as the month allows", s.Items)
		}
		rules.Store(&Rules{})
		settle(time.Minute)
		if s := r.Stats(); s.Items[pinset.StatusPinned] != 5 || s.Traffic.Month != 5*gb {
			t.Errorf("items %v, %+v; want 5 pinned", s.Items, s.Traffic)
		}
	})
}

func TestMuchIsFetchedInItsHours(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, self, other)
		sizes := map[string]uint64{}
		large, small, extra := pinAt(testCID(1), "large", self), pinAt(testCID(2), "small", self), pinAt(testCID(3), "extra", "aaa", self)
		unknown := pinAt(testCID(4), "unknown", self)
		extra.Replication.Min = 1 // self is the second: one copy is enough
		large.Size, small.Size, extra.Size = 100*gb, budget.Small, 1000
		r.sets.setMembers("aaa", self, other)
		for _, p := range []pinset.Pin{large, small, extra} {
			sizes[p.CID.KeyString()] = p.Size
		}
		sizes[unknown.CID.KeyString()] = 200 << 20
		r.world.Imagine = func(c cid.Cid) (pinset.Progress, bool) {
			return pinset.Progress{Blocks: 1 + sizes[c.KeyString()]/262144, Bytes: sizes[c.KeyString()]}, true
		}
		r.node = r.world.NodeWith(ipfsclienttest.Config{Speed: 10 << 20})
		r.lined(Rules{Schedule: hours(t, 6, 8)})
		r.start()
		defer r.stop()
		settle(time.Second) // from here on what comes is new
		r.sets.pin(large, small, extra, unknown)
		settle(time.Hour)
		r.wantStatus(small.CID, pinset.StatusPinned)
		for _, p := range []pinset.Pin{large, extra, unknown} {
			if l := r.wantStatus(p.CID, pinset.StatusQueued); !strings.Contains(l.Error, "waits for the hours") || time.Until(l.Retry) < 4*time.Hour {
				t.Errorf("%s waits: %q, until %s", p.Name, l.Error, l.Retry)
			}
		}
		if u := r.Stats().Traffic; u.Today > 2*budget.Small+10<<20 {
			t.Errorf("%d bytes fetched outside the hours", u.Today)
		}
		settle(5*time.Hour + 30*time.Minute) // in the window
		r.wantStatus(extra.CID, pinset.StatusPinned)
		r.wantStatus(unknown.CID, pinset.StatusPinned)
		if l := r.wantStatus(large.CID, pinset.StatusPinning); l.Progress.Bytes < gb {
			t.Errorf("progress %+v in the window", l.Progress)
		}
		settle(2 * time.Hour) // after it
		r.wantStatus(large.CID, pinset.StatusQueued)
		before := r.Stats().Traffic.Month
		settle(10 * time.Hour)
		if after := r.Stats().Traffic.Month; after != before {
			t.Errorf("%d bytes fetched outside the hours", after-before)
		}
		settle(3 * 24 * time.Hour)
		r.wantStatus(large.CID, pinset.StatusPinned)
		if u := r.Stats().Traffic; u.Month != 100*gb+budget.Small+1000+200<<20 {
			t.Errorf("%d bytes fetched in all: a byte is fetched once", u.Month)
		}
	})
}

// Two clusters of a daemon share its line.
func TestTwoClustersShareTheTraffic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := newRig(t), newRig(t)
		a.world.Imagine = sized(gb, nil)
		b.world = a.world
		f := &Traffic{rules: func() Rules { return Rules{Day: 5 * gb} }}
		for i, r := range []*rig{a, b} {
			r.cfg.Cluster = fmt.Sprint("cluster", i)
			r.node = r.world.NodeWith(ipfsclienttest.Config{Speed: gb / 10})
			r.deps = func(d *Deps) { d.Traffic = f }
			r.start()
			defer r.stop()
			for j := range uint64(5) {
				p := pinAt(testCID(uint64(i)*100+j), "x")
				p.Size = gb
				r.sets.pin(p)
			}
		}
		for range 60 {
			settle(time.Minute)
			if u := f.Use(time.Now()); u.Today > 5*gb {
				t.Fatalf("%d bytes fetched by two", u.Today)
			}
		}
		if n := a.Stats().Items[pinset.StatusPinned] + b.Stats().Items[pinset.StatusPinned]; n != 5 {
			t.Errorf("%d pinned by two clusters, want 5", n)
		}
	})
}

func TestTrafficThatCannotBeReadIsNoStart(t *testing.T) {
	store := mapStore()
	if err := store.Put(t.Context(), trafficKey, []byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenTraffic(t.Context(), store, func() Rules { return Rules{} }); err == nil || !strings.Contains(err.Error(), "traffic") {
		t.Errorf("opened what cannot be read: %v", err)
	}
}

// What is promised to a fetch is kept, also when another one, of which nobody knew
// how large it is, brought more than was left beside.
func TestAPromiseIsKept(t *testing.T) {
	f := &Traffic{rules: func() Rules { return Rules{Day: 100} }}
	now := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	known, unknown := &run{}, &run{}
	for _, tc := range []struct {
		what string
		why  string
		want bool // it may go on
	}{
		{"the one begins", f.reserve(now, known, budget.Ask{Need: 60}).Why, true},
		{"the other begins", f.reserve(now, unknown, budget.Ask{}).Why, true},
		{"the other brings what is left", f.received(now, unknown, 40).Why, true},
		{"the other brings more", f.received(now, unknown, 41).Why, false},
		{"the one brings a part", f.received(now, known, 30).Why, true},
		{"the one brings nearly all", f.received(now, known, 59).Why, true},
		{"the one brings more", f.received(now, known, 61).Why, false},
	} {
		if (tc.why == "") != tc.want {
			t.Errorf("%s: %q", tc.what, tc.why)
		}
	}
}
