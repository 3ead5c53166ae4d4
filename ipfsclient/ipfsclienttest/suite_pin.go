package ipfsclienttest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

func suitePin(t *testing.T, s suite) {
	root := add(t, s.Node, oneFile(t, "f", 1000), pinset.AddOptions{}, "").CID
	wantNoPin(t, s.Node, root)
	unpin(t, s.Node, root, pinset.Recursive) // nothing to do, no error
	unpin(t, s.Node, root, pinset.Direct)
	pin(t, s.Node, root, pinset.PinOptions{Name: "one"})
	wantPin(t, s.Node, pinset.NodePin{CID: root, Name: "one"})
	pin(t, s.Node, root, pinset.PinOptions{Name: "one"}) // again, no error
	unpin(t, s.Node, root, pinset.Recursive)
	wantNoPin(t, s.Node, root)
	unpin(t, s.Node, root, pinset.Recursive)
}

func suitePinNames(t *testing.T, s suite) {
	root := add(t, s.Node, oneFile(t, "f", 1000), pinset.AddOptions{CIDVersion: 1}, "").CID
	for _, name := range []string{"first", "pinfold:0123456789abcdef Ünïcödé 羊 \"quoted\" \\ & ?", "", strings.Repeat("n", 255)} {
		pin(t, s.Node, root, pinset.PinOptions{Name: name})
		wantPin(t, s.Node, pinset.NodePin{CID: root, Name: name})
	}
	err := s.Node.Pin(within(t, patience), root, pinset.PinOptions{Name: strings.Repeat("n", 256)})
	wantKind(t, "name of 256 bytes", err, pinset.KindInvalid)
	wantPin(t, s.Node, pinset.NodePin{CID: root, Name: strings.Repeat("n", 255)})
	unpin(t, s.Node, root, pinset.Recursive)
}

func suitePinModes(t *testing.T, s suite) {
	root := add(t, s.Node, oneFile(t, "f", 1000), pinset.AddOptions{}, "").CID
	pin(t, s.Node, root, pinset.PinOptions{Mode: pinset.Direct, Name: "d"})
	wantPin(t, s.Node, pinset.NodePin{CID: root, Mode: pinset.Direct, Name: "d"})
	pin(t, s.Node, root, pinset.PinOptions{Mode: pinset.Direct, Name: "d2"})
	wantPin(t, s.Node, pinset.NodePin{CID: root, Mode: pinset.Direct, Name: "d2"})

	// Recursive over direct: the direct pin is gone, not kept beside it.
	pin(t, s.Node, root, pinset.PinOptions{Name: "r"})
	wantPin(t, s.Node, pinset.NodePin{CID: root, Name: "r"})

	// Direct over recursive is refused, and so is letting go what is more.
	err := s.Node.Pin(within(t, patience), root, pinset.PinOptions{Mode: pinset.Direct, Name: "d3"})
	wantKind(t, "pin directly what is pinned recursively", err, pinset.KindConflict)
	wantKind(t, "unpin directly what is pinned recursively", s.Node.Unpin(within(t, patience), root, pinset.Direct), pinset.KindConflict)
	wantPin(t, s.Node, pinset.NodePin{CID: root, Name: "r"})

	unpin(t, s.Node, root, pinset.Recursive)
	wantNoPin(t, s.Node, root)
	for _, mode := range []pinset.Mode{pinset.Direct, pinset.Recursive} { // both take a direct pin away
		pin(t, s.Node, root, pinset.PinOptions{Mode: pinset.Direct, Name: "d4"})
		unpin(t, s.Node, root, mode)
		wantNoPin(t, s.Node, root)
	}
}

func suitePinVersions(t *testing.T, s suite) {
	v0 := add(t, s.Node, oneFile(t, "f", 1000), pinset.AddOptions{}, "").CID
	v1 := cid.NewCidV1(v0.Type(), v0.Hash())
	pin(t, s.Node, v0, pinset.PinOptions{Name: "zero"})
	wantNoPin(t, s.Node, v1)
	pin(t, s.Node, v1, pinset.PinOptions{Name: "one"})
	wantPin(t, s.Node, pinset.NodePin{CID: v0, Name: "zero"})
	unpin(t, s.Node, v0, pinset.Recursive)
	wantNoPin(t, s.Node, v0)
	wantPin(t, s.Node, pinset.NodePin{CID: v1, Name: "one"})
	unpin(t, s.Node, v1, pinset.Recursive)
}

func suitePinIndirect(t *testing.T, s suite) {
	all := addAll(t, s.Node, oneFile(t, "f", 1000), pinset.AddOptions{Wrap: true}, "whole")
	part, whole := all[0].CID, all[len(all)-1].CID
	wantNoPin(t, s.Node, part)
	unpin(t, s.Node, part, pinset.Recursive)
	wantPin(t, s.Node, pinset.NodePin{CID: whole, Name: "whole"})
	pin(t, s.Node, part, pinset.PinOptions{Name: "part"})
	wantPin(t, s.Node, pinset.NodePin{CID: part, Name: "part"})
	unpin(t, s.Node, part, pinset.Recursive)
	wantPin(t, s.Node, pinset.NodePin{CID: whole, Name: "whole"})
	unpin(t, s.Node, whole, pinset.Recursive)
}

func suitePins(t *testing.T, s suite) {
	want := map[cid.Cid]pinset.NodePin{}
	for i, name := range []string{"a", "b ü", "", "d", "e"} {
		p := pinset.NodePin{Name: name, Mode: pinset.Mode(i % 2)}
		p.CID = add(t, s.Node, oneFile(t, "f"+name, 500), pinset.AddOptions{CIDVersion: i % 2}, "").CID
		pin(t, s.Node, p.CID, pinset.PinOptions{Mode: p.Mode, Name: p.Name})
		want[p.CID] = p
	}
	found := 0
	for p, err := range s.Node.Pins(within(t, patience)) {
		if err != nil {
			t.Fatalf("pins: %v", err)
		}
		if w, ok := want[p.CID]; ok {
			found++
			if p != w {
				t.Errorf("listed %+v, want %+v", p, w)
			}
		}
	}
	if found != len(want) {
		t.Errorf("listed %d of %d pins", found, len(want))
	}
	for range s.Node.Pins(within(t, patience)) {
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range s.Node.Pins(ctx) {
		if err == nil {
			t.Error("listed pins after the context's end")
		}
	}
	for c, p := range want {
		unpin(t, s.Node, c, p.Mode)
	}
}

func suitePinUnknown(t *testing.T, s suite) {
	c := unknown(t)
	for _, mode := range []pinset.Mode{pinset.Recursive, pinset.Direct} {
		wantEnded(t, "pin of unknown", context.DeadlineExceeded, func() error {
			return s.Node.Pin(within(t, time.Second), c, pinset.PinOptions{Mode: mode})
		})
		wantNoPin(t, s.Node, c)
	}
}

func suitePinCancelled(t *testing.T, s suite) {
	c := unknown(t)
	ctx, cancel := context.WithCancel(t.Context())
	stop := time.AfterFunc(300*time.Millisecond, cancel)
	defer stop.Stop()
	wantEnded(t, "cancelled pin", context.Canceled, func() error { return s.Node.Pin(ctx, c, pinset.PinOptions{}) })
	wantNoPin(t, s.Node, c)
	wantEnded(t, "pin after the end", context.Canceled, func() error { return s.Node.Pin(ctx, c, pinset.PinOptions{}) })
}

func suitePinsAtOnce(t *testing.T, s suite) {
	one := add(t, s.Node, oneFile(t, "one", 300_000), pinset.AddOptions{}, "").CID
	two := add(t, s.Node, oneFile(t, "two", 300_000), pinset.AddOptions{}, "").CID
	ctx := within(t, patience)
	var wg sync.WaitGroup
	for _, c := range []cid.Cid{one, one, two, two} {
		wg.Go(func() {
			if err := s.Node.Pin(ctx, c, pinset.PinOptions{Name: "both"}); err != nil {
				t.Errorf("pin %s at once: %v", c, err)
			}
		})
	}
	wg.Wait()
	wantPin(t, s.Node, pinset.NodePin{CID: one, Name: "both"})
	wantPin(t, s.Node, pinset.NodePin{CID: two, Name: "both"})
	unpin(t, s.Node, one, pinset.Recursive)
	unpin(t, s.Node, two, pinset.Recursive)
}

// treeFor returns a tree with content that no other test has.
func treeFor(t *testing.T) func() files.Directory {
	return tree(map[string]string{
		"big": string(Noise(t.Name(), 3<<20)), "big again": string(Noise(t.Name(), 3<<20)), "d/small": t.Name(), "d/e/": "",
	})
}

func suiteFetch(t *testing.T, s suite) {
	s.connect(t)
	there := add(t, s.Other, treeFor(t)(), pinset.AddOptions{CIDVersion: 1}, "there").CID
	var seen []pinset.Progress
	var received uint64
	receive := func(bytes uint64) { received = bytes }
	pin(t, s.Node, there, pinset.PinOptions{Name: "here", Received: receive, Progress: func(p pinset.Progress) { seen = append(seen, p) }})
	wantPin(t, s.Node, pinset.NodePin{CID: there, Name: "here"})
	f, _ := oracle(t, treeFor(t)(), pinset.AddOptions{CIDVersion: 1})
	want, err := f.DAGSize(t.Context(), there, pinset.Recursive)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Node.DAGSize(within(t, patience), there, pinset.Recursive); err != nil || got != want {
		t.Errorf("size of what was fetched: %+v, %v; want %+v", got, err, want)
	}
	if len(seen) == 0 || seen[len(seen)-1] != want {
		t.Errorf("progress %+v, want it to end with %+v", seen, want)
	}
	const empty = 4 // bytes of the empty directory, which another test may have brought
	if received != want.Bytes && received != want.Bytes-empty {
		t.Errorf("received %d bytes, want all %d", received, want.Bytes)
	}
	pin(t, s.Node, there, pinset.PinOptions{Name: "here", Received: receive, Had: want.Bytes})
	if received != 0 {
		t.Errorf("received %d bytes of what is here", received)
	}
	for i := 1; i < len(seen); i++ {
		if seen[i].Blocks < seen[i-1].Blocks || seen[i].Bytes < seen[i-1].Bytes {
			t.Errorf("progress fell from %+v to %+v", seen[i-1], seen[i])
		}
	}
	unpin(t, s.Node, there, pinset.Recursive)
}

func suiteFetchDirect(t *testing.T, s suite) {
	s.connect(t)
	there := add(t, s.Other, treeFor(t)(), pinset.AddOptions{CIDVersion: 1}, "there").CID
	pin(t, s.Node, there, pinset.PinOptions{Mode: pinset.Direct, Name: "root"})
	wantPin(t, s.Node, pinset.NodePin{CID: there, Mode: pinset.Direct, Name: "root"})
	_, err := s.Node.DAGSize(within(t, patience), there, pinset.Recursive)
	wantKind(t, "size of a DAG of which only the root is here", err, pinset.KindNotFound)
	if got, err := s.Node.DAGSize(within(t, patience), there, pinset.Direct); err != nil || got.Blocks != 1 || got.Bytes == 0 {
		t.Errorf("size of a direct pin: %+v, %v", got, err)
	}
	block, err := s.Node.LocalBlock(within(t, patience), there)
	if sum, sumErr := there.Prefix().Sum(block); err != nil || sumErr != nil || sum != there {
		t.Errorf("the root's block: %d bytes of %s, %v", len(block), sum, err)
	}
	far := add(t, s.Other, oneFile(t, "far", 300), pinset.AddOptions{CIDVersion: 1}, "far").CID
	_, err = s.Node.LocalBlock(within(t, patience), far)
	wantKind(t, "a block that is only at the other", err, pinset.KindNotFound)
	unpin(t, s.Node, there, pinset.Direct)
}
