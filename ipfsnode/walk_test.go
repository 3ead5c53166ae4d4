package ipfsnode

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipld/go-ipld-prime"
	"github.com/ipld/go-ipld-prime/codec/dagcbor"
	"github.com/ipld/go-ipld-prime/fluent"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"
	basicnode "github.com/ipld/go-ipld-prime/node/basic"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/ipfsnode/store"
	"github.com/pinfold/pinfold/pinset"
)

// graph is a random DAG in memory, with what a naive walk finds in it.
type graph struct {
	blocks map[string][]byte // by multihash
	root   cid.Cid
}

func randomGraph(rnd *rand.Rand, size int) *graph {
	g := &graph{blocks: map[string][]byte{}}
	var all []*merkledag.ProtoNode
	for i := range size {
		nd := merkledag.NodeWithData(noise(uint64(i%50), 100))
		for range rnd.IntN(6) {
			if len(all) > 0 {
				_ = nd.AddNodeLink("", all[rnd.IntN(len(all))])
			}
		}
		all = append(all, nd)
		g.blocks[string(nd.Cid().Hash())] = nd.RawData()
	}
	root := new(merkledag.ProtoNode)
	for range 40 {
		_ = root.AddNodeLink("", all[rnd.IntN(len(all))])
	}
	g.blocks[string(root.Cid().Hash())] = root.RawData()
	g.root = root.Cid()
	return g
}

func (g *graph) naive() pinset.Progress {
	seen := map[string]bool{}
	var sum pinset.Progress
	var visit func(c cid.Cid)
	visit = func(c cid.Cid) {
		if seen[string(c.Hash())] {
			return
		}
		data := g.blocks[string(c.Hash())]
		seen[string(c.Hash())] = true
		sum.Blocks++
		sum.Bytes += uint64(len(data))
		nd, err := merkledag.DecodeProtobuf(data)
		if err != nil {
			panic(err)
		}
		for _, l := range nd.Links() {
			visit(l.Cid)
		}
	}
	visit(g.root)
	return sum
}

func (g *graph) walk(t *testing.T, workers int) (sum pinset.Progress) {
	t.Helper()
	set := store.NewSeen(t.TempDir())
	defer set.Close()
	w := walk{workers: workers, tmp: t.TempDir(), note: set.Add,
		load: func(_ context.Context, c cid.Cid) ([]byte, int, error) {
			b, ok := g.blocks[string(c.Hash())]
			if !ok {
				return nil, 0, errors.New("no such block")
			}
			return b, len(b), nil
		},
		found: func(size int) {
			sum.Blocks++
			sum.Bytes += uint64(size)
		},
	}
	if err := w.run(t.Context(), g.root); err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestWalkAgainstANaiveOne(t *testing.T) {
	for seed := range uint64(20) {
		g := randomGraph(rand.New(rand.NewPCG(seed, 1)), 10+int(seed)*40)
		for _, workers := range []int{1, 8} {
			if got, want := g.walk(t, workers), g.naive(); got != want {
				t.Errorf("seed %d, %d workers: %+v, want %+v", seed, workers, got, want)
			}
		}
	}
}

func TestWalkEnds(t *testing.T) {
	boom := errors.New("boom")
	ctx, cancel := context.WithCancel(t.Context())
	load := func(err error, trip func()) func(context.Context, cid.Cid) ([]byte, int, error) {
		return func(ctx context.Context, _ cid.Cid) ([]byte, int, error) {
			trip()
			if err == nil {
				<-ctx.Done()
				err = ctx.Err()
			}
			return nil, 0, err
		}
	}
	for _, tc := range []struct {
		name string
		ctx  context.Context
		load func(context.Context, cid.Cid) ([]byte, int, error)
		want error
	}{
		{"failing block", t.Context(), load(boom, func() {}), boom},
		{"cancelled", ctx, load(nil, cancel), context.Canceled},
	} {
		set := store.NewSeen(t.TempDir())
		w := walk{workers: 3, tmp: t.TempDir(), note: set.Add, load: tc.load}
		if err := w.run(tc.ctx, merkledag.NodeWithData([]byte(tc.name)).Cid()); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
		set.Close()
	}
}

// A frontier that spills gives back exactly what it was given.
func TestFrontierSpills(t *testing.T) {
	f := newFrontier(t.TempDir())
	f.limit = 10
	defer f.close()
	want := map[visit]int{}
	var mu sync.Mutex
	for round := range 40 {
		var vs []visit
		for i := range round {
			v := visit{merkledag.NodeWithData(noise(uint64(round*100+i), 8)).Cid(), i%2 == 0, i%3 == 0}
			if i%2 == 1 {
				v.cid = pinset.V1(v.cid)
			}
			vs = append(vs, v)
			want[v]++
		}
		if err := f.push(vs); err != nil {
			t.Fatal(err)
		}
		if len(f.stack) > f.limit {
			t.Fatalf("%d in memory", len(f.stack))
		}
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				v, ok := f.next()
				if !ok {
					return
				}
				mu.Lock()
				want[v]--
				mu.Unlock()
				f.done()
			}
		})
	}
	wg.Wait()
	for v, n := range want {
		if n != 0 {
			t.Errorf("%v: %d times too few", v, n)
		}
	}
	if f.err != nil {
		t.Error(f.err)
	}
}

func cborNode(t *testing.T, links ...cid.Cid) blocks.Block {
	t.Helper()
	nd := fluent.MustBuildMap(basicnode.Prototype.Map, 1, func(m fluent.MapAssembler) {
		m.AssembleEntry("links").CreateList(int64(len(links)), func(l fluent.ListAssembler) {
			for _, c := range links {
				l.AssembleValue().AssignLink(cidlink.Link{Cid: c})
			}
		})
	})
	data, err := ipld.Encode(nd, dagcbor.Encode)
	if err != nil {
		t.Fatal(err)
	}
	h, err := multihash.Sum(data, multihash.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := blocks.NewBlockWithCid(data, cid.NewCidV1(cid.DagCBOR, h))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Links are found in dag-cbor and in inlined nodes; a block that is linked under two
// codecs is one block with two readings.
func TestPinOtherKindsOfNodes(t *testing.T) {
	a, b := testNode(t), testNode(t)
	connect(t, b, a)
	leaf := merkledag.NewRawNode([]byte("leaf"))
	below := merkledag.NewRawNode([]byte("below"))
	pb := new(merkledag.ProtoNode)
	if err := pb.AddNodeLink("below", below); err != nil {
		t.Fatal(err)
	}
	asRaw := cid.NewCidV1(cid.Raw, pb.Cid().Hash())
	inlined := new(merkledag.ProtoNode)
	if err := inlined.AddNodeLink("leaf", leaf); err != nil {
		t.Fatal(err)
	}
	id, err := multihash.Sum(inlined.RawData(), multihash.IDENTITY, -1)
	if err != nil {
		t.Fatal(err)
	}
	root := cborNode(t, asRaw, cid.NewCidV1(cid.DagProtobuf, id), pinset.V1(pb.Cid()))
	ss := a.store.Begin()
	defer ss.End()
	for _, blk := range []blocks.Block{leaf, below, pb, root} {
		if _, err := ss.Put(t.Context(), blk); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Pin(t.Context(), root.Cid(), pinset.PinOptions{}); err != nil {
		t.Fatal(err)
	}
	if n := collect(t, b); n != 0 {
		t.Errorf("collected %d blocks of a pin", n)
	}
	size, err := b.DAGSize(t.Context(), root.Cid(), pinset.Recursive)
	if err != nil || size.Blocks != 5 || size.Bytes != used(t, b)+uint64(len(inlined.RawData())) {
		t.Errorf("size %+v, %v, used %d", size, err, used(t, b))
	}
	if got := string(read(t, b, root.Cid().String()+"/links/1/leaf")); got != "leaf" {
		t.Errorf("read %q through cbor and an inlined node", got)
	}
}

func FuzzLinksPB(f *testing.F) {
	nd := merkledag.NodeWithData([]byte("data"))
	_ = nd.AddNodeLink("name", merkledag.NewRawNode([]byte("x")))
	f.Add(nd.RawData())
	f.Add([]byte{})
	f.Add([]byte{0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		want, err := merkledag.DecodeProtobuf(b)
		if err != nil {
			_, _ = linksPB(b) // must not panic
			return
		}
		got, err := linksPB(b)
		if err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		var cids []cid.Cid
		for _, l := range want.Links() {
			cids = append(cids, l.Cid)
		}
		key := func(a, b cid.Cid) int { return slices.Compare(a.Bytes(), b.Bytes()) } // boxo sorts links by name
		slices.SortFunc(got, key)
		slices.SortFunc(cids, key)
		if !slices.Equal(got, cids) {
			t.Errorf("%x: %v, want %v", b, got, cids)
		}
	})
}
