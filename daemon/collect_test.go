package daemon

import (
	"testing"

	"github.com/pinfold/pinfold/pinset"
)

func TestGarbageIsCollectedWhenItPays(t *testing.T) {
	const gb = 1 << 30
	for _, tc := range []struct {
		name               string
		blocks, used, give uint64
		want               bool
	}{
		{"nothing there", 0, 0, 100 * gb, false},
		{"all of it is pinned", 99 * gb, 99 * gb, 100 * gb, false},
		{"shared blocks are counted twice", 50 * gb, 60 * gb, 100 * gb, false},
		{"a little garbage, much room", 51 * gb, 50*gb + gb/2, 100 * gb, false},
		{"much garbage", 53 * gb, 50 * gb, 100 * gb, true},
		{"a tenth of a small offer", 12 << 20, 0, 100 << 20, true},
		{"nearly full, some garbage", 95 * gb, 95*gb - 1, 100 * gb, true},
	} {
		if got := collects(pinset.RepoStat{Used: tc.blocks}, tc.used, tc.give); got != tc.want {
			t.Errorf("%s: blocks %d, pinned %d, lent %d: got %v, want %v", tc.name, tc.blocks, tc.used, tc.give, got, tc.want)
		}
	}
}
