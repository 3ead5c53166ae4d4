package ipfsclient

import (
	"context"
	"fmt"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// tally adds up counters that begin at nothing again when Kubo restarts, or when a
// partner went and came back. It is of what came since the first look.
type tally struct {
	mu      sync.Mutex
	began   bool
	all     meter
	friends map[peer.ID]*meter
}

// meter is a pair of counters, in and out.
type meter struct{ last, sum [2]uint64 }

// read takes the counters as they stand.
func (m *meter) read(now [2]uint64) {
	for i := range now {
		if now[i] >= m.last[i] {
			m.sum[i] += now[i] - m.last[i]
		} else {
			m.sum[i] += now[i]
		}
	}
	m.last = now
}

// ledgerMessage is the answer of bitswap/ledger.
type ledgerMessage struct{ Sent, Recv uint64 }

// mostLedgers bounds how many friends are asked about; others count as others.
const mostLedgers = 256

// Exchanged implements Exchanger, by bitswap/stat and the ledgers that Kubo keeps of
// those it is connected to; of others it says 0. What was exchanged between the last call and the end of
// a connection counts as exchanged with others: it is called now and then.
func (c *Client) Exchanged(ctx context.Context, friends []peer.ID) (pinset.Exchange, error) {
	c.tally.mu.Lock()
	defer c.tally.mu.Unlock()
	var stat struct{ DataReceived, DataSent uint64 }
	if err := c.one(ctx, call{name: "bitswap/stat", wait: c.cfg.Silence}, &stat); err != nil {
		return pinset.Exchange{}, fmt.Errorf("ask what was exchanged: %w", err)
	}
	ledgers := map[peer.ID][2]uint64{}
	for _, id := range friends {
		if _, asked := ledgers[id]; asked || len(ledgers) == mostLedgers {
			continue
		}
		var m ledgerMessage
		if err := c.one(ctx, call{name: "bitswap/ledger", args: args("arg", id.String()), wait: c.cfg.Silence}, &m); err != nil {
			return pinset.Exchange{}, fmt.Errorf("ask what was exchanged with %s: %w", id, err)
		}
		ledgers[id] = [2]uint64{m.Recv, m.Sent}
	}
	return c.tally.take([2]uint64{stat.DataReceived, stat.DataSent}, ledgers), nil
}

// take adds what the counters say now.
func (t *tally) take(all [2]uint64, ledgers map[peer.ID][2]uint64) pinset.Exchange {
	if !t.began {
		t.began, t.all.last, t.friends = true, all, map[peer.ID]*meter{}
		for id, now := range ledgers {
			t.friends[id] = &meter{last: now}
		}
	}
	t.all.read(all)
	var members [2]uint64
	for id, now := range ledgers {
		if t.friends[id] == nil {
			t.friends[id] = &meter{}
		}
		t.friends[id].read(now)
	}
	for _, m := range t.friends {
		members[0], members[1] = members[0]+m.sum[0], members[1]+m.sum[1]
	}
	less := func(i int) uint64 { return t.all.sum[i] - min(t.all.sum[i], members[i]) }
	return pinset.Exchange{FromMembers: members[0], ToMembers: members[1], FromOthers: less(0), ToOthers: less(1)}
}
