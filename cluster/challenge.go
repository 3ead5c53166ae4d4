package cluster

import (
	"context"
	"crypto/rand"
	"fmt"
	"math/big"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"github.com/pinfold/pinfold/cluster/internal/ask"
	"github.com/pinfold/pinfold/cluster/internal/audit"
	"github.com/pinfold/pinfold/pinset"
)

// provenAtOnce is how many blocks of an item one challenge is about.
const provenAtOnce = 4

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

// suspect is a member and what it says it holds.
type suspect struct {
	row int // in the audit
	id  peer.ID
	pin pinset.Pin
}

// lots draws up to most of those that it is shown, each with the same chance.
type lots struct {
	most  int
	seen  int
	drawn []suspect
}

func (l *lots) show(s suspect) {
	if l.seen++; len(l.drawn) < l.most {
		l.drawn = append(l.drawn, s)
	} else if at := below(l.seen); l.most > 0 && at < l.most {
		l.drawn[at] = s
	}
}

// below draws a number that nobody can foretell.
func below(n int) int {
	v, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		return 0 // it never fails; see crypto/rand
	}
	return int(v.Int64())
}

// challenge has the drawn ones prove that they have what they say they hold, and
// counts those that cannot.
func (c *Cluster) challenge(ctx context.Context, a *pinset.Audit, drawn []suspect) {
	tests := make([]pinset.Challenge, len(drawn))
	g := new(errgroup.Group)
	g.SetLimit(provenAtOnce)
	for i, s := range drawn {
		g.Go(func() error { tests[i] = c.examine(ctx, s); return nil })
	}
	_ = g.Wait() // they return none
	for i, t := range tests {
		if row := &a.Members[drawn[i].row]; !t.Met && !t.Away {
			row.Failed++
		}
	}
	a.Tests = append(a.Tests, tests...)
}

// examine challenges one member about blocks of a pin that are here, or, where
// none is, about its root.
func (c *Cluster) examine(ctx context.Context, s suspect) pinset.Challenge {
	ctx, cancel := context.WithTimeout(ctx, 2*c.cfg.NodeTime)
	defer cancel()
	t := pinset.Challenge{CID: s.pin.CID.String(), Peer: s.id, Name: c.nameOf(s.id)}
	load := func(k cid.Cid) ([]byte, error) { return c.base.Node.LocalBlock(ctx, k) }
	blocks, err := audit.Pick(s.pin.CID, provenAtOnce, load, below)
	if s.pin.Mode == pinset.Direct || err != nil && len(blocks) == 0 {
		blocks = nil
	}
	r := ask.Request{What: ask.Prove, CID: s.pin.CID, Nonce: make([]byte, ask.NonceSize)}
	_, _ = rand.Read(r.Nonce) // it never fails; see crypto/rand
	for _, b := range blocks {
		r.Blocks = append(r.Blocks, b.CID)
	}
	t.Blocks = max(1, len(blocks))
	f, err := askOne(ctx, c.parts.Network, s.id, r)
	if err != nil {
		t.Away, t.Error = true, err.Error()
		return t
	}
	if t.Error = c.fault(s, r, blocks, f); t.Error == "" {
		t.Met = true
	} else if !c.Covered(ctx, s.pin, s.id) {
		t.Away, t.Error = true, "it has said meanwhile that it does not hold it"
	}
	return t
}

// fault says what is wrong with an answer, "": nothing.
func (c *Cluster) fault(s suspect, r ask.Request, blocks []audit.Block, f ask.Frame) string {
	if len(blocks) == 0 {
		if !audit.IsBlock(s.pin.CID, f.Block) {
			return "it does not show the root's block"
		}
		return ""
	}
	if len(f.Proofs) != len(blocks) {
		return fmt.Sprintf("%d proofs for %d blocks", len(f.Proofs), len(blocks))
	}
	exam := audit.Exam{Cluster: string(c.cfg.Founding.ID()), Answerer: s.id, Nonce: r.Nonce}
	for i, b := range blocks {
		switch {
		case len(f.Proofs[i]) == 0:
			return fmt.Sprintf("it says that it does not have block %s", b.CID)
		case !exam.Check(b.CID, b.Data, f.Proofs[i]):
			return fmt.Sprintf("its proof for block %s is wrong", b.CID)
		}
	}
	return ""
}
