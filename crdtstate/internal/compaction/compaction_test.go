package compaction

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/identity/identitytest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// signer signs in the name of the members of a test cluster.
type signer struct {
	t *testing.T
	*identitytest.Cluster
}

func (s signer) members() (out []peer.ID) {
	for i := range s.Keys {
		out = append(out, s.ID(i))
	}
	return out
}

func (s signer) seal(i int, epoch, seq uint64, head string, members ...peer.ID) *Seal {
	s.t.Helper()
	h := make([]byte, 32)
	copy(h, head)
	seal, err := Seal{Epoch: epoch, Seq: seq, Members: MembersDigest(members), Heads: []cid.Cid{BlockCID(h)}}.Sign(s.Keys[i], s.Founding.ID())
	if err != nil {
		s.t.Fatal(err)
	}
	return seal
}

func (s signer) ack(i int, seal *Seal, root byte) *Ack {
	s.t.Helper()
	a, err := Ack{Epoch: seal.Epoch, Seal: seal.Seq, Root: [32]byte{root}}.Sign(s.Keys[i], s.Founding.ID())
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

func TestGolden(t *testing.T) {
	s := signer{t, identitytest.New(t, 2)}
	seal := s.seal(1, 1, 1, "head", s.members()...)
	root := Root{Epoch: 1, Heads: []uint64{0}, Authors: []Author{{Peer: []byte(s.ID(1)), Seq: 3}}, Sets: PackSets([][]uint64{{0}})}
	chunker := Chunker{Emit: func([]byte) error { return nil }}
	if err := chunker.Add(Residual{Hash: make([]byte, 32), Seq: 3, Height: 4, Live: []Element{{Key: "/m/x", Value: []byte("v")}}}); err != nil {
		t.Fatal(err)
	}
	if err := chunker.End(&root); err != nil {
		t.Fatal(err)
	}
	if err := PackStubs([]Stub{{Height: 4}}, &root, func([]byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	g, err := root.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"seal": seal.Raw, "ack": s.ack(1, seal, 7).Raw, "root": g.Raw} {
		path := filepath.Join("testdata", name+".hex")
		if *update {
			if err := os.WriteFile(path, []byte(hex.EncodeToString(b)+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(b) + "\n"; got != string(want) {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// TestDecide walks through what a member does, seal by seal.
func TestDecide(t *testing.T) {
	s := signer{t, identitytest.New(t, 4)}
	all, three := s.members(), s.members()[:3]
	seals := func(n int) (out []*Seal) {
		for i := range n {
			out = append(out, s.seal(i, 1, 1, "h", three...))
		}
		return out
	}
	for _, tc := range []struct {
		name  string
		view  View
		seals []*Seal
		acks  []*Ack
		want  Step
		wait  int // how many it waits for
	}{
		{"nobody asks", View{Members: three}, nil, nil, Wait, 3},
		{"it is due", View{Members: three, Due: true}, nil, nil, SealNow, 3},
		{"another one sealed", View{Members: three, Willing: true}, seals(3)[1:2], nil, SealNow, 2},
		{"another one sealed, too soon", View{Members: three}, seals(3)[1:2], nil, Wait, 2},
		{"no member", View{Members: all[1:], Due: true}, nil, nil, Wait, 0},
		{"one has not sealed", View{Members: three}, seals(2), nil, Wait, 1},
		{"all have sealed", View{Members: three}, seals(3), nil, Build, 0},
		{"the members changed", View{Members: all}, seals(3), nil, SealNow, 4},
		{"one signed two seals with one number", View{Members: three}, append(seals(3), s.seal(1, 1, 1, "other", three...)), nil, Wait, 1},
		{"and gave both up", View{Members: three}, append(seals(3), s.seal(1, 1, 1, "other", three...), s.seal(1, 1, 2, "h", three...)), nil, Build, 0},
		{"acknowledged, one has not", View{Members: three, Cut: seals(3), Root: [32]byte{7}}, seals(3), []*Ack{s.ack(0, seals(1)[0], 7), s.ack(1, seals(1)[0], 7)}, Wait, 1},
		{"one computed another root", View{Members: three, Cut: seals(3), Root: [32]byte{7}}, seals(3), []*Ack{s.ack(0, seals(1)[0], 7), s.ack(1, seals(1)[0], 7), s.ack(2, seals(1)[0], 8)}, Wait, 1},
		{"all acknowledged", View{Members: three, Cut: seals(3), Root: [32]byte{7}}, seals(3), []*Ack{s.ack(0, seals(1)[0], 7), s.ack(1, seals(1)[0], 7), s.ack(2, seals(1)[0], 7)}, Fold, 0},
		{"the last one was removed", View{Members: all[:2], Cut: seals(3), Root: [32]byte{7}}, seals(3), []*Ack{s.ack(0, seals(1)[0], 7), s.ack(1, seals(1)[0], 7)}, Fold, 0},
		{"a newcomer need not", View{Members: all, Cut: seals(3), Root: [32]byte{7}}, seals(3), []*Ack{s.ack(0, seals(1)[0], 7), s.ack(1, seals(1)[0], 7), s.ack(2, seals(1)[0], 7)}, Fold, 0},
		{"acknowledged, and one sealed again", View{Members: three, Cut: seals(3), Root: [32]byte{7}}, append(seals(3), s.seal(2, 1, 2, "h", three...)), []*Ack{s.ack(0, seals(1)[0], 7)}, SealNow, 0},
	} {
		book := &Book{}
		for _, seal := range tc.seals {
			book.AddSeal(seal)
		}
		for _, a := range tc.acks {
			book.AddAck(a)
		}
		tc.view.Self, tc.view.Book = s.ID(0), book
		got := Decide(tc.view)
		if got.Step != tc.want || len(got.Waiting) != tc.wait {
			t.Errorf("%s: step %d, waits for %d: want step %d, %d", tc.name, got.Step, len(got.Waiting), tc.want, tc.wait)
		}
		if got.Step == SealNow && tc.view.Cut != nil && got.Seq != 2 {
			t.Errorf("%s: seal number %d", tc.name, got.Seq)
		}
	}
}

// Two books that heard the same in another order are the same.
func TestBooksConverge(t *testing.T) {
	s := signer{t, identitytest.New(t, 2)}
	records := []*Seal{s.seal(0, 1, 1, "a"), s.seal(0, 1, 1, "b"), s.seal(1, 1, 1, "a"), s.seal(1, 1, 2, "a"), s.seal(1, 2, 1, "a")}
	var want []byte
	for n := range 24 {
		order := slices.Clone(records)
		for i := range order {
			j := (i*7 + n*5) % len(order)
			order[i], order[j] = order[j], order[i]
		}
		var b Book
		for _, r := range order {
			b.AddSeal(r)
		}
		if len(b.Liars()) != 1 || b.Liars()[s.ID(0)] == "" {
			t.Fatalf("liars: %v", b.Liars())
		}
		if n == 0 {
			want = b.Digest()
		} else if diff := cmp.Diff(want, b.Digest()); diff != "" {
			t.Fatalf("order %d: %s", n, diff)
		}
	}
}

func TestSetsSurviveTheirEncoding(t *testing.T) {
	sets := [][]uint64{{}, {0}, {0, 1}, {0, 2}, {0, 1, 2, 7}, {1, 2, 3, 4}}
	SortSets(sets)
	got, err := unpackSets(PackSets(sets), 8)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sets, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzOpenRoot(f *testing.F) {
	for _, name := range []string{"root", "seal"} {
		raw, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
		if err != nil {
			f.Fatal(err)
		}
		b, _ := hex.DecodeString(string(raw[:len(raw)-1]))
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		g, err := OpenRoot(raw)
		if err != nil {
			return
		}
		for n := range g.Pieces() {
			_ = g.CheckPiece(n, nil)
		}
	})
}
