package brake

import (
	"testing"
	"time"
)

func TestTooMuchAtOnceIsRefused(t *testing.T) {
	start := time.Unix(1e9, 0)
	type take struct {
		at           time.Duration
		live         uint64
		percent      uint64
		wanted, made uint64
		refused      bool
	}
	for _, tc := range []struct {
		name  string
		takes []take
	}{
		{"one of many", []take{{0, 1000, 20, 0, 1, false}}},
		{"a fifth, together", []take{{0, 1000, 20, 200, 1, false}}},
		{"more than a fifth, together", []take{{0, 1000, 20, 201, 1, true}}},
		{"all of a small pinset", []take{{0, 20, 20, 20, 1, false}}},
		{"all of one a little larger", []take{{0, 21, 20, 21, 1, true}}},
		{"one after the other", []take{{0, 1000, 20, 0, 199, false}, {time.Minute, 801, 20, 0, 1, false}, {time.Minute, 800, 20, 0, 1, true}}},
		{"what is refused does not count", []take{{0, 1000, 20, 500, 1, true}, {0, 1000, 20, 200, 1, false}}},
		{"the window passes", []take{{0, 1000, 20, 0, 200, false}, {Window - time.Second, 800, 20, 0, 1, true}, {Window, 800, 20, 0, 160, false}}},
		{"never", []take{{0, 1000, 0, 0, 20, false}, {0, 980, 0, 0, 1, true}}},
		{"always", []take{{0, 1000, 100, 1000, 1, false}, {0, 999, 100, 0, 999, false}}},
		{"the clock is set back", []take{{time.Hour, 1000, 20, 0, 200, false}, {0, 800, 20, 0, 1, true}}},
	} {
		var b Brake
		for i, x := range tc.takes {
			err := b.Take(Load{Now: start.Add(x.at), Live: x.live, Percent: x.percent, Wanted: x.wanted, Made: x.made})
			if (err != nil) != x.refused {
				t.Errorf("%s, step %d: %v, want refused %v", tc.name, i+1, err, x.refused)
			}
		}
	}
}

func TestWhatIsCountedIsBounded(t *testing.T) {
	var b Brake
	for i := range 100_000 {
		b.Take(Load{Now: time.Unix(1e9+int64(i), 0), Live: 1 << 40, Percent: 20, Made: 1})
	}
	if n := len(b.steps); n > int(Window/step)+1 {
		t.Errorf("%d steps are kept", n)
	}
}
