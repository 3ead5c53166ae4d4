package ipfsclienttest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/ipfsclient"
	"github.com/pinfold/pinfold/pinset"
)

// Subject is what the conformance suite runs against: two new nodes, empty,
// connected to nobody. Other may be of another kind.
type Subject struct{ Node, Other ipfsclient.Node }

// patience bounds what ought to succeed.
const patience = time.Minute

// Run holds an implementation of the roles to what they say. The cases use
// different data and run one after the other on the same two nodes; garbage is
// collected last.
func Run(t *testing.T, open func(*testing.T) Subject) {
	s := suite{open(t)}
	for _, c := range []struct {
		name string
		run  func(*testing.T, suite)
	}{
		{"identity", suiteIdentity},
		{"sign", suiteSign},
		{"golden", suiteGolden},
		{"golden only hash", suiteOnlyHash},
		{"add order and sizes", suiteAddOrder},
		{"add progress", suiteAddProgress},
		{"add pins", suiteAddPins},
		{"add leaves an owner's pin", suiteAddOwners},
		{"add several roots", suiteAddSeveral},
		{"add left early", suiteAddLeft},
		{"add of a broken source", suiteAddBroken},
		{"add of nothing", suiteAddNothing},
		{"pin and unpin", suitePin},
		{"pin names", suitePinNames},
		{"pin modes", suitePinModes},
		{"pin spelled twice", suitePinVersions},
		{"pin part of another", suitePinIndirect},
		{"pins", suitePins},
		{"pin unknown", suitePinUnknown},
		{"pin cancelled", suitePinCancelled},
		{"pins at once", suitePinsAtOnce},
		{"sizes", suiteSizes},
		{"sizes offline", suiteSizesOffline},
		{"open file", suiteOpenFile},
		{"open directory", suiteOpenDir},
		{"open nothing", suiteOpenNothing},
		{"list", suiteList},
		{"repo stat", suiteRepoStat},
		{"connect nobody", suiteConnectNobody},
		{"fetch", suiteFetch},
		{"fetch direct", suiteFetchDirect},
		{"read from the other", suiteReadRemote},
		{"gc", suiteGC},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, s) })
	}
}

type suite struct{ Subject }

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// oneFile is a directory with one file of noise that belongs to this test alone.
func oneFile(t *testing.T, name string, size int) files.Directory {
	return file(name, Noise(t.Name()+name, size))()
}

// add brings in dir and returns what the last element says.
func add(t *testing.T, n ipfsclient.Node, dir files.Directory, opts pinset.AddOptions, pinName string) pinset.Added {
	t.Helper()
	all := addAll(t, n, dir, opts, pinName)
	return all[len(all)-1]
}

func addAll(t *testing.T, n ipfsclient.Node, dir files.Directory, opts pinset.AddOptions, pinName string) []pinset.Added {
	t.Helper()
	var all []pinset.Added
	for a, err := range n.Add(within(t, patience), dir, opts, pinName) {
		if err != nil {
			t.Fatalf("add: %v", err)
		}
		all = append(all, a)
	}
	if len(all) == 0 {
		t.Fatal("add: yielded nothing")
	}
	return all
}

// oracle imports dir in a fake of its own and returns that, to compare with.
func oracle(t *testing.T, dir files.Directory, opts pinset.AddOptions) (*Fake, []pinset.Added) {
	t.Helper()
	f := (&World{}).Node()
	return f, addAll(t, f, dir, opts, "oracle")
}

func pin(t *testing.T, n ipfsclient.Node, c cid.Cid, opts pinset.PinOptions) {
	t.Helper()
	if err := n.Pin(within(t, patience), c, opts); err != nil {
		t.Fatalf("pin %s: %v", c, err)
	}
}

func unpin(t *testing.T, n ipfsclient.Node, c cid.Cid, mode pinset.Mode) {
	t.Helper()
	if err := n.Unpin(within(t, patience), c, mode); err != nil {
		t.Fatalf("unpin %s: %v", c, err)
	}
}

func wantPin(t *testing.T, n ipfsclient.Node, want pinset.NodePin) {
	t.Helper()
	got, err := n.PinOf(within(t, patience), want.CID)
	if err != nil || got != want {
		t.Errorf("pin of %s: %+v, %v; want %+v", want.CID, got, err, want)
	}
}

func wantNoPin(t *testing.T, n ipfsclient.Node, c cid.Cid) {
	t.Helper()
	got, err := n.PinOf(within(t, patience), c)
	wantKind(t, "pin of "+c.String(), err, pinset.KindNotFound)
	if err == nil {
		t.Errorf("got %+v", got)
	}
}

func wantKind(t *testing.T, what string, err error, want pinset.Kind) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("%s: no error, want kind %s", what, want.Info().Name)
	case pinset.KindOf(err) != want:
		t.Errorf("%s: kind %s (%v), want %s", what, pinset.KindOf(err).Info().Name, err, want.Info().Name)
	}
}

// wantEnded wants an error that wraps the context's, soon.
func wantEnded(t *testing.T, what string, want error, run func() error) {
	t.Helper()
	start := time.Now()
	err := run()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want it to wrap %q", what, err, want)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("%s: returned after %v", what, took)
	}
}

// unknown returns a CID that nobody has, of a kind that needs fetching.
func unknown(t *testing.T) cid.Cid {
	t.Helper()
	_, all := oracle(t, oneFile(t, "nobody has this", 100), pinset.AddOptions{})
	return all[0].CID
}

// connect connects the two nodes.
func (s suite) connect(t *testing.T) {
	t.Helper()
	id, err := s.Other.Identity(within(t, patience))
	if err != nil {
		t.Fatalf("identity: %v", err)
	}
	var addrs []string
	for _, a := range id.Addresses {
		if !strings.Contains(a, "/p2p/") {
			a += "/p2p/" + id.Peer.String()
		}
		addrs = append(addrs, a)
	}
	if err := s.Node.Connect(within(t, patience), addrs...); err != nil {
		t.Fatalf("connect to %q: %v", addrs, err)
	}
}
