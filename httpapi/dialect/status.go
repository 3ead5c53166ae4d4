package dialect

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// statusObject is what is known of one CID: ipfs-cluster's GlobalPinInfo, and
// below peer_map ours. Name, origins, created and metadata are the first pin's.
type statusObject struct {
	CID         string                   `json:"cid"`
	Name        string                   `json:"name"`
	Allocations []string                 `json:"allocations"`
	Origins     []string                 `json:"origins"`
	Created     time.Time                `json:"created"`
	Metadata    map[string]string        `json:"metadata"`
	PeerMap     map[string]holdingObject `json:"peer_map"`
	Min         int                      `json:"replication_factor_min"`
	Max         int                      `json:"replication_factor_max"`
	Copies      int                      `json:"copies"`
	Short       int                      `json:"short"`
	Reason      string                   `json:"short_reason,omitempty"`
	Since       time.Time                `json:"short_since,omitzero"`
	Pins        []pinObject              `json:"pins"`
}

// holdingObject is one CID at one member. Times that are not known are year 1.
type holdingObject struct {
	PeerName string    `json:"peername"`
	IPFS     string    `json:"ipfs_peer_id,omitempty"`
	Status   string    `json:"status"`
	Since    time.Time `json:"timestamp"`
	Error    string    `json:"error"`
	Attempts int       `json:"attempt_count"`
	Priority bool      `json:"priority_pin"` // always false
	Mode     string    `json:"mode"`
	Blocks   uint64    `json:"blocks,omitempty"` // fetched so far
	Bytes    uint64    `json:"bytes,omitempty"`
	Size     uint64    `json:"size,omitempty"` // bytes of the whole
	RetryAt  time.Time `json:"retry_at,omitzero"`
	AgeMS    int64     `json:"age_ms,omitempty"`
	Assigned bool      `json:"assigned,omitempty"`
	Binding  bool      `json:"binding,omitempty"`
	Interim  bool      `json:"interim,omitempty"`
	Borrowed bool      `json:"borrowed,omitempty"`
}

// Status appends the status of one CID.
func (e *Encoder) Status(b []byte, s pinset.Summary) []byte {
	var first pinset.Pin
	if len(s.Pins) > 0 {
		first = s.Pins[0]
	}
	b = appendCID(append(b, `{"cid":`...), s.CID)
	b = appendText(append(b, `,"name":`...), first.Name)
	b = e.appendPeers(append(b, `,"allocations":`...), s.Allocation)
	b = appendTexts(append(b, `,"origins":`...), first.Origins)
	b = appendTime(append(b, `,"created":`...), first.Created)
	b = appendMap(append(b, `,"metadata":`...), first.Metadata)
	b = append(b, `,"peer_map":{`...)
	for i, h := range s.Holdings {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(e.appendPeer(b, h.Peer), ':')
		b = e.appendHolding(b, h)
	}
	b = append(b, `},"replication_factor_min":`...)
	b = strconv.AppendInt(b, int64(s.Want.Min), 10)
	b = strconv.AppendInt(append(b, `,"replication_factor_max":`...), int64(s.Want.Max), 10)
	b = strconv.AppendInt(append(b, `,"copies":`...), int64(s.Copies), 10)
	b = strconv.AppendInt(append(b, `,"short":`...), int64(s.Short), 10)
	if s.Reason != "" {
		b = appendText(append(b, `,"short_reason":`...), s.Reason)
	}
	if !s.Since.IsZero() {
		b = appendTime(append(b, `,"short_since":`...), s.Since)
	}
	b = append(b, `,"pins":[`...)
	for i, p := range s.Pins {
		if i > 0 {
			b = append(b, ',')
		}
		b = e.Pin(b, PinReply{Pin: p})
	}
	return append(b, "]}"...)
}

func (e *Encoder) appendHolding(b []byte, h pinset.Holding) []byte {
	b = appendText(append(b, `{"peername":`...), h.Name)
	if h.IPFS != "" {
		b = e.appendPeer(append(b, `,"ipfs_peer_id":`...), h.IPFS)
	}
	b = append(b, `,"status":"`...)
	b = append(b, h.Status.String()...)
	b = appendTime(append(b, `","timestamp":`...), h.Since)
	b = appendText(append(b, `,"error":`...), h.Error)
	b = strconv.AppendInt(append(b, `,"attempt_count":`...), int64(h.Attempts), 10)
	b = append(b, `,"priority_pin":false,"mode":"`...)
	b = append(b, h.Mode.String()...)
	b = append(b, '"')
	b = appendOptional(b, `,"blocks":`, h.Progress.Blocks)
	b = appendOptional(b, `,"bytes":`, h.Progress.Bytes)
	b = appendOptional(b, `,"size":`, h.Size)
	if !h.Retry.IsZero() {
		b = appendTime(append(b, `,"retry_at":`...), h.Retry)
	}
	b = appendOptional(b, `,"age_ms":`, uint64(max(h.Age, 0)/time.Millisecond))
	b = appendFlag(b, `,"assigned":`, h.Assigned)
	b = appendFlag(b, `,"binding":`, h.Binding)
	b = appendFlag(b, `,"interim":`, h.Interim)
	b = appendFlag(b, `,"borrowed":`, h.Borrowed)
	return append(b, '}')
}

// DecodeStatus reads what Encoder.Status wrote. The holdings come in the order of
// the allocation, those of other members after them by id.
func DecodeStatus(line []byte) (pinset.Summary, error) {
	var o statusObject
	if err := json.Unmarshal(line, &o); err != nil {
		return pinset.Summary{}, pinset.Wrap(pinset.KindInternal, err, "read a status")
	}
	s, err := o.summary()
	return s, pinset.Wrap(pinset.KindInternal, err, "read a status")
}

func (o *statusObject) summary() (s pinset.Summary, err error) {
	if s.CID, err = decodeCID(o.CID); err != nil {
		return s, err
	}
	if s.Allocation, err = decodePeers(o.Allocations); err != nil {
		return s, err
	}
	for i := range o.Pins {
		p, err := o.Pins[i].reply()
		if err != nil {
			return s, err
		}
		s.Pins = append(s.Pins, p.Pin)
	}
	for id, h := range o.PeerMap {
		held, err := h.holding(id)
		if err != nil {
			return s, err
		}
		held.CID = s.CID
		s.Holdings = append(s.Holdings, held)
	}
	SortHoldings(s.Holdings, s.Allocation)
	s.Want = pinset.Replication{Min: o.Min, Max: o.Max}
	s.Copies, s.Short, s.Reason, s.Since = o.Copies, o.Short, o.Reason, stamp(o.Since)
	return s, nil
}

// SortHoldings orders holdings by the allocation's rank, the rest by peer id.
func SortHoldings(h []pinset.Holding, allocation []peer.ID) {
	rank := func(id peer.ID) int {
		if i := slices.Index(allocation, id); i >= 0 {
			return i
		}
		return len(allocation)
	}
	slices.SortFunc(h, func(a, b pinset.Holding) int {
		return cmp.Or(cmp.Compare(rank(a.Peer), rank(b.Peer)), cmp.Compare(a.Peer, b.Peer))
	})
}

func (o *holdingObject) holding(id string) (h pinset.Holding, err error) {
	if h.Peer, err = decodePeer(id); err != nil {
		return h, err
	}
	if h.IPFS, err = decodePeer(o.IPFS); err != nil {
		return h, err
	}
	if h.Status, err = pinset.ParseStatus(o.Status); err != nil {
		return h, err
	}
	if h.Mode, err = pinset.ParseMode(o.Mode); err != nil {
		return h, err
	}
	h.Name, h.Error, h.Attempts = o.PeerName, o.Error, o.Attempts
	h.Since, h.Retry = stamp(o.Since), stamp(o.RetryAt)
	h.Progress = pinset.Progress{Blocks: o.Blocks, Bytes: o.Bytes}
	h.Size, h.Age = o.Size, time.Duration(o.AgeMS)*time.Millisecond
	h.Assigned, h.Binding, h.Interim, h.Borrowed = o.Assigned, o.Binding, o.Interim, o.Borrowed
	return h, nil
}
