package dialect

import (
	"encoding/json"
	"time"

	"github.com/pinfold/pinfold/pinset"
)

// Side is pinset.Side in JSON.
type Side struct {
	Members []string  `json:"members"`
	Heard   bool      `json:"heard"`
	Since   time.Time `json:"since,omitzero"`
	Count   uint64    `json:"count"`
	Digest  string    `json:"digest,omitempty"`
	Lacks   uint64    `json:"lacks"`
	Unknown uint64    `json:"unknown"`
}

func newSides(in []pinset.Side) []Side {
	out := make([]Side, len(in))
	for i, s := range in {
		out[i] = Side{encodePeers(s.Members), s.Heard, s.Since, s.Count, s.Digest, s.Lacks, s.Unknown}
	}
	return out
}

func sidesOf(in []Side) ([]pinset.Side, error) {
	var out []pinset.Side
	for _, s := range in {
		ids, err := decodePeers(s.Members)
		if err != nil {
			return nil, err
		}
		out = append(out, pinset.Side{Members: ids, Heard: s.Heard, Since: stamp(s.Since), Count: s.Count, Digest: s.Digest, Lacks: s.Lacks, Unknown: s.Unknown})
	}
	return out, nil
}

// removedObject is a removed pin: what Encoder.Removed writes.
type removedObject struct {
	Pin   json.RawMessage `json:"pin"`
	By    string          `json:"removed_by"`
	At    time.Time       `json:"removed_at"` // when the peer that answers learnt of it
	Until time.Time       `json:"until"`      // it can be restored
}

// Removed appends a removed pin.
func (e *Encoder) Removed(b []byte, r pinset.Removed) []byte {
	b = e.Pin(append(b, `{"pin":`...), PinReply{Pin: r.Pin})
	b = e.appendPeer(append(b, `,"removed_by":`...), r.By)
	b = appendTime(append(b, `,"removed_at":`...), r.At)
	b = appendTime(append(b, `,"until":`...), r.Until)
	return append(b, '}')
}

// DecodeRemoved reads what Encoder.Removed wrote.
func DecodeRemoved(line []byte) (pinset.Removed, error) {
	var o removedObject
	if err := json.Unmarshal(line, &o); err != nil {
		return pinset.Removed{}, pinset.Wrap(pinset.KindInternal, err, "read a removed pin")
	}
	p, err := DecodePin(o.Pin)
	if err != nil {
		return pinset.Removed{}, err
	}
	out := pinset.Removed{Pin: p.Pin, At: stamp(o.At), Until: stamp(o.Until)}
	out.By, err = decodePeer(o.By)
	return out, pinset.Wrap(pinset.KindInternal, err, "read a removed pin")
}

// Merge is pinset.Merge in JSON.
type Merge struct {
	Began     time.Time     `json:"began"`
	Ended     time.Time     `json:"ended"`
	From      []MergeSource `json:"from"`
	Contested []Contest     `json:"contested"`
	More      uint64        `json:"contested_more,omitempty"`
}

// MergeSource is what came from one member.
type MergeSource struct {
	Author  string `json:"author"`
	Deltas  uint64 `json:"deltas"`
	Pinned  uint64 `json:"pinned"`
	Removed uint64 `json:"removed"`
}

// Contest is a pin that was changed on two sides at the same time.
type Contest struct {
	CID     string   `json:"cid"`
	Owner   string   `json:"owner,omitempty"`
	Outcome string   `json:"outcome"` // changed: winner's change counts; kept: others removed it and it stays
	Winner  string   `json:"winner"`
	Others  []string `json:"others"`
}

const (
	outcomeChanged = "changed"
	outcomeKept    = "kept"
)

// NewMerge gives a merge its JSON form.
func NewMerge(m pinset.Merge) Merge {
	out := Merge{Began: m.Began.UTC(), Ended: m.Ended.UTC(), From: []MergeSource{}, Contested: []Contest{}, More: m.More}
	for _, f := range m.From {
		out.From = append(out.From, MergeSource{encodePeer(f.Author), f.Deltas, f.Pinned, f.Removed})
	}
	for _, c := range m.Contested {
		o := Contest{CID: c.CID.String(), Owner: c.Owner, Outcome: outcomeChanged, Winner: encodePeer(c.Winner), Others: encodePeers(c.Others)}
		if c.Kept {
			o.Outcome = outcomeKept
		}
		out.Contested = append(out.Contested, o)
	}
	return out
}

// Value is the inverse of NewMerge.
func (o Merge) Value() (m pinset.Merge, err error) {
	m = pinset.Merge{Began: stamp(o.Began), Ended: stamp(o.Ended), More: o.More}
	defer func() { err = pinset.Wrap(pinset.KindInternal, err, "read a merge") }()
	for _, f := range o.From {
		id, err := decodePeer(f.Author)
		if err != nil {
			return m, err
		}
		m.From = append(m.From, pinset.MergeSource{Author: id, Deltas: f.Deltas, Pinned: f.Pinned, Removed: f.Removed})
	}
	for _, c := range o.Contested {
		out := pinset.Contest{Owner: c.Owner, Kept: c.Outcome == outcomeKept}
		if out.CID, err = decodeCID(c.CID); err != nil {
			return m, err
		}
		if out.Winner, err = decodePeer(c.Winner); err != nil {
			return m, err
		}
		if out.Others, err = decodePeers(c.Others); err != nil {
			return m, err
		}
		m.Contested = append(m.Contested, out)
	}
	return m, nil
}
