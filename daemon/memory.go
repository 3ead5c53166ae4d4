package daemon

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	trimEvery = 2 * time.Second
	burst     = 48 << 20 // bytes allocated since the last trim that make another one worth it
	quiet     = 2 << 20  // bytes allocated in trimEvery, or less, while nothing much happens
)

// trim gives memory back to the system after a burst: the start, a synchronisation,
// a long list. The runtime by itself keeps what such a burst needed until the next
// one, and a peer at home shares its machine.
func trim(ctx context.Context) error {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	var last, trimmed uint64
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := allocated()
		if now-trimmed >= burst && now-last <= quiet {
			debug.FreeOSMemory()
			trimmed = now
		}
		last = now
	}
}

// allocated is how many bytes were ever allocated.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
