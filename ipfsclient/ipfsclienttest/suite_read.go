package ipfsclienttest

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/ipfsclient"
	"github.com/pinfold/pinfold/pinset"
)

func suiteSizes(t *testing.T, s suite) {
	for _, tree := range Trees() {
		f, all := oracle(t, tree.Make(), pinset.AddOptions{})
		root := all[len(all)-1].CID
		add(t, s.Node, tree.Make(), pinset.AddOptions{}, "")
		for _, mode := range []pinset.Mode{pinset.Recursive, pinset.Direct} {
			want, err := f.DAGSize(t.Context(), root, mode)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := s.Node.DAGSize(within(t, patience), root, mode); err != nil || got != want {
				t.Errorf("%s size of %s: %+v, %v; want %+v", mode, tree.Name, got, err, want)
			}
		}
	}
}

// A size is never asked of the network, and never stands for what is not here.
func suiteSizesOffline(t *testing.T, s suite) {
	c := unknown(t)
	for _, mode := range []pinset.Mode{pinset.Recursive, pinset.Direct} {
		_, err := s.Node.DAGSize(within(t, patience), c, mode)
		wantKind(t, "size of unknown", err, pinset.KindNotFound)
	}
}

func open(t *testing.T, n ipfsclient.Node, path string) files.Node {
	t.Helper()
	node, err := n.Open(within(t, patience), path)
	if err != nil {
		t.Fatalf("open %s: %v", path, err)
	}
	t.Cleanup(func() { node.Close() })
	return node
}

func suiteOpenFile(t *testing.T, s suite) {
	for _, size := range []int{0, 1, 262144, 1 << 20} {
		content := Noise(t.Name(), size)
		root := add(t, s.Node, file("f", content)(), pinset.AddOptions{CIDVersion: 1}, "").CID
		for _, path := range []string{root.String(), "/ipfs/" + root.String()} {
			f, ok := open(t, s.Node, path).(files.File)
			if !ok {
				t.Fatalf("%s: not a file", path)
			}
			if n, err := f.Size(); err != nil || n != int64(size) {
				t.Errorf("size %d, %v; want %d", n, err, size)
			}
			if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes, %v; want the %d of the file", len(got), err, size)
			}
		}
	}
	content := Noise(t.Name(), 700_001)
	root := add(t, s.Node, file("f", content)(), pinset.AddOptions{}, "").CID
	f := open(t, s.Node, root.String()).(files.File)
	seeker, ok := f.(io.ReadSeeker)
	if !ok {
		t.Fatal("a file is no io.Seeker")
	}
	if err := iotest.TestReader(seeker, content); err != nil {
		t.Error(err)
	}
}

func suiteOpenDir(t *testing.T, s suite) {
	for _, tree := range Trees()[7:] {
		root := add(t, s.Node, tree.Make(), pinset.AddOptions{CIDVersion: 1, Hidden: true}, "").CID
		top := tree.Make().Entries()
		top.Next()
		want, got := contents(t, top.Node()), contents(t, open(t, s.Node, root.String()))
		if !maps.Equal(got, want) {
			t.Errorf("%s: read %d entries, want %d; or they differ", tree.Name, len(got), len(want))
		}
	}
}

// contents maps the paths below n to what they are: "content", "->target", "/".
func contents(t *testing.T, n files.Node) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := files.Walk(n, func(path string, n files.Node) error {
		switch n := n.(type) {
		case *files.Symlink:
			out[path] = "->" + n.Target
		case files.Directory:
			out[path] = "/"
		case files.File:
			b, err := io.ReadAll(n)
			out[path] = string(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Errorf("walk: %v", err)
	}
	return out
}

func suiteOpenNothing(t *testing.T, s suite) {
	root := add(t, s.Node, tree(map[string]string{"a/羊": "baa", "l": "->a/羊"})(), pinset.AddOptions{}, "").CID.String()
	got, err := io.ReadAll(open(t, s.Node, root+"/a/羊").(files.File))
	if err != nil || string(got) != "baa" {
		t.Errorf("read by path: %q, %v", got, err)
	}
	if l, ok := open(t, s.Node, root+"/l").(*files.Symlink); !ok || l.Target != "a/羊" {
		t.Errorf("link: %+v", l)
	}
	for path, want := range map[string]pinset.Kind{
		root + "/b":       pinset.KindNotFound,
		root + "/a/羊/x":   pinset.KindNotFound,
		"":                pinset.KindInvalid,
		"/ipfs/":          pinset.KindInvalid,
		"/ipfs/not-a-cid": pinset.KindInvalid,
		"/etc/passwd":     pinset.KindInvalid,
	} {
		_, err := s.Node.Open(within(t, patience), path)
		wantKind(t, "open "+path, err, want)
		var last error
		for _, err := range s.Node.List(within(t, patience), path) {
			last = err
		}
		wantKind(t, "list "+path, last, want)
	}
	c := unknown(t)
	wantEnded(t, "open unknown", context.DeadlineExceeded, func() error {
		_, err := s.Node.Open(within(t, time.Second), c.String())
		return err
	})
	wantEnded(t, "list unknown", context.DeadlineExceeded, func() (last error) {
		for _, err := range s.Node.List(within(t, time.Second), c.String()) {
			last = err
		}
		return last
	})
}

func list(t *testing.T, n ipfsclient.Node, path string) map[string]pinset.Link {
	t.Helper()
	out := map[string]pinset.Link{}
	for l, err := range n.List(within(t, patience), path) {
		if err != nil {
			t.Fatalf("list %s: %v", path, err)
		}
		out[l.Name] = l
	}
	return out
}

func suiteList(t *testing.T, s suite) {
	for _, tree := range Trees()[6:] {
		f, all := oracle(t, tree.Make(), pinset.AddOptions{CIDVersion: 1})
		root := all[len(all)-1].CID.String()
		add(t, s.Node, tree.Make(), pinset.AddOptions{CIDVersion: 1}, "")
		got, want := list(t, s.Node, root), list(t, f, root)
		for name, w := range want {
			g := got[name]
			if w.Dir && g.Size == 0 { // a directory's size may be left out
				w.Size = 0
			}
			if g != w {
				t.Errorf("%s: listed %+v, want %+v", tree.Name, g, w)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: listed %d entries, want %d", tree.Name, len(got), len(want))
		}
	}
	big := add(t, s.Node, oneFile(t, "f", 600_000), pinset.AddOptions{}, "").CID
	if got := list(t, s.Node, big.String()); len(got) != 0 {
		t.Errorf("listed of a file: %v", got)
	}
	root := add(t, s.Node, Trees()[7].Make(), pinset.AddOptions{}, "").CID
	for name, l := range list(t, s.Node, root.String()) {
		if wantDir := name == "a" || name == "again"; l.Dir != wantDir || !wantDir && l.Size != 5000 {
			t.Errorf("listed %+v, want directories a and again, and z of 5000 bytes", l)
		}
	}
	for range s.Node.List(within(t, patience), root.String()) {
		break
	}
}

func suiteReadRemote(t *testing.T, s suite) {
	s.connect(t)
	root := add(t, s.Other, treeFor(t)(), pinset.AddOptions{}, "there").CID
	top := treeFor(t)().Entries()
	top.Next()
	if !maps.Equal(contents(t, open(t, s.Node, root.String())), contents(t, top.Node())) {
		t.Error("read from the other node something else")
	}
}

func suiteRepoStat(t *testing.T, s suite) {
	before, err := s.Node.RepoStat(within(t, patience))
	if err != nil {
		t.Fatal(err)
	}
	const size = 8 << 20
	root := add(t, s.Node, oneFile(t, "f", size), pinset.AddOptions{}, "kept").CID
	after, err := s.Node.RepoStat(within(t, patience))
	if err != nil {
		t.Fatal(err)
	}
	if grown := after.Used - before.Used; after.Used < before.Used || grown < size || grown > size*5/4 {
		t.Errorf("grew from %d to %d by adding %d bytes", before.Used, after.Used, size)
	}
	if after.Max != before.Max {
		t.Errorf("limit went from %d to %d", before.Max, after.Max)
	}
	unpin(t, s.Node, root, pinset.Recursive)
}

func suiteIdentity(t *testing.T, s suite) {
	a, err := s.Node.Identity(within(t, patience))
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Other.Identity(within(t, patience))
	if err != nil {
		t.Fatal(err)
	}
	if a.Peer == b.Peer || a.Peer.Validate() != nil || len(a.Addresses) == 0 || a.Agent == "" {
		t.Errorf("identities %+v and %+v", a, b)
	}
	again, err := s.Node.Identity(within(t, patience))
	if err != nil || again.Peer != a.Peer {
		t.Errorf("identity changed from %s to %s, %v", a.Peer, again.Peer, err)
	}
}

// What Kubo's `ipfs key sign` makes, and nothing else: over its own words and the
// data, by the key of the node's id.
func suiteSign(t *testing.T, s suite) {
	id, err := s.Node.Identity(within(t, patience))
	if err != nil {
		t.Fatal(err)
	}
	key, err := id.Peer.ExtractPublicKey()
	if err != nil {
		t.Fatal(err)
	}
	data := []byte("all\x00bytes\xff\r\n--")
	sig, err := s.Node.Sign(within(t, patience), data)
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	if ok, err := key.Verify(append([]byte("libp2p-key signed message:"), data...), sig); !ok || err != nil {
		t.Errorf("signature %x over %q: %v, %v", sig, data, ok, err)
	}
}

func suiteConnectNobody(t *testing.T, s suite) {
	nobody := "/ip4/127.0.0.1/tcp/1/p2p/" + testID(-1).String()
	for _, addrs := range [][]string{{nobody}, {"/ip4/127.0.0.1/tcp/1"}, {"nonsense"}} {
		if err := s.Node.Connect(within(t, patience), addrs...); err == nil {
			t.Errorf("connected to %q", addrs)
		}
	}
}

func suiteGC(t *testing.T, s suite) {
	kept := add(t, s.Node, oneFile(t, "kept", 600_000), pinset.AddOptions{CIDVersion: 1}, "kept").CID
	gone := add(t, s.Node, oneFile(t, "gone", 600_000), pinset.AddOptions{CIDVersion: 1}, "gone").CID
	root := add(t, s.Node, oneFile(t, "root", 600_000), pinset.AddOptions{CIDVersion: 1}, "").CID
	pin(t, s.Node, root, pinset.PinOptions{Mode: pinset.Direct})
	unpin(t, s.Node, gone, pinset.Recursive)
	var removed []string
	for c, err := range s.Node.GC(within(t, patience)) {
		if err != nil {
			t.Fatalf("gc: %v", err)
		}
		removed = append(removed, string(c.Hash()))
	}
	for c, want := range map[cid.Cid]bool{kept: false, gone: true, root: false} {
		if got := slices.Contains(removed, string(c.Hash())); got != want {
			t.Errorf("removed %s: %v, want %v", c, got, want)
		}
	}
	if _, err := s.Node.DAGSize(within(t, patience), kept, pinset.Recursive); err != nil {
		t.Errorf("what is pinned: %v", err)
	}
	_, err := s.Node.DAGSize(within(t, patience), gone, pinset.Direct)
	wantKind(t, "size of what was removed", err, pinset.KindNotFound)
	if _, err := s.Node.DAGSize(within(t, patience), root, pinset.Direct); err != nil {
		t.Errorf("the block that is pinned directly: %v", err)
	}
	_, err = s.Node.DAGSize(within(t, patience), root, pinset.Recursive)
	wantKind(t, "size of a DAG of which only the root was pinned", err, pinset.KindNotFound)
	for c, err := range s.Node.GC(within(t, patience)) {
		t.Errorf("a second gc found %s, %v", c, err)
	}
	unpin(t, s.Node, kept, pinset.Recursive)
	unpin(t, s.Node, root, pinset.Direct)
}
