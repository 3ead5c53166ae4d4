package crdtstate_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/crdtstate/crdtstatetest"
	"github.com/pinfold/pinfold/crdtstate/internal/block"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// remove has one member remove another.
func remove(t *testing.T, c *crdtstatetest.Cluster, s *crdtstate.State, signer, gone int) {
	t.Helper()
	e, err := s.Authority().Removal(c.ID(gone), c.ID(signer))
	if err != nil {
		t.Fatal(err)
	}
	c.Commit(s, crdtstate.Op{Key: e.Key, Value: e.Value})
}

func logOf(t *testing.T, s *crdtstate.State) []*block.Block {
	t.Helper()
	log, err := s.LogBlocks()
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// TestRevocation (I13): a removed author brings nothing new in, except below a
// current member's block; and all peers agree in the end.
func TestRevocation(t *testing.T) {
	c := crdtstatetest.New(t, 4)
	s := c.All()
	founder, honest, apart, gone := s[0], s[1], s[2], s[3]
	// The removed one writes before, and somebody who is cut off merges it.
	c.Commit(gone, crdtstatetest.PinOp(crdtstatetest.Pin(1)))
	before := c.Commit(gone, crdtstatetest.PinOp(crdtstatetest.Pin(2)))
	remove(t, c, founder, 0, 3)
	c.Pull(honest, founder)

	n, err := crdtstatetest.Deliver(context.Background(), honest, gone)
	if n != 0 || !errors.Is(err, crdtstate.ErrRefused) {
		t.Fatalf("late head of the removed author: %d, %v", n, err)
	}
	check(t, honest)
	if len(honest.Health()) == 0 || !strings.Contains(honest.Health()[0].Title, c.ID(3).String()) {
		t.Errorf("health does not name the author: %+v", honest.Health())
	}

	c.Pull(apart, gone) // does not know of the removal: it merges
	c.Commit(apart, crdtstatetest.PinOp(crdtstatetest.Pin(3)))
	c.Pull(honest, apart)
	if ok, err := honest.Known(context.Background(), before.Head); err != nil || !ok {
		t.Fatalf("a block below a member's head: known %v, %v", ok, err)
	}
	c.Pull(founder, honest)
	c.Pull(apart, founder)
	c.Pull(founder, apart)
	c.Pull(honest, apart)
	for _, x := range []*crdtstate.State{founder, honest, apart} {
		check(t, x)
	}
	agree(t, founder, honest, apart)

	// Back-dated, on top of the present, beside an honest head, with a second first
	// record: refused everywhere.
	for _, x := range []*crdtstate.State{founder, honest, apart} {
		for name, raw := range hostile(t, c, x) {
			was := x.Summary()
			n, err := receive(x, raw)
			if n != 0 || !errors.Is(err, crdtstate.ErrRefused) {
				t.Errorf("%s: %d, %v", name, n, err)
			}
			good := forge(t, c, x, func(*forgery) {})
			n, err = receiveHeads(x, []cid.Cid{block.CIDOf(good)}, raw, good)
			if n != 1 || !errors.Is(err, crdtstate.ErrRefused) {
				t.Errorf("%s beside an honest head: %d, %v", name, n, err)
			}
			if ok, _ := x.Known(context.Background(), block.CIDOf(raw)); ok {
				t.Errorf("%s: smuggled in", name)
			}
			if x.Summary().Blocks != was.Blocks+1 {
				t.Errorf("%s: %d blocks, were %d", name, x.Summary().Blocks, was.Blocks)
			}
			check(t, x)
		}
	}
	_, err = gone.Commit(context.Background(), crdtstatetest.PinOp(crdtstatetest.Pin(9)))
	if err != nil {
		t.Fatal("the removed one goes on alone until it hears:", err)
	}
	c.Pull(gone, honest)
	_, err = gone.Commit(context.Background(), crdtstatetest.PinOp(crdtstatetest.Pin(10)))
	if pinset.KindOf(err) != pinset.KindForbidden {
		t.Errorf("it heard, and commits: %v", err)
	}
}

// hostile blocks of the removed author.
func hostile(t *testing.T, c *crdtstatetest.Cluster, x *crdtstate.State) map[string][]byte {
	log := logOf(t, x)
	below := func(i int) func(f *forgery) {
		return func(f *forgery) {
			f.key = c.Keys[3]
			f.parents = []cid.Cid{log[i].CID}
			f.delta.Priority = log[i].Delta.Priority + 1
			f.env.Seq = x.Vector()[c.ID(3)] + 1
		}
	}
	mine := 0
	for i, b := range log {
		if b.Author == c.ID(3) && mine == 0 {
			mine = i
		}
	}
	return map[string][]byte{
		"on top of the present": forge(t, c, x, func(f *forgery) { f.key = c.Keys[3] }),
		"back-dated":            forge(t, c, x, below(mine)),
		"a second first record": forge(t, c, x, func(f *forgery) { below(0)(f); element(identity.MemberKey(c.ID(3)), string(c.Seal(3, c.Record(3))))(f) }),
		"a newer record, back-dated": forge(t, c, x, func(f *forgery) {
			below(mine)(f)
			r := c.Record(3)
			r.Seq = 9
			element(identity.MemberKey(c.ID(3)), string(c.Seal(3, r)))(f)
		}),
	}
}

// TestAdoption: who holds a removed member's block as a tip links to it at once, so
// that it is not refused by those who hear of it later.
func TestAdoption(t *testing.T) {
	c := crdtstatetest.New(t, 3)
	s := c.All()
	late := c.Commit(s[2], crdtstatetest.PinOp(crdtstatetest.Pin(1)))
	c.Pull(s[1], s[2]) // the tip at 1 is 2's
	remove(t, c, s[0], 0, 2)
	c.Pull(s[1], s[0])
	deadline := time.After(10 * time.Second)
	for adopted := false; !adopted; {
		select {
		case a := <-s[1].Announcements():
			b, err := block.Read(a.Block)
			if err != nil {
				t.Fatal(err)
			}
			adopted = len(b.Parents) == 2 && len(b.Delta.Elements) == 0 && b.Author == c.ID(1)
		case <-deadline:
			t.Fatal("no adoption was announced")
		}
	}
	c.Pull(s[0], s[1])
	if ok, _ := s[0].Known(context.Background(), late.Head); !ok {
		t.Error("the adopted block is not known to all")
	}
	check(t, s[0])
	agree(t, s[0], s[1])
}

// TestNewerLevelIsParked: blocks above a feature level that this version does not
// know are neither admitted nor counted as forged.
func TestNewerLevelIsParked(t *testing.T) {
	c := crdtstatetest.New(t, 2)
	s := c.Founded()
	r := nextRecord(c)
	r.Level = identity.OwnLevel + 1
	c.Commit(s, crdtstate.Op{Key: identityKey(c), Value: c.Seal(0, r)})
	level, err := identity.EncodeFormat(identity.OwnLevel + 1)
	if err != nil {
		t.Fatal(err)
	}
	c.Commit(s, crdtstate.Op{Key: identity.FormatKey, Value: level})
	x := c.Open(1)
	c.Pull(x, s)
	for name, spoil := range map[string]func(*forgery){
		"well-formed":      func(*forgery) {},
		"unknown key":      element("/n/new", "x"),
		"unknown envelope": flip(30),
	} {
		raw := forge(t, c, x, spoil)
		n, err := receive(x, raw)
		if n != 0 || !errors.Is(err, crdtstate.ErrParked) {
			t.Errorf("%s: %d, %v, want it parked", name, n, err)
		}
	}
	h := x.Health()
	if len(h) != 1 || h[0].Code != "state-newer" || h[0].Do != "update pinfold" {
		t.Errorf("health %+v", h)
	}
	if _, err := s.Commit(context.Background(), crdtstatetest.PinOp(crdtstatetest.Pin(1))); pinset.KindOf(err) != pinset.KindUnavailable {
		t.Errorf("own commit above the own level: %v", err)
	}
}
