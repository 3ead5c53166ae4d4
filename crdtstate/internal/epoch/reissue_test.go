package epoch_test

import (
	"bytes"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-ds-crdt/pb"
	"google.golang.org/protobuf/proto"

	"github.com/pinfold/pinfold/crdtstate/crdtstatetest"
	"github.com/pinfold/pinfold/crdtstate/internal/block"
	"github.com/pinfold/pinfold/crdtstate/internal/epoch"
	"github.com/pinfold/pinfold/crdtstate/internal/gate"
	"github.com/pinfold/pinfold/crdtstate/internal/kv"
	"github.com/pinfold/pinfold/identity"
)

// What is signed anew fits into deltas, however large those were that it is from.
func TestReissueFitsIntoDeltas(t *testing.T) {
	c := crdtstatetest.New(t, 1)
	cfg := c.Config(0)
	open := func() *epoch.Epoch {
		e, err := epoch.Open(t.Context(), kv.NewMemory(), 0, identity.NewAuthority(cfg.Founding, cfg.Secret))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
		return e
	}
	old, next := open(), open()
	add := func(key string, value []byte) gate.Inspected {
		t.Helper()
		var parents []cid.Cid
		d := &pb.Delta{Priority: 1, Elements: []*pb.Element{{Key: key, Value: value}}}
		for _, h := range old.Heads() {
			parents, d.Priority = append(parents, h.CID), h.Height+1
		}
		b, err := block.Seal(string(cfg.Founding.ID()), cfg.Key.Private(), block.Envelope{Author: cfg.Key.ID(), Seq: old.Seq(cfg.Key.ID()) + 1}, d, parents)
		if err != nil {
			t.Fatal(err)
		}
		in := gate.Trusted(b)
		if err := old.Admit(in); err != nil {
			t.Fatal(err)
		}
		if _, err := old.Settle(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		return in
	}
	add(identity.MemberKey(c.ID(0)), c.Seal(0, c.Record(0)))
	var orphans []gate.Inspected
	for n, size := range []int{500 << 10, 700 << 10, 400 << 10} {
		orphans = append(orphans, add(crdtstatetest.Pin(n).Key(), bytes.Repeat([]byte{1}, size)))
	}
	if err := next.Reissue(old, orphans); err != nil {
		t.Fatal(err)
	}
	live := 0
	for {
		d, number, err := next.Pending()
		if err != nil {
			t.Fatal(err)
		}
		if d == nil {
			break
		}
		live += len(d.Elements)
		if n := proto.Size(d); n > block.MaxSize-64<<10 {
			t.Errorf("a delta of %d bytes is to be signed", n)
		}
		if err := next.Done(number); err != nil {
			t.Fatal(err)
		}
	}
	if live != len(orphans) {
		t.Errorf("%d additions are to be signed anew, want %d", live, len(orphans))
	}
}
