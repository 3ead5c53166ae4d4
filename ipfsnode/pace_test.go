package ipfsnode

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pinfold/pinfold/pinset"
)

func TestPace(t *testing.T) {
	for _, tc := range []struct {
		name      string
		perSecond uint64
		size      int
		times     int
		want      time.Duration // after what may go at once
	}{
		{"no limit", 0, 1 << 20, 1000, 0},
		{"small blocks", 1 << 20, 1 << 10, 60 << 10, 56 * time.Second},
		{"large blocks", 1 << 20, 2 << 20, 30, 56 * time.Second},
		{"more than may go at once", 1 << 20, 60 << 20, 1, 56 * time.Second},
		{"fast", 1 << 30, 1 << 20, 10 << 10, 9*time.Second + 750*time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			p, began := newPace(tc.perSecond), time.Now()
			for range tc.times {
				if err := p.take(t.Context(), tc.size); err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(began); took < tc.want-time.Millisecond || took > tc.want+time.Second {
				t.Errorf("%s: %d bytes took %s, want %s", tc.name, tc.size*tc.times, took, tc.want)
			}
			if p.total.Load() != uint64(tc.size*tc.times) {
				t.Errorf("%s: counted %d of %d bytes", tc.name, p.total.Load(), tc.size*tc.times)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newPace(1).take(ctx, 5<<20); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

// What one node sends another, both count, so both could limit it. Own reading is
// no traffic.
func TestTrafficOfBlocksIsCounted(t *testing.T) {
	const size = 3 << 20
	a := testNode(t, func(c *Config) { c.SendRate = 1 << 40 })
	b := testNode(t, func(c *Config) { c.FetchRate = 1 << 40 })
	connect(t, b, a)
	root := add(t, a, file(noise(7, size)), pinset.AddOptions{CIDVersion: 1}, "x")
	if err := b.Pin(t.Context(), root, pinset.PinOptions{Name: "y"}); err != nil {
		t.Fatal(err)
	}
	if n := len(read(t, a, root.String())); n != size {
		t.Fatalf("read %d bytes", n)
	}
	sent, back := a.Traffic()
	none, fetched := b.Traffic()
	if sent < size || sent > 2*size || back != 0 {
		t.Errorf("sent %d and received %d, want %d and nothing", sent, back, size)
	}
	if fetched < size || fetched > 2*size || none != 0 {
		t.Errorf("fetched %d and sent %d, want %d and nothing", fetched, none, size)
	}
}
