package silence

import (
	"maps"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

func TestWhoIsAway(t *testing.T) {
	a := NewAway(10 * time.Minute)
	start := time.Unix(1e9, 0)
	last := map[peer.ID]time.Time{"never": {}, "here": {}, "gone": {}}
	silent := map[peer.ID]bool{}
	type set = map[peer.ID]bool
	for _, row := range []struct {
		name       string
		at         time.Duration
		heard      []peer.ID
		silent     set // for days
		away, long set
		news       bool
	}{
		{"at the start", 0, nil, nil, nil, nil, false},
		{"soon after", 10 * time.Minute, []peer.ID{"here", "gone"}, set{"never": true}, nil, nil, false},
		{"one never came", 11 * time.Minute, []peer.ID{"here"}, set{"never": true}, set{"never": true}, set{"never": true}, true},
		{"one went, not for long", 19 * time.Minute, []peer.ID{"here"}, set{"never": true}, set{"never": true}, set{"never": true}, false},
		{"for longer", 21 * time.Minute, []peer.ID{"here"}, set{"never": true}, set{"never": true, "gone": true}, set{"never": true}, true},
		{"again", 22 * time.Minute, []peer.ID{"here"}, set{"never": true}, set{"never": true, "gone": true}, set{"never": true}, false},
		{"for days", 23 * time.Minute, []peer.ID{"here"}, set{"never": true, "gone": true}, set{"never": true, "gone": true}, set{"never": true, "gone": true}, true},
		{"it returns", 24 * time.Minute, []peer.ID{"gone"}, set{"never": true}, set{"never": true}, set{"never": true}, true},
	} {
		for minute := start; minute.Before(start.Add(row.at)); minute = minute.Add(time.Minute) {
			if minute.After(a.looked) {
				a.Look(minute, last, func(id peer.ID) bool { return silent[id] })
			}
		}
		_, _, changed := a.Now()
		for _, id := range row.heard {
			last[id] = start.Add(row.at)
		}
		silent = row.silent
		a.Look(start.Add(row.at), last, func(id peer.ID) bool { return silent[id] })
		away, long, _ := a.Now()
		if !maps.Equal(away, row.away) || !maps.Equal(long, row.long) {
			t.Errorf("%s: away %v, long %v, want %v and %v", row.name, away, long, row.away, row.long)
		}
		if isClosed(changed) != row.news {
			t.Errorf("%s: said to have changed %v, want %v", row.name, !row.news, row.news)
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// A machine that slept heard nobody, and nobody is away for that reason.
func TestASleepIsNoAbsence(t *testing.T) {
	a := NewAway(10 * time.Minute)
	start := time.Unix(1e9, 0)
	heard := map[peer.ID]time.Time{"b": start}
	no := func(peer.ID) bool { return false }
	a.Look(start, heard, no)
	a.Look(start.Add(8*time.Hour), heard, no)
	if away, _, _ := a.Now(); len(away) > 0 {
		t.Errorf("after the machine slept %v are away", away)
	}
	for m := range 11 {
		a.Look(start.Add(8*time.Hour+time.Duration(m+1)*time.Minute), heard, no)
	}
	if away, _, _ := a.Now(); !away["b"] {
		t.Error("who is silent after that too is not away")
	}
}
