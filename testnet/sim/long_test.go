package sim

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestALongSplitHealsAsFastAsAShortOne: hours of failed dials must not make
// anybody give up.
func TestALongSplitHealsAsFastAsAShortOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := settled(t, 3, 20*time.Millisecond)
		defer p.end(t)
		p.cables.Connect(3, func(a, b int) bool { return a != 2 && b != 2 })
		time.Sleep(4 * time.Hour)
		for i := range p.peers {
			p.write(t.Context(), p.peers[i], i, false)
		}
		if p.differ(3) == nil {
			t.Fatal("they agree although they are cut apart")
		}
		p.cables.Heal()
		p.limit = 4 * time.Minute
		healed := time.Now()
		if err := p.agreed(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		t.Logf("healed after %v", time.Since(healed))
	})
}
