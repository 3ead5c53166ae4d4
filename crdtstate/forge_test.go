package crdtstate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/boxo/datastore/dshelp"
	dag "github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-ds-crdt/pb"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/crdtstate/crdtstatetest"
	"github.com/pinfold/pinfold/crdtstate/internal/block"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/identity/identitytest"
)

// forgery is an honest next delta of the founder, to be spoilt.
type forgery struct {
	key     identity.Key
	cluster string
	env     block.Envelope
	delta   *pb.Delta
	parents []cid.Cid
	head    cid.Cid
	height  uint64
	seal    func(f *forgery) []byte
}

// forge makes the next delta of the founder as seen by s, after spoiling it.
func forge(t testing.TB, c *crdtstatetest.Cluster, s *crdtstate.State, spoil func(*forgery)) []byte {
	t.Helper()
	sum := s.Summary()
	op := crdtstatetest.PinOp(crdtstatetest.Pin(77))
	f := &forgery{
		key: c.Keys[0], cluster: string(c.Founding.ID()), parents: sum.Heads, head: sum.Heads[0], height: sum.Height,
		env:   block.Envelope{Author: c.ID(0), Seq: s.Vector()[c.ID(0)] + 1},
		delta: &pb.Delta{Priority: sum.Height + 1, Elements: []*pb.Element{{Key: op.Key, Value: op.Value}}},
	}
	f.seal = func(f *forgery) []byte {
		if f.env.Author == c.ID(0) {
			f.env.Author = f.key.ID()
		}
		b, err := block.Seal(f.cluster, f.key.Private(), f.env, f.delta, f.parents)
		if err != nil {
			t.Fatal(err)
		}
		return b.Raw
	}
	spoil(f)
	return f.seal(f)
}

func strangerKey(t testing.TB) identity.Key { return identitytest.Key(t, 99) }

// after seals and then changes the node.
func after(change func(n *dag.ProtoNode, f *forgery)) func(*forgery) {
	return func(f *forgery) {
		seal := f.seal
		f.seal = func(f *forgery) []byte {
			n, err := dag.DecodeProtobuf(seal(f))
			if err != nil {
				panic(err)
			}
			n = n.Copy().(*dag.ProtoNode)
			change(n, f)
			raw, err := n.EncodeProtobuf(true)
			if err != nil {
				panic(err)
			}
			return raw
		}
	}
}

func setData(n *dag.ProtoNode, change func([]byte) []byte) { n.SetData(change(slices.Clone(n.Data()))) }

func flip(i int) func(*forgery) {
	return func(f *forgery) {
		seal := f.seal
		f.seal = func(f *forgery) []byte {
			raw := slices.Clone(seal(f))
			raw[(i+len(raw))%len(raw)] ^= 1
			return raw
		}
	}
}

func tombstone(key, id string) func(*forgery) {
	return func(f *forgery) { f.delta.Tombstones = []*pb.Element{{Key: key, Id: id}} }
}

func element(key, value string) func(*forgery) {
	return func(f *forgery) { f.delta.Elements = []*pb.Element{{Key: key, Value: []byte(value)}} }
}

func forgeries(t testing.TB, root cid.Cid) map[string]func(*forgery) {
	links := func(ls ...*ipld.Link) func(*forgery) {
		return after(func(n *dag.ProtoNode, _ *forgery) {
			if err := n.SetLinks(ls); err != nil {
				t.Fatal(err)
			}
		})
	}
	pin := crdtstatetest.PinOp(crdtstatetest.Pin(1))
	return map[string]func(*forgery){
		"outsider signs": func(f *forgery) { f.key = strangerKey(t) },
		"unsigned": after(func(n *dag.ProtoNode, _ *forgery) {
			setData(n, func(b []byte) []byte { return b[:len(b)-(3+2+38+16+64)] })
		}),
		"outsider claims a member's id": func(f *forgery) { // signs with its own key
			member := f.key
			f.key = strangerKey(t)
			f.env.Author = peer.ID("") // kept as it is set below
			f.seal = func(f *forgery) []byte {
				f.env.Author = member.ID()
				b, err := block.Seal(f.cluster, f.key.Private(), f.env, f.delta, f.parents)
				if err != nil {
					t.Fatal(err)
				}
				return b.Raw
			}
		},
		"payload byte flipped": after(func(n *dag.ProtoNode, _ *forgery) {
			setData(n, func(b []byte) []byte { b[8] ^= 1; return b })
		}),
		"signature byte flipped": after(func(n *dag.ProtoNode, _ *forgery) {
			setData(n, func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
		}),
		"raw byte flipped at the start":  flip(0),
		"raw byte flipped in the middle": flip(60),
		"parent swapped":                 links(&ipld.Link{Cid: root}),
		"parent removed":                 links(),
		"parent added": after(func(n *dag.ProtoNode, f *forgery) {
			if err := n.AddRawLink("", &ipld.Link{Cid: root}); err != nil {
				t.Fatal(err)
			}
		}),
		"link name added (second CID)": after(func(n *dag.ProtoNode, f *forgery) {
			_ = n.SetLinks([]*ipld.Link{{Cid: f.head, Name: "z"}})
		}),
		"link size added (second CID)": after(func(n *dag.ProtoNode, f *forgery) {
			_ = n.SetLinks([]*ipld.Link{{Cid: f.head, Size: 5}})
		}),
		"field after the envelope": after(func(n *dag.ProtoNode, _ *forgery) {
			setData(n, func(b []byte) []byte { return append(b, 0x18, 0x05) })
		}),
		"another cluster's delta":        func(f *forgery) { f.cluster += "x" },
		"another epoch's delta":          func(f *forgery) { f.env.Epoch = 6 },
		"priority too high":              func(f *forgery) { f.delta.Priority += 1000 },
		"priority too low":               func(f *forgery) { f.delta.Priority = 1 },
		"priority at the end of numbers": func(f *forgery) { f.delta.Priority = ^uint64(0) },
		"key climbs out":                 element("/../../h/x", "x"),
		"key outside the prefixes":       element("/q/x", "x"),
		"tombstone key climbs out":       tombstone("/../../../identity", "/AAA"),
		"tombstone id climbs out":        tombstone(pin.Key, "/../../x"),
		"key twice in one delta": func(f *forgery) {
			f.delta.Elements = append(f.delta.Elements, &pb.Element{Key: f.delta.Elements[0].Key, Value: f.delta.Elements[0].Value})
		},
		"unknown parent": func(f *forgery) {
			f.parents = []cid.Cid{block.CIDOf([]byte("nothing"))}
		},
		// Beyond the 24 of the prototype.
		"element with an id":         func(f *forgery) { f.delta.Elements[0].Id = "/x" },
		"a pin that does not decode": element(pin.Key, "x"),
		"a pin under a second spelling of its key": func(f *forgery) {
			f.delta.Elements[0].Key += "/"
		},
		"sequence number 0":              func(f *forgery) { f.env.Seq = 0 },
		"a second root":                  func(f *forgery) { f.parents, f.delta.Priority = nil, 1 },
		"another member's record":        element(identity.MemberKey(strangerKey(t).ID()), "x"),
		"a member's record is removed":   tombstone(identity.MemberKey(identitytest.Key(t, 0).ID()), idOf(root)),
		"a parent named twice":           func(f *forgery) { f.parents = append(f.parents, f.parents[0]) },
		"a value beyond the limit":       element("/f/x", string(make([]byte, 20000))),
		"a follow that is not canonical": element("/f/x", "\x18\x01"),
		"a size that is not canonical":   element("/s/"+crdtstatetest.CID(1).String(), "\x18\x01"),
		"one removal twice":              func(f *forgery) { f.delta.Tombstones = twice(pin.Key, idOf(root)) },
		"a removal with a value": func(f *forgery) {
			f.delta.Tombstones = []*pb.Element{{Key: pin.Key, Id: idOf(root), Value: []byte("x")}}
		},
		"too many changes in one delta": func(f *forgery) { f.delta.Tombstones = many(pin.Key, 1001) },
		"a ruling of who is not an admin": func(f *forgery) {
			f.delta.Elements[0].Key = identity.PolicyKey
			f.delta.Elements[0].Value = []byte("x")
		},
	}
}

// TestForgeriesAreRefused (I5): every forgery leaves heads, height, digest and the
// number of goroutines as they were, is counted, and honest progress goes on.
func TestForgeriesAreRefused(t *testing.T) {
	for _, store := range append([]string{"memory"}, stores...) {
		t.Run(store, func(t *testing.T) {
			c := crdtstatetest.New(t, 2)
			s := members(t, c, store)
			c.Commit(s[0], crdtstatetest.PinOp(crdtstatetest.Pin(1)), crdtstatetest.PinOp(crdtstatetest.Pin(2)))
			c.Pull(s[1], s[0])
			x := s[1]
			before := x.Summary()
			log, err := x.LogBlocks()
			if err != nil {
				t.Fatal(err)
			}
			goroutines := runtime.NumGoroutine()
			all := forgeries(t, log[0].CID)
			for _, name := range slices.Sorted(maps.Keys(all)) {
				raw := forge(t, c, x, all[name])
				n, err := receiveHeads(x, []cid.Cid{block.CIDOf(raw)}, raw)
				if n != 0 || !errors.Is(err, crdtstate.ErrRefused) && !errors.Is(err, crdtstate.ErrIncomplete) {
					t.Errorf("%s: admitted %d, %v", name, n, err)
				}
				if got := x.Summary(); got.String() != before.String() || got.Digest != before.Digest || got.Blocks != before.Blocks {
					t.Fatalf("%s: changed the state from %v to %v", name, before, got)
				}
			}
			if n := settled(goroutines); n > goroutines {
				t.Errorf("%d goroutines, %d before the forgeries", n, goroutines)
			}
			if len(x.Health()) == 0 {
				t.Error("the forgeries do not show in health")
			}
			check(t, x)
			// A member cannot hide a forged ancestor below its own block.
			forged := forge(t, c, x, all["outsider signs"])
			above := forge(t, c, x, func(f *forgery) {
				f.parents = []cid.Cid{block.CIDOf(forged)}
				f.delta.Priority++
			})
			if n, err := receive(x, forged, above); n != 0 || err == nil {
				t.Errorf("a block over a forged one: admitted %d, %v", n, err)
			}
			good := forge(t, c, x, func(*forgery) {})
			if n, err := receive(x, good); n != 1 || err != nil {
				t.Fatalf("honest delta afterwards: %d, %v", n, err)
			}
			check(t, x)
		})
	}
}

// settled gives goroutines that are ending a moment to do so.
func settled(want int) int {
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > want && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	return runtime.NumGoroutine()
}

func receiveHeads(s *crdtstate.State, heads []cid.Cid, raws ...[]byte) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return s.Receive(ctx, heads, func() ([]byte, error) {
		if len(raws) == 0 {
			return nil, io.EOF
		}
		raw := raws[0]
		raws = raws[1:]
		return raw, nil
	})
}

func idOf(c cid.Cid) string { return dshelp.MultihashToDsKey(c.Hash()).String() }

func twice(key, id string) []*pb.Element {
	return []*pb.Element{{Key: key, Id: id}, {Key: key, Id: id}}
}

func many(key string, n int) []*pb.Element {
	out := make([]*pb.Element, n)
	for i := range out {
		out[i] = &pb.Element{Key: key, Id: idOf(block.CIDOf(fmt.Append(nil, i)))}
	}
	return out
}
