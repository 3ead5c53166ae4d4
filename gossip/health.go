package gossip

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// HealthEntry is a fault of the network that is present now, or was within the
// last ten minutes.
type HealthEntry struct {
	Code     string // stable
	Severity string // info, warning, error
	Title    string
	Detail   string
	Do       string
	Since    time.Time
	Count    uint64 // since the process began
}

// faultKind is a way in which the outside misbehaves.
type faultKind uint8

const (
	faultHandshake faultKind = iota
	faultCrowd
	faultStranger
	faultForm
	faultRate
	faultSync
	faultKnock
	faultSlow
	faultKinds
)

// faultText is what a kind of fault tells a person.
type faultText struct{ code, severity, title, do string }

func (k faultKind) text() faultText {
	switch k {
	case faultHandshake:
		return faultText{"handshake-failed", "warning", "connections arrive that do not know the cluster's secret",
			"if a friend is trying to join: give out a new invite, the secret in the old one does not fit; else nothing"}
	case faultCrowd:
		return faultText{"connections-idle", "info", "an address opens connections and says nothing on them", "nothing: it gets only a few at a time"}
	case faultStranger:
		return faultText{"strangers-refused", "info", "peers that are no members were refused", "nothing, unless a member is missing: see `pinfold peers`"}
	case faultForm:
		return faultText{"bad-message", "warning", "messages arrive that are not of the protocol's form", "see which peer sends them and which version it runs"}
	case faultRate:
		return faultText{"flood", "warning", "a peer sends more than is taken", "see which peer it is; an admin can remove it"}
	case faultSync:
		return faultText{"bad-deltas", "warning", "a peer serves deltas that are not valid", "see which peer it is; an admin can remove it"}
	case faultKnock:
		return faultText{"join-refused", "info", "somebody asked to join and was refused", "if it is a friend: give out a new invite"}
	default:
		return faultText{"slow-reader", "info", "a peer asked for data and did not take it", "nothing"}
	}
}

// fault counts one kind by who caused it.
type fault struct {
	since, last time.Time
	count       uint64
	by          map[string]uint64
}

// faults counts what was refused. It is safe for concurrent use and bounded,
// however many the offenders are.
type faults struct {
	mu    sync.Mutex
	kinds [faultKinds]fault
}

const (
	maxOffenders = 64
	faultMemory  = 10 * time.Minute
)

func (f *faults) count(k faultKind, by string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := &f.kinds[k]
	now := time.Now()
	if now.Sub(e.last) > faultMemory {
		e.since, e.by = now, make(map[string]uint64)
	}
	e.last = now
	e.count++
	if _, ok := e.by[by]; !ok && len(e.by) >= maxOffenders {
		by = "others"
	}
	e.by[by]++
}

func (f *faults) entries(now time.Time) []HealthEntry {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []HealthEntry
	for k := range faultKinds {
		e := f.kinds[k]
		if e.count == 0 || now.Sub(e.last) > faultMemory {
			continue
		}
		t := k.text()
		out = append(out, HealthEntry{Code: t.code, Severity: t.severity, Title: t.title, Do: t.do,
			Detail: byWhom(e.by), Since: e.since, Count: e.count})
	}
	return out
}

func byWhom(by map[string]uint64) string {
	names := make([]string, 0, len(by))
	for n := range by {
		names = append(names, n)
	}
	sort.Strings(names)
	slices.SortStableFunc(names, func(a, b string) int { return int(min(by[b], 1<<30)) - int(min(by[a], 1<<30)) })
	more := ""
	if len(names) > 5 {
		more = fmt.Sprintf(" and %d more", len(names)-5)
		names = names[:5]
	}
	for i, n := range names {
		names[i] = fmt.Sprintf("%s (%d)", n, by[n])
	}
	return strings.Join(names, ", ") + more
}

// Health returns the faults of the network that are present now.
func (n *Network) Health() []HealthEntry {
	out := n.faults.entries(time.Now())
	if e, lonely := n.alone(); lonely {
		out = append(out, e)
	}
	return out
}

// traffic counts the bytes of all streams. It is a metrics.Reporter, of which the
// host calls only the first two; libp2p's own keeps a goroutine for the whole
// process, and we ask for no rates.
type traffic struct{ in, out atomic.Int64 }

func (t *traffic) LogSentMessage(n int64)                                { t.out.Add(n) }
func (t *traffic) LogRecvMessage(n int64)                                { t.in.Add(n) }
func (t *traffic) LogSentMessageStream(int64, protocol.ID, peer.ID)      {}
func (t *traffic) LogRecvMessageStream(int64, protocol.ID, peer.ID)      {}
func (t *traffic) GetBandwidthForPeer(peer.ID) metrics.Stats             { return metrics.Stats{} }
func (t *traffic) GetBandwidthForProtocol(protocol.ID) metrics.Stats     { return metrics.Stats{} }
func (t *traffic) GetBandwidthByPeer() map[peer.ID]metrics.Stats         { return nil }
func (t *traffic) GetBandwidthByProtocol() map[protocol.ID]metrics.Stats { return nil }

func (t *traffic) GetBandwidthTotals() metrics.Stats {
	return metrics.Stats{TotalIn: t.in.Load(), TotalOut: t.out.Load()}
}
func (t *traffic) Reset()             {}
func (t *traffic) TrimIdle(time.Time) {}
