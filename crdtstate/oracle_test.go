package crdtstate_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/boxo/datastore/dshelp"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/crdtstate"
	"github.com/pinfold/pinfold/crdtstate/internal/block"
	"github.com/pinfold/pinfold/crdtstate/internal/lthash"
)

// replay is the meaning of a set of deltas, in whatever order they come: an
// element is live unless its own removal is there too; of a key's live elements
// the one of the highest delta is its value, of equally high ones the greatest.
func replay(log []*block.Block) (values map[string][]byte, live map[string][]cid.Cid) {
	removed := map[string]bool{}
	for _, b := range log {
		for _, e := range b.Delta.Tombstones {
			removed[e.Key+" "+e.Id] = true
		}
	}
	values, live = map[string][]byte{}, map[string][]cid.Cid{}
	height := map[string]uint64{}
	for _, b := range log {
		id := dshelp.MultihashToDsKey(b.CID.Hash()).String()
		for _, e := range b.Delta.Elements {
			if removed[e.Key+" "+id] {
				continue
			}
			live[e.Key] = append(live[e.Key], b.CID)
			p := b.Delta.Priority
			if p > height[e.Key] || p == height[e.Key] && bytes.Compare(e.Value, values[e.Key]) > 0 {
				height[e.Key], values[e.Key] = p, e.Value
			}
		}
	}
	return values, live
}

// check holds a state against everything that must be true after every round.
func check(t testing.TB, s *crdtstate.State) {
	t.Helper()
	log, err := s.LogBlocks()
	if err != nil {
		t.Fatal(err)
	}
	values, live, err := s.Cells()
	if err != nil {
		t.Fatal(err)
	}
	wantValues, wantLive := replay(log)
	// I1: the library's state is the replay of the log.
	if diff := cmp.Diff(wantValues, values); diff != "" {
		t.Fatalf("I1: values differ from the replay (-replay +state):\n%s", diff)
	}
	// I2: a value is there exactly where an element lives.
	if diff := cmp.Diff(names(wantLive), names(live)); diff != "" {
		t.Fatalf("I2: live elements differ from the replay (-replay +state):\n%s", diff)
	}
	// I3: the log is closed under parents, and the heads are its tips.
	tips, pins := map[cid.Cid]bool{}, uint64(0)
	for _, b := range log {
		for _, p := range b.Parents {
			if _, there := tips[p]; !there && log[0].Raw == nil {
				continue // folded
			} else if !there {
				t.Fatalf("I3: block %s stands before its parent %s", b.CID, p)
			}
			tips[p] = false
		}
		if tips[b.CID] = true; b.Raw == nil {
			tips[b.CID] = slices.Contains(s.Summary().Heads, b.CID) // no tip of the log, but perhaps of what was folded
		}
	}
	var want []cid.Cid
	for c, tip := range tips {
		if tip {
			want = append(want, c)
		}
	}
	slices.SortFunc(want, func(a, b cid.Cid) int { return strings.Compare(a.KeyString(), b.KeyString()) })
	got := s.Summary()
	if !slices.Equal(want, got.Heads) {
		t.Fatalf("I3: heads %v, tips of the log are %v", got.Heads, want)
	}
	var sum lthash.Sum
	for k, v := range values {
		sum.Add(lthash.Of(k, v))
		switch k[:3] {
		case "/p/":
			pins++
		case "/m/", "/c/", "/x/", "/f/", "/s/":
		default:
			t.Fatalf("I11: key %s was written", k)
		}
	}
	if sum.Digest() != got.Digest || got.Count != pins || got.Blocks != uint64(len(log)) {
		t.Fatalf("summary %v of %d blocks; the state has %d pins in %d blocks, digest %x", got, got.Blocks, pins, len(log), sum.Digest())
	}
	checkVector(t, s, log)
	checkList(t, s, values)
}

func names(m map[string][]cid.Cid) map[string][]string {
	out := map[string][]string{}
	for k, cs := range m {
		for _, c := range cs {
			out[k] = append(out[k], c.String())
		}
		slices.Sort(out[k])
	}
	return out
}

func checkVector(t testing.TB, s *crdtstate.State, log []*block.Block) {
	t.Helper()
	want := map[string]uint64{}
	for id, seq := range s.Below() {
		want[id.String()] = seq
	}
	for _, b := range log {
		want[b.Author.String()] = max(want[b.Author.String()], b.Seq)
	}
	got := map[string]uint64{}
	for id, seq := range s.Vector() {
		got[id.String()] = seq
	}
	if !maps.Equal(want, got) {
		t.Fatalf("vector %v, want %v", got, want)
	}
}

// checkList holds Pins against the values: all of them, in the order of keys.
func checkList(t testing.TB, s *crdtstate.State, values map[string][]byte) {
	t.Helper()
	var want, got []string
	for k := range values {
		if strings.HasPrefix(k, "/p/") {
			want = append(want, k)
		}
	}
	slices.Sort(want)
	for p, err := range s.Pins(context.Background(), "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p.Key())
	}
	if !slices.Equal(want, got) {
		t.Fatalf("listed %v\nwant %v", got, want)
	}
}

// agree holds states against each other.
func agree(t testing.TB, states ...*crdtstate.State) {
	t.Helper()
	want := states[0].Summary()
	for i, s := range states[1:] {
		got := s.Summary()
		if got.Digest != want.Digest || got.Count != want.Count || fmt.Sprint(got.Heads) != fmt.Sprint(want.Heads) {
			t.Fatalf("peer %d has %v %v\npeer 0 has %v %v", i+1, got, got.Heads, want, want.Heads)
		}
	}
}
