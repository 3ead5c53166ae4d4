package sim

import (
	"bytes"
	"context"
	"fmt"

	"github.com/ipfs/boxo/datastore/dshelp"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-ds-crdt/pb"
	"github.com/multiformats/go-multihash"
	"google.golang.org/protobuf/proto"

	"github.com/pinfold/pinfold/crdtstate"
)

// replayed is the state as a few lines of our own compute it from all deltas:
// the naive twin of what library and store made.
type replayed struct {
	blocks int
	values map[string][]byte
}

type element struct {
	priority uint64
	value    []byte
}

// replay asks a peer for everything it has and computes the state anew: an
// element counts unless a removal names it; of several the highest delta's
// value, then the greatest bytes.
func replay(ctx context.Context, s *crdtstate.State) (replayed, error) {
	live := make(map[string]map[string]element) // by key, by delta
	dead := make(map[string]bool)               // key, delta
	blocks := 0
	err := s.Send(ctx, s.Summary().Heads, nil, func(raw []byte) error {
		blocks++
		id, d, err := delta(raw)
		if err != nil {
			return err
		}
		for _, e := range d.Elements {
			if live[e.Key] == nil {
				live[e.Key] = make(map[string]element)
			}
			live[e.Key][id] = element{d.Priority, bytes.Clone(e.Value)}
		}
		for _, t := range d.Tombstones {
			dead[t.Key+" "+t.Id] = true
		}
		return nil
	})
	if err != nil {
		return replayed{}, fmt.Errorf("read all deltas: %w", err)
	}
	out := replayed{blocks: blocks, values: make(map[string][]byte)}
	for key, elements := range live {
		var best *element
		for id, e := range elements {
			if !dead[key+" "+id] && (best == nil || e.priority > best.priority || (e.priority == best.priority && bytes.Compare(e.value, best.value) > 0)) {
				best = &e
			}
		}
		if best != nil {
			out.values[key] = best.value
		}
	}
	return out, nil
}

func delta(raw []byte) (id string, d *pb.Delta, err error) {
	sum, err := multihash.Sum(raw, multihash.SHA2_256, -1)
	if err != nil {
		return "", nil, err
	}
	node, err := merkledag.DecodeProtobuf(raw)
	if err != nil {
		return "", nil, fmt.Errorf("decode delta %s: %w", cid.NewCidV1(cid.DagProtobuf, sum), err)
	}
	d = &pb.Delta{}
	return dshelp.MultihashToDsKey(sum).String(), d, proto.Unmarshal(node.Data(), d)
}
