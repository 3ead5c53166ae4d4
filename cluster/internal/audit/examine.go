package audit

import (
	"context"
	"crypto/rand"
	"fmt"
	"math/big"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"github.com/pinfold/pinfold/cluster/internal/ask"
	"github.com/pinfold/pinfold/pinset"
)

// provenAtOnce is how many blocks of an item one challenge is about, and how many
// challenges are under way.
const provenAtOnce = 4

// Suspect is a member and what it says it holds.
type Suspect struct {
	Row  int // in the audit
	Peer peer.ID
	Pin  pinset.Pin
}

// Lots draws up to most of those that it is shown, each with the same chance.
type Lots struct {
	Most  int
	Drawn []Suspect
	seen  int
}

// Show puts one in.
func (l *Lots) Show(s Suspect) {
	if l.seen++; len(l.Drawn) < l.Most {
		l.Drawn = append(l.Drawn, s)
	} else if at := draw(l.seen); l.Most > 0 && at < l.Most {
		l.Drawn[at] = s
	}
}

// draw draws a number that nobody can foretell.
func draw(n int) int {
	v, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		return 0 // it never fails; see crypto/rand
	}
	return int(v.Int64())
}

// Examiner challenges members. Its functions are called from several goroutines.
type Examiner struct {
	Cluster string
	Time    time.Duration                                                  // for one challenge
	Load    func(context.Context, cid.Cid) ([]byte, error)                 // a block that is here
	Ask     func(context.Context, Suspect, ask.Request) (ask.Frame, error) // an error: no answer
	Stands  func(context.Context, Suspect) bool                            // whether its word still is that it holds it
}

// All challenges the drawn ones and counts in the audit those that fail.
func (e Examiner) All(ctx context.Context, a *pinset.Audit, drawn []Suspect) {
	tests := make([]pinset.Challenge, len(drawn))
	g := new(errgroup.Group)
	g.SetLimit(provenAtOnce)
	for i, s := range drawn {
		g.Go(func() error { tests[i] = e.examine(ctx, s, a.Members[s.Row].Name); return nil })
	}
	_ = g.Wait() // they return none
	for i, t := range tests {
		if row := &a.Members[drawn[i].Row]; !t.Met && !t.Away {
			row.Failed++
		}
	}
	a.Tests = append(a.Tests, tests...)
}

// examine challenges one member about blocks of a pin that are here, or, where
// none is, about its root.
func (e Examiner) examine(ctx context.Context, s Suspect, name string) pinset.Challenge {
	ctx, cancel := context.WithTimeout(ctx, e.Time)
	defer cancel()
	t := pinset.Challenge{CID: s.Pin.CID.String(), Peer: s.Peer, Name: name}
	load := func(k cid.Cid) ([]byte, error) { return e.Load(ctx, k) }
	n := provenAtOnce
	if s.Pin.Mode == pinset.Direct {
		n = 1
	}
	blocks, _ := Pick(s.Pin.CID, n, load, draw) // what is not here cannot be asked about
	r := ask.Request{What: ask.Prove, CID: s.Pin.CID, Nonce: make([]byte, ask.NonceSize)}
	_, _ = rand.Read(r.Nonce) // it never fails; see crypto/rand
	for _, b := range blocks {
		r.Blocks = append(r.Blocks, b.CID)
	}
	t.Blocks = max(1, len(blocks))
	f, err := e.Ask(ctx, s, r)
	if err != nil {
		t.Away, t.Error = true, err.Error()
		return t
	}
	if t.Error = e.fault(s, r, blocks, f); t.Error == "" {
		t.Met = true
	} else if !e.Stands(ctx, s) {
		t.Away, t.Error = true, "it has said meanwhile that it does not hold it"
	}
	return t
}

// fault says what is wrong with an answer, "": nothing.
func (e Examiner) fault(s Suspect, r ask.Request, blocks []Block, f ask.Frame) string {
	if len(blocks) == 0 {
		if !IsBlock(s.Pin.CID, f.Block) {
			return "it does not show the root's block"
		}
		return ""
	}
	if len(f.Proofs) != len(blocks) {
		return fmt.Sprintf("%d proofs for %d blocks", len(f.Proofs), len(blocks))
	}
	exam := Exam{Cluster: e.Cluster, Answerer: s.Peer, Nonce: r.Nonce}
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
