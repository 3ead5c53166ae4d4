package crdtstate_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/crdtstate/crdtstatetest"
	"github.com/pinfold/pinfold/crdtstate/internal/block"
)

var errCut = errors.New("connection cut")

// TestCutDeliveriesGoOn (I9): every prefix that arrived is kept, and another
// member completes it.
func TestCutDeliveriesGoOn(t *testing.T) {
	c := crdtstatetest.New(t, 3)
	s := c.All()
	split(t, c, s, rand.New(rand.NewSource(3)), 60)
	log := logOf(t, s[0])
	heads := s[0].Summary().Heads
	for cut := range log {
		x := c.Open(1)
		i := 0
		n, err := x.Receive(context.Background(), heads, func() ([]byte, error) {
			if i == cut {
				return nil, errCut
			}
			i++
			return log[i-1].Raw, nil
		})
		if n != cut || !errors.Is(err, errCut) {
			t.Fatalf("cut after %d: admitted %d, %v", cut, n, err)
		}
		check(t, x)
		c.Pull(x, s[2])
		check(t, x)
		agree(t, s[2], x)
	}
}

// TestLyingSenders (I9): garbage, gaps and strangers' blocks bring nothing in.
func TestLyingSenders(t *testing.T) {
	c := crdtstatetest.New(t, 2)
	s := c.All()
	for i := range 5 {
		c.Commit(s[0], crdtstatetest.PinOp(crdtstatetest.Pin(i)))
	}
	log := logOf(t, s[0])
	other := crdtstatetest.New(t, 1)
	foreign := logOf(t, other.Founded())
	for _, tc := range []struct {
		name  string
		raws  [][]byte
		admit int
		want  error
	}{
		{"garbage", [][]byte{[]byte("garbage")}, 0, crdtstate.ErrRefused},
		{"empty block", [][]byte{{}}, 0, crdtstate.ErrRefused},
		{"too big", [][]byte{bytes.Repeat([]byte{1}, 2<<20)}, 0, crdtstate.ErrRefused},
		{"no ancestors", [][]byte{log[3].Raw}, 0, crdtstate.ErrIncomplete},
		{"gap", [][]byte{log[0].Raw, log[1].Raw, log[3].Raw}, 2, crdtstate.ErrIncomplete},
		{"newest first", [][]byte{log[2].Raw, log[1].Raw, log[0].Raw}, 0, crdtstate.ErrIncomplete},
		{"garbage after good ones", [][]byte{log[0].Raw, log[1].Raw, []byte("x")}, 2, crdtstate.ErrRefused},
		{"same block twice", [][]byte{log[0].Raw, log[0].Raw}, 1, nil},
		{"same founding, foreign root", [][]byte{log[0].Raw, spoiltRoot(t, c, foreign)}, 1, crdtstate.ErrRefused},
	} {
		x := c.Open(1)
		n, err := receive(x, tc.raws...)
		if n != tc.admit || tc.want == nil && err != nil || !errors.Is(err, tc.want) {
			t.Errorf("%s: admitted %d, %v; want %d, %v", tc.name, n, err, tc.admit, tc.want)
		}
		check(t, x)
		c.Pull(x, s[0])
		agree(t, s[0], x)
	}
}

// spoiltRoot is a root by somebody who is not the founder.
func spoiltRoot(t *testing.T, c *crdtstatetest.Cluster, log []*block.Block) []byte {
	b, err := block.Seal(string(c.Founding.ID()), strangerKey(t).Private(),
		block.Envelope{Author: strangerKey(t).ID(), Seq: 1}, log[0].Delta, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b.Raw
}

// TestOnlyWhatIsBelowAHead (G6): a delivery that fits into memory brings in only
// ancestors of its heads.
func TestOnlyWhatIsBelowAHead(t *testing.T) {
	c := crdtstatetest.New(t, 3)
	s := c.All()
	x := c.Open(0)
	c.Pull(x, s[0])
	one := c.Commit(s[1], crdtstatetest.PinOp(crdtstatetest.Pin(1)))
	c.Commit(s[2], crdtstatetest.PinOp(crdtstatetest.Pin(2)))
	a, b := logOf(t, s[1]), logOf(t, s[2])
	n, err := receiveHeads(x, []cid.Cid{one.Head}, b[len(b)-1].Raw, a[len(a)-1].Raw)
	if n != 1 || !errors.Is(err, crdtstate.ErrRefused) {
		t.Fatalf("admitted %d, %v", n, err)
	}
	if ok, _ := x.Known(context.Background(), one.Head); !ok {
		t.Error("the head itself was not admitted")
	}
	check(t, x)
}

// TestForksAreKeptAndShown: an author that signs one number twice is named; both
// blocks are admitted, in either order.
func TestForksAreKeptAndShown(t *testing.T) {
	c := crdtstatetest.New(t, 2)
	s := c.All()
	one := forge(t, c, s[1], func(*forgery) {})
	two := forge(t, c, s[1], func(f *forgery) { f.delta.Elements = nil })
	for _, order := range [][][]byte{{one, two}, {two, one}} {
		x := c.Open(0)
		c.Pull(x, s[1])
		if n, err := receive(x, order...); n != 2 || err != nil {
			t.Fatalf("admitted %d, %v", n, err)
		}
		check(t, x)
		h := x.Health()
		if len(h) != 1 || h[0].Code != "state-fork" {
			t.Errorf("health %+v", h)
		}
	}
}

// TestSendLeavesOutWhatIsThere: only what is missing travels, parents first.
func TestSendLeavesOutWhatIsThere(t *testing.T) {
	ctx := context.Background()
	c := crdtstatetest.New(t, 3)
	s := c.All()
	for i := range 400 {
		c.Commit(s[0], crdtstatetest.PinOp(crdtstatetest.Pin(i)))
	}
	c.Pull(s[1], s[0])
	for i := range 30 {
		c.Commit(s[0], crdtstatetest.PinOp(crdtstatetest.Pin(1000+i)))
		c.Commit(s[1], crdtstatetest.PinOp(crdtstatetest.Pin(2000+i)))
	}
	haves, err := s[1].Haves(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sent := 0
	seen := map[cid.Cid]bool{}
	err = s[0].Send(ctx, s[0].Summary().Heads, haves, func(raw []byte) error {
		b, err := block.Read(raw)
		if err != nil {
			return err
		}
		for _, p := range b.Parents {
			known, err := s[1].Known(ctx, p)
			if err != nil || !known && !seen[p] {
				t.Errorf("block %s before its parent %s: %v", b.CID, p, err)
			}
		}
		seen[b.CID] = true
		sent++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if sent < 30 || sent > 60 {
		t.Errorf("%d blocks sent, 30 are missing", sent)
	}
	if err := s[0].Send(ctx, []cid.Cid{crdtstatetest.CID(1)}, nil, nil); err == nil {
		t.Error("an unknown block was wanted, and that was no error")
	}
	if err := s[0].Send(ctx, s[0].Summary().Heads, nil, func([]byte) error { return io.ErrClosedPipe }); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the receiver's error: %v", err)
	}
}
