package dialect

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// pinObject is a pin as it stands in the API: ipfs-cluster's fields in its order,
// then ours. It is what Encoder.Pin writes.
type pinObject struct {
	Min         int               `json:"replication_factor_min"` // 0: the cluster's default
	Max         int               `json:"replication_factor_max"`
	Name        string            `json:"name"`
	Mode        string            `json:"mode"`
	ShardSize   uint64            `json:"shard_size"` // always 0: nothing is sharded
	Include     []string          `json:"user_allocations"`
	ExpireAt    time.Time         `json:"expire_at"` // year 1: never
	Metadata    map[string]string `json:"metadata"`
	Update      *string           `json:"pin_update"` // always null
	Origins     []string          `json:"origins"`
	CID         string            `json:"cid"`
	Type        string            `json:"type"` // always "pin"
	Allocations []string          `json:"allocations"`
	MaxDepth    int               `json:"max_depth"` // -1 recursive, 0 direct
	Reference   *string           `json:"reference"` // always null
	Timestamp   time.Time         `json:"timestamp"`
	Owner       string            `json:"owner,omitempty"`
	Tags        []string          `json:"tags,omitempty"`
	Size        uint64            `json:"size,omitempty"`
	Priority    string            `json:"priority,omitempty"` // high or bulk; left out: normal
	Receipt     *receiptObject    `json:"receipt,omitempty"`
}

type receiptObject struct {
	Author string `json:"author"`
	Seq    uint64 `json:"seq"`
	Head   string `json:"head"`
}

// PinReply is a pin as the server answers it: with the members that shall hold it,
// where that was asked for, and the receipt of the change, where there was one.
type PinReply struct {
	pinset.Pin
	Allocations []peer.ID
	Receipt     pinset.Receipt // zero: nothing was changed
}

// DecodePin reads what Encoder.Pin wrote. Errors are of KindInternal: the other
// side does not speak our dialect.
func DecodePin(line []byte) (PinReply, error) {
	if p, ok := scanPin(line); ok {
		return p, nil
	}
	return decodePin(line)
}

func decodePin(line []byte) (PinReply, error) {
	var o pinObject
	if err := json.Unmarshal(line, &o); err != nil {
		return PinReply{}, pinset.Wrap(pinset.KindInternal, err, "read a pin")
	}
	p, err := o.reply()
	return p, pinset.Wrap(pinset.KindInternal, err, "read a pin")
}

func (o *pinObject) reply() (p PinReply, err error) {
	if p.CID, err = cid.Decode(o.CID); err != nil {
		return p, err
	}
	if p.Mode, err = pinset.ParseMode(o.Mode); err != nil {
		return p, err
	}
	if p.Priority, err = pinset.ParsePriority(o.Priority); err != nil {
		return p, err
	}
	if p.Include, err = decodePeers(o.Include); err != nil {
		return p, err
	}
	if p.Allocations, err = decodePeers(o.Allocations); err != nil {
		return p, err
	}
	p.Replication = pinset.Replication{Min: o.Min, Max: o.Max}
	p.Name, p.Owner, p.Tags, p.Size = o.Name, o.Owner, o.Tags, o.Size
	p.Origins, p.Metadata = orNil(o.Origins), o.Metadata
	if len(p.Metadata) == 0 {
		p.Metadata = nil
	}
	p.Created, p.ExpireAt = stamp(o.Timestamp), stamp(o.ExpireAt)
	if o.Receipt != nil {
		if p.Receipt, err = o.Receipt.receipt(); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (o *receiptObject) receipt() (r pinset.Receipt, err error) {
	r.Seq = o.Seq
	if r.Author, err = decodePeer(o.Author); err != nil {
		return r, err
	}
	r.Head, err = decodeCID(o.Head)
	return r, err
}

// stamp keeps the zero time zero, whatever zone it came in.
func stamp(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

func orNil[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return slices.Clip(s)
}

// decodePeer reads a peer's id; "" is none.
func decodePeer(s string) (peer.ID, error) {
	if s == "" {
		return "", nil
	}
	return peer.Decode(s)
}

func decodePeers(in []string) ([]peer.ID, error) {
	var out []peer.ID
	for _, s := range in {
		id, err := peer.Decode(s)
		if err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	return out, nil
}

// decodeCID reads a CID; "" is none.
func decodeCID(s string) (cid.Cid, error) {
	if s == "" {
		return cid.Undef, nil
	}
	return cid.Decode(s)
}
