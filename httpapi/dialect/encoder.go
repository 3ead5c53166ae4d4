package dialect

import (
	"encoding/base32"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// Encoder appends JSON objects to a buffer. It remembers how peers' ids are
// spelled, which is what makes a list of statuses cheap; one goroutine at a time
// uses it. The zero Encoder is ready.
type Encoder struct {
	peers map[peer.ID]string
}

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Pin appends a pin. A zero receipt is left out.
func (e *Encoder) Pin(b []byte, p PinReply) []byte {
	b = append(b, `{"replication_factor_min":`...)
	b = strconv.AppendInt(b, int64(p.Replication.Min), 10)
	b = append(b, `,"replication_factor_max":`...)
	b = strconv.AppendInt(b, int64(p.Replication.Max), 10)
	b = append(b, `,"name":`...)
	b = appendText(b, p.Name)
	b = append(b, `,"mode":"`...)
	b = append(b, p.Mode.String()...)
	b = append(b, `","shard_size":0,"user_allocations":`...)
	b = e.appendPeers(b, p.Include)
	b = append(b, `,"expire_at":`...)
	b = appendTime(b, p.ExpireAt)
	b = append(b, `,"metadata":`...)
	b = appendMap(b, p.Metadata)
	b = append(b, `,"pin_update":null,"origins":`...)
	b = appendTexts(b, p.Origins)
	b = append(b, `,"cid":`...)
	b = appendCID(b, p.CID)
	b = append(b, `,"type":"pin","allocations":`...)
	b = e.appendPeers(b, p.Allocations)
	b = append(b, `,"max_depth":`...)
	if p.Mode == pinset.Direct {
		b = append(b, '0')
	} else {
		b = append(b, "-1"...)
	}
	b = append(b, `,"reference":null,"timestamp":`...)
	b = appendTime(b, p.Created)
	b = appendOptionalText(b, `,"owner":`, p.Owner)
	if len(p.Tags) > 0 {
		b = appendTexts(append(b, `,"tags":`...), p.Tags)
	}
	b = appendOptional(b, `,"size":`, p.Size)
	if p.Priority != pinset.PriorityNormal {
		b = appendText(append(b, `,"priority":`...), p.Priority.String())
	}
	if p.Receipt.Head.Defined() || p.Receipt.Seq != 0 {
		b = e.appendReceipt(append(b, `,"receipt":`...), p.Receipt)
	}
	return append(b, '}')
}

func (e *Encoder) appendReceipt(b []byte, r pinset.Receipt) []byte {
	b = e.appendPeer(append(b, `{"author":`...), r.Author)
	b = strconv.AppendUint(append(b, `,"seq":`...), r.Seq, 10)
	b = appendCID(append(b, `,"head":`...), r.Head)
	return append(b, '}')
}

func (e *Encoder) appendPeer(b []byte, id peer.ID) []byte {
	if id == "" {
		return append(b, `""`...)
	}
	s, ok := e.peers[id]
	if !ok {
		s = id.String()
		if e.peers == nil {
			e.peers = make(map[peer.ID]string)
		}
		if len(e.peers) < 65536 {
			e.peers[id] = s
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func (e *Encoder) appendPeers(b []byte, ids []peer.ID) []byte {
	b = append(b, '[')
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = e.appendPeer(b, id)
	}
	return append(b, ']')
}

// appendCID writes version 1 in base32 without the allocations of multibase.
func appendCID(b []byte, c cid.Cid) []byte {
	if !c.Defined() {
		return append(b, `""`...)
	}
	b = append(b, '"')
	if c.Version() == 1 {
		b = append(b, 'b')
		b = base32Lower.AppendEncode(b, c.Bytes())
	} else {
		b = append(b, c.String()...)
	}
	return append(b, '"')
}

// appendText writes s as encoding/json does; the common case by itself, every
// other one through it.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if ch := s[i]; ch < ' ' || ch > '~' || ch == '"' || ch == '\\' || ch == '<' || ch == '>' || ch == '&' {
			q, _ := json.Marshal(s) // a string always encodes
			return append(b, q...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func appendTexts(b []byte, in []string) []byte {
	b = append(b, '[')
	for i, s := range in {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, s)
	}
	return append(b, ']')
}

// appendMap writes the keys sorted, as encoding/json does.
func appendMap(b []byte, m map[string]string) []byte {
	if len(m) == 0 {
		return append(b, "{}"...)
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for i, k := range keys {
		if i == 0 {
			b = append(b, '{')
		} else {
			b = append(b, ',')
		}
		b = append(appendText(b, k), ':')
		b = appendText(b, m[k])
	}
	return append(b, '}')
}

// appendTime writes RFC 3339. Years that it cannot write become its last second.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	if y := t.Year(); y > 9999 || y < 0 {
		t = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	}
	b = append(b, '"')
	b = t.AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

func appendOptional(b []byte, field string, n uint64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendUint(append(b, field...), n, 10)
}

func appendOptionalText(b []byte, field, s string) []byte {
	if s == "" {
		return b
	}
	return appendText(append(b, field...), s)
}

func appendFlag(b []byte, field string, on bool) []byte {
	if !on {
		return b
	}
	return append(append(b, field...), "true"...)
}
