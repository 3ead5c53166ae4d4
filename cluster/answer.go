package cluster

import (
	"context"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/cluster/internal/ask"
	"github.com/pinfold/pinfold/pinset"
)

// Answer serves a question of another member (package ask). It is safe for
// concurrent use; from is trusted to be a member.
func (m *Members) Answer(ctx context.Context, _ peer.ID, question []byte, yield func([]byte) error) error {
	r, err := ask.ParseRequest(question)
	if err != nil {
		return err
	}
	parts := m.parts.Load()
	if parts == nil {
		return pinset.Errorf(pinset.KindUnavailable, "starting; ask again")
	}
	send := func(f ask.Frame) error {
		b, err := f.Encode()
		if err != nil {
			return err
		}
		return yield(b)
	}
	switch r.What {
	case ask.About:
		about := m.about(ctx, parts)
		return send(ask.Frame{Member: &about})
	case ask.All:
		return m.sendAll(ctx, parts.Tracker, send)
	case ask.Recover:
		if !r.CID.Defined() {
			if err := parts.Tracker.RecoverAll(ctx); err != nil {
				return err
			}
			return send(ask.Frame{})
		}
		if err := parts.Tracker.Recover(ctx, r.CID); err != nil {
			return err
		}
	}
	l, err := parts.Tracker.Local(ctx, r.CID)
	if err != nil {
		return err
	}
	return send(ask.Frame{Locals: []pinset.Local{l}})
}

// about is what this peer says of itself.
func (m *Members) about(ctx context.Context, parts *Parts) ask.Member {
	usage := parts.Keeper.Usage()
	out := ask.Member{Version: m.cfg.Version, Used: usage.Used, Queued: usage.Queued, Pins: m.base.State.Summary().Count}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.AskTime*4/5) // so that the answer still arrives in time
	defer cancel()
	var err error
	if out.IPFS, err = m.base.Node.Identity(ctx); err != nil {
		out.IPFSError = err.Error()
	}
	return out
}

func (m *Members) sendAll(ctx context.Context, t Tracker, send func(ask.Frame) error) error {
	batch := make([]pinset.Local, 0, ask.BatchLocals)
	for l, err := range t.All(ctx) {
		if err != nil {
			return err
		}
		if batch = append(batch, l); len(batch) == cap(batch) {
			if err := send(ask.Frame{Locals: batch}); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return send(ask.Frame{Locals: batch})
}
