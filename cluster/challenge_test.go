package cluster

import (
	"bytes"
	"context"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/boxo/files"

	"github.com/pinfold/pinfold/cluster/internal/ask"
	"github.com/pinfold/pinfold/cluster/internal/audit"
	"github.com/pinfold/pinfold/pinset"
)

// bring adds a file of several blocks at some peers' IPFS nodes and returns its pin.
func (r *rig) bring(at ...int) pinset.Pin {
	r.t.Helper()
	var root pinset.Added
	for _, i := range at {
		dir := files.NewMapDirectory(map[string]files.Node{"f": files.NewBytesFile(bytes.Repeat([]byte("block challenge "), 100000))})
		for e, err := range r.peers[i].node.Add(context.Background(), dir, pinset.AddOptions{CIDVersion: 1}, "test") {
			if err != nil {
				r.t.Fatal(err)
			}
			root = e
		}
	}
	return r.peers[0].pin(pinset.Pin{CID: root.CID, Replication: pinset.Replication{Min: 3, Max: 3}})
}

// altered changes the answer's one frame.
func altered(change func(*ask.Frame)) askFault {
	return func(_ context.Context, frames iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			for b, err := range frames {
				if err == nil {
					var f ask.Frame
					if f, err = ask.ParseFrame(b); err == nil {
						change(&f)
						b, err = f.Encode()
					}
				}
				if !yield(b, err) {
					return
				}
			}
		}
	}
}

// TestChallengesFindTheLiar has a row for each way to answer. Peer 0 asks, peer 1
// says that it holds the file.
func TestChallengesFindTheLiar(t *testing.T) {
	var old *ask.Frame
	for _, tc := range []struct {
		name   string
		has    []int
		do     func(r *rig)
		met    bool
		away   bool
		broken bool
		say    string
	}{
		{"it has it", []int{0, 1}, nil, true, false, false, ""},
		{"it has nothing of it", []int{0}, nil, false, false, true, "does not have block"},
		{"it answers with another's proof", []int{0, 1}, func(r *rig) {
			r.peers[0].net.set(1, func(ctx context.Context, _ iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
				return func(yield func([]byte, error) bool) {
					yield(must(t, ask.Frame{Proofs: [][]byte{make([]byte, 32)}}, nil).Encode())
				}
			})
		}, false, false, true, "proof"},
		{"it repeats an older answer", []int{0, 1}, func(r *rig) {
			r.peers[0].net.set(1, altered(func(f *ask.Frame) {
				if old == nil {
					old = &ask.Frame{Proofs: slices.Clone(f.Proofs)}
				}
				*f = *old
			}))
			if _, err := r.peers[0].Audit(t.Context(), 1, 1); err != nil {
				t.Fatal(err)
			}
		}, false, false, true, "proof"},
		{"nobody but it has it, and it shows the root", []int{1}, nil, true, false, false, ""},
		{"nobody but it could have it, and it shows something else", []int{1}, func(r *rig) {
			r.peers[0].net.set(1, altered(func(f *ask.Frame) { f.Block = []byte("else") }))
		}, false, false, true, "root's block"},
		{"it is away", []int{0, 1}, func(r *rig) { r.split(1) }, false, true, false, "not connected"},
		{"it breaks off", []int{0, 1}, func(r *rig) { r.peers[0].net.set(1, tornAfter(0)) }, false, true, false, "broke off"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, 3)
			r.bring(tc.has...)
			r.peers[1].says()
			if tc.do != nil {
				tc.do(r)
			}
			a, err := r.peers[0].Audit(t.Context(), 1, 5)
			must(t, a, err)
			if len(a.Tests) != 1 { // peer 2 has said nothing, peer 0 is who asks
				t.Fatalf("%+v", a.Tests)
			}
			got, m := a.Tests[0], accountOf(t, a, r.ids.ID(1))
			if got.Met != tc.met || got.Away != tc.away || !strings.Contains(got.Error, tc.say) || got.Peer != r.ids.ID(1) {
				t.Errorf("%+v, want %+v", got, tc)
			}
			if (a.Broken == 1) != tc.broken || (m.Failed == 1) != tc.broken {
				t.Errorf("%d broken, %+v", a.Broken, m)
			}
		})
	}
}

// Whoever has said meanwhile that it does not hold something is not blamed; and
// nobody learns of blocks that are no business of the cluster.
func TestChallengesAreFair(t *testing.T) {
	r := newRig(t, 3)
	p := r.bring(0)
	r.peers[1].says()
	r.peers[0].net.set(1, func(_ context.Context, frames iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
		r.peers[1].says(p.CID)
		return frames
	})
	a, err := r.peers[0].Audit(t.Context(), 1, 1)
	if must(t, a, err); len(a.Tests) != 1 || !a.Tests[0].Away || a.Broken != 0 {
		t.Errorf("%+v", a)
	}
	q := must2(ask.Request{What: ask.Prove, CID: cidN(5), Nonce: make([]byte, 32)}.Encode())
	err = r.peers[0].Answer(t.Context(), r.ids.ID(1), q, func([]byte) error { t.Error("answered"); return nil })
	if pinset.KindOf(err) != pinset.KindNotFound {
		t.Errorf("of what is not in the pinset: %v", err)
	}
	lots := audit.Lots{Most: 3}
	for i := range 100 {
		lots.Show(audit.Suspect{Row: i})
	}
	if len(lots.Drawn) != 3 || (&audit.Exam{Nonce: []byte{1}}).Check(p.CID, []byte("a"), audit.Exam{Nonce: []byte{2}}.Proof(p.CID, []byte("a"))) {
		t.Error("lots, or a proof for another nonce")
	}
}
