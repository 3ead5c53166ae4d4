package daemon

import (
	"context"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/pinset"
)

// stateDoor is the replicated state as the API shows it.
type stateDoor struct{ *crdtstate.State }

func (d stateDoor) StateInfo(context.Context) (pinset.StateInfo, error) {
	i, err := d.Info()
	if err != nil {
		return pinset.StateInfo{}, err
	}
	out := pinset.StateInfo{Epoch: i.Epoch, Blocks: i.Blocks, Folded: i.Folded, Pins: i.Pins, Bytes: i.Bytes}
	if i.Genesis.Defined() {
		out.Genesis = i.Genesis.String()
	}
	if len(i.Sealed) > 0 {
		out.Closing = &pinset.Closing{Sealed: d.named(i.Sealed), Acked: d.named(i.Acked), Waiting: d.named(i.Waiting), Trouble: i.Trouble}
	}
	return out, nil
}

func (d stateDoor) named(ids []peer.ID) []pinset.NamedPeer {
	out := []pinset.NamedPeer{}
	auth := d.Authority()
	for _, id := range ids {
		m, _ := auth.Member(id)
		out = append(out, pinset.NamedPeer{ID: id.String(), Name: m.Name})
	}
	return out
}

func (d stateDoor) Compact(context.Context) error {
	d.State.Compact()
	return nil
}
