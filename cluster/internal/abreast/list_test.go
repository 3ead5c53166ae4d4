package abreast

import (
	"iter"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/pinset"
)

// inOrder returns n CIDs in the order of their keys.
func inOrder(t *testing.T, n int) []cid.Cid {
	t.Helper()
	out := make([]cid.Cid, n)
	for i := range out {
		h, err := multihash.Sum([]byte{byte(i)}, multihash.SHA2_256, -1)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = cid.NewCidV1(cid.Raw, h)
	}
	slices.SortFunc(out, func(a, b cid.Cid) int {
		if pinset.CIDPrefix(a) < pinset.CIDPrefix(b) {
			return -1
		}
		return 1
	})
	return out
}

func each[T any](values ...T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range values {
			if !yield(v, nil) {
				return
			}
		}
	}
}

func TestAListIsReadStepByStep(t *testing.T) {
	c := inOrder(t, 3)
	l := Read("bob", each(pinset.Local{CID: c[0]}, pinset.Local{CID: c[2]}))
	defer l.Stop()
	for range 2 {
		l.Advance() // the second time nothing was taken
		if key, at := l.Head(); key != pinset.CIDPrefix(c[0]) || at != c[0] {
			t.Fatalf("head %q %s, want the first", key, at)
		}
	}
	if _, ok := l.Take(pinset.CIDPrefix(c[1])); ok {
		t.Error("took what is not there")
	}
	if got, ok := l.Take(pinset.CIDPrefix(c[0])); !ok || got.CID != c[0] {
		t.Errorf("took %v %v, want the first", got, ok)
	}
	l.Advance()
	if _, ok := l.Take(pinset.CIDPrefix(c[2])); !ok {
		t.Error("the last is not there")
	}
	l.Advance()
	if key, _ := l.Head(); key != "" || l.Err() != nil {
		t.Errorf("at the end: %q, %v", key, l.Err())
	}
}

func TestAListOutOfOrderBreaksOff(t *testing.T) {
	c := inOrder(t, 2)
	for name, second := range map[string]cid.Cid{"backwards": c[0], "twice": c[1]} {
		l := Read("bob", each(pinset.Local{CID: c[1]}, pinset.Local{CID: second}))
		l.Advance()
		l.Take(pinset.CIDPrefix(c[1]))
		l.Advance()
		if key, _ := l.Head(); key != "" || pinset.KindOf(l.Err()) != pinset.KindUnavailable {
			t.Errorf("%s: %q, %v", name, key, l.Err())
		}
		l.Stop()
	}
}

func TestPinsOfOneCIDStandTogether(t *testing.T) {
	c := inOrder(t, 2)
	var got []int
	for group, err := range ByCID(each(pinset.Pin{CID: c[0]}, pinset.Pin{CID: c[0], Owner: "alice"}, pinset.Pin{CID: c[1]})) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, len(group))
	}
	if want := []int{2, 1}; !slices.Equal(got, want) {
		t.Errorf("groups of %v, want %v", got, want)
	}
}
