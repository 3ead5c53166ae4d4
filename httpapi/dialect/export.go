package dialect

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/pinset"
)

// An export is JSON lines: ExportHead, pins as in the rest of the API in the order of
// their keys, ExportEnd.

// ExportHead is an export's first line.
type ExportHead struct {
	Version   int       `json:"pinfold_export"`
	Cluster   string    `json:"cluster"`
	Name      string    `json:"name"`
	By        string    `json:"exported_by"`
	At        time.Time `json:"exported_at"`
	Signature []byte    `json:"signature"`
}

// ExportVersion is the one that is written.
const ExportVersion = 1

// NewExportHead gives an export's beginning its JSON form.
func NewExportHead(e pinset.Export, signature []byte) ExportHead {
	return ExportHead{ExportVersion, e.Cluster, e.Name, encodePeer(e.By), e.At.UTC(), signature}
}

// Value is the inverse of NewExportHead, for an export whose version is known here.
func (o ExportHead) Value() (pinset.Export, error) {
	if o.Version != ExportVersion {
		return pinset.Export{}, pinset.Invalid("export of version %d: this pinfold reads version %d", o.Version, ExportVersion).WithHint("update pinfold")
	}
	id, err := peer.Decode(o.By)
	if err != nil {
		return pinset.Export{}, pinset.Invalid("exported_by %q: %v", o.By, err)
	}
	return pinset.Export{Cluster: o.Cluster, Name: o.Name, By: id, At: stamp(o.At)}, nil
}

// ExportEnd is an export's last line.
type ExportEnd struct {
	Pins      *uint64 `json:"pinfold_export_pins"`
	Digest    string  `json:"digest"` // hex
	Signature []byte  `json:"signature"`
}

// NewExportEnd gives an export's end its JSON form.
func NewExportEnd(e pinset.Export, signature []byte) ExportEnd {
	return ExportEnd{&e.Pins, hex.EncodeToString(e.Digest[:]), signature}
}

// ForeignPin is a pin that comes from outside: of an export of pinfold's, or of
// ipfs-cluster's `state export`.
type ForeignPin struct {
	pinset.Pin
	Named []peer.ID // members that it names: who is none here is left out
}

// DecodeForeignPin reads a pin's line strictly. Errors are of KindInvalid and name the
// field and the value; KindRefused: a pin of a kind that is not kept here.
func DecodeForeignPin(line []byte) (ForeignPin, error) {
	var o pinObject
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return ForeignPin{}, pinset.Invalid("not a pin: %v", err)
	}
	if o.CID == "" {
		return ForeignPin{}, pinset.Invalid("cid: missing")
	}
	if o.Type != "" && o.Type != "pin" {
		return ForeignPin{}, pinset.Errorf(pinset.KindRefused, "type %q: sharded pins are not kept here, only type pin", o.Type)
	}
	if o.Max == 0 && o.Min > 0 {
		o.Max = o.Min
	}
	include := o.Include
	o.Allocations, o.Include, o.Receipt = nil, nil, nil
	r, err := o.reply()
	if err != nil {
		return ForeignPin{}, pinset.Wrap(pinset.KindInvalid, err, "cid %q", o.CID)
	}
	out := ForeignPin{Pin: r.Pin}
	if out.Named, err = decodePeers(include); err != nil {
		return out, pinset.Invalid("user_allocations %q: %v", include, err)
	}
	out.Normalise()
	out.Include = nil
	return out, out.Validate()
}
