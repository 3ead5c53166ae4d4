package cluster

import (
	"context"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/cluster/internal/ask"
	"github.com/pinfold/pinfold/cluster/internal/audit"
	"github.com/pinfold/pinfold/pinset"
)

// prove shows that blocks of what is in the pinset are at this peer's IPFS node.
func (m *Members) prove(ctx context.Context, r ask.Request) (ask.Frame, error) {
	if pins, err := m.base.State.PinsOf(ctx, r.CID); err != nil || len(pins) == 0 {
		return ask.Frame{}, pinset.NotFound("%s: not in the pinset", r.CID)
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.NodeTime)
	defer cancel()
	if len(r.Blocks) == 0 {
		b, err := m.base.Node.LocalBlock(ctx, r.CID)
		if err == nil && len(b) > ask.MaxBlock {
			err = pinset.Errorf(pinset.KindRefused, "%s: a block of %d bytes is not sent", r.CID, len(b))
		}
		return ask.Frame{Block: b}, err
	}
	exam := audit.Exam{Cluster: string(m.cfg.Founding.ID()), Answerer: m.self, Nonce: r.Nonce}
	var f ask.Frame
	for _, c := range r.Blocks {
		b, err := m.base.Node.LocalBlock(ctx, c)
		switch {
		case pinset.KindOf(err) == pinset.KindNotFound:
			f.Proofs = append(f.Proofs, []byte{})
		case err != nil:
			return ask.Frame{}, err
		default:
			f.Proofs = append(f.Proofs, exam.Proof(c, b))
		}
	}
	return f, nil
}

// challenge has the drawn ones prove that they have what they say they hold, and
// counts those that cannot.
func (c *Cluster) challenge(ctx context.Context, a *pinset.Audit, drawn []audit.Suspect) {
	e := audit.Examiner{
		Cluster: string(c.cfg.Founding.ID()), Time: 2 * c.cfg.NodeTime,
		Load:   func(ctx context.Context, k cid.Cid) ([]byte, error) { return c.base.Node.LocalBlock(ctx, k) },
		Stands: func(ctx context.Context, s audit.Suspect) bool { return c.Covered(ctx, s.Pin, s.Peer) },
		Ask: func(ctx context.Context, s audit.Suspect, r ask.Request) (ask.Frame, error) {
			return askOne(ctx, c.parts.Network, s.Peer, r)
		},
	}
	e.All(ctx, a, drawn)
}
