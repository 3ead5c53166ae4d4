package ipfsclienttest

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

func suiteGolden(t *testing.T, s suite) {
	golden := Golden()
	for _, tree := range Trees() {
		for _, v := range Variants() {
			t.Run(tree.Name+" "+v.Name, func(t *testing.T) {
				root := add(t, s.Node, tree.Make(), v.Options, "")
				if want := golden[tree.Name+" "+v.Name]; root.CID != want {
					t.Errorf("root %s, ipfs add says %s", root.CID, want)
				}
			})
		}
	}
}

func suiteOnlyHash(t *testing.T, s suite) {
	opts := pinset.AddOptions{CIDVersion: 1, Wrap: true, OnlyHash: true}
	_, want := oracle(t, oneFile(t, "f", 600_000), opts)
	root := add(t, s.Node, oneFile(t, "f", 600_000), opts, "not pinned").CID
	if root != want[len(want)-1].CID {
		t.Errorf("root %s, want %s", root, want[len(want)-1].CID)
	}
	wantNoPin(t, s.Node, root)
	_, err := s.Node.DAGSize(within(t, patience), root, pinset.Recursive)
	wantKind(t, "size of what was only hashed", err, pinset.KindNotFound)
}

func suiteAddOrder(t *testing.T, s suite) {
	nested := tree(map[string]string{"a/b/c": "1", "a/b/d": "2", "a/e/": "", "f": string(Noise(t.Name(), 400_000))})
	for _, wrap := range []bool{false, true} {
		_, all := oracle(t, nested(), pinset.AddOptions{Wrap: wrap})
		want := map[string]pinset.Added{}
		for _, a := range all {
			want[a.Path] = a
		}
		seen := map[string]bool{}
		for _, a := range addAll(t, s.Node, nested(), pinset.AddOptions{Wrap: wrap}, "") {
			if a != want[a.Path] {
				t.Errorf("wrap %v: %+v, want %+v", wrap, a, want[a.Path])
			}
			for earlier := range seen {
				if earlier == "" || a.Path == earlier || strings.HasPrefix(a.Path, earlier+"/") {
					t.Errorf("wrap %v: %q after %q", wrap, a.Path, earlier)
				}
			}
			seen[a.Path] = true
		}
		if len(seen) != len(want) {
			t.Errorf("wrap %v: %d entries, want %d", wrap, len(seen), len(want))
		}
	}
}

func suiteAddProgress(t *testing.T, s suite) {
	const size = 2<<20 + 17
	var last uint64
	beats := 0
	for _, a := range addAll(t, s.Node, oneFile(t, "f", size), pinset.AddOptions{Progress: true}, "") {
		if a.CID.Defined() {
			continue
		}
		beats++
		if a.Path != "f" || a.Bytes < last {
			t.Errorf("progress %+v after %d bytes", a, last)
		}
		last = a.Bytes
	}
	if last != size || beats < 4 {
		t.Errorf("progress ended at %d of %d bytes after %d steps", last, size, beats)
	}
}

func suiteAddPins(t *testing.T, s suite) {
	dir := treeFor(t)()
	var root cid.Cid
	for a, err := range s.Node.Add(within(t, patience), dir, pinset.AddOptions{CIDVersion: 1}, "mine ü") {
		if err != nil {
			t.Fatal(err)
		}
		if a.Path == "top" { // pinned already when it is yielded
			wantPin(t, s.Node, pinset.NodePin{CID: a.CID, Name: "mine ü"})
			root = a.CID
		}
	}
	if got, err := s.Node.DAGSize(within(t, patience), root, pinset.Recursive); err != nil || got.Bytes < 3<<20 {
		t.Errorf("size of what was added: %+v, %v", got, err)
	}
	add(t, s.Node, treeFor(t)(), pinset.AddOptions{CIDVersion: 1}, "mine ü") // once more: the same
	wantPin(t, s.Node, pinset.NodePin{CID: root, Name: "mine ü"})
	unpin(t, s.Node, root, pinset.Recursive)
}

// What the node's owner pinned stays as it is when we add the same.
func suiteAddOwners(t *testing.T, s suite) {
	root := add(t, s.Node, oneFile(t, "f", 1000), pinset.AddOptions{}, "").CID
	pin(t, s.Node, root, pinset.PinOptions{Name: "the owner's"})
	add(t, s.Node, oneFile(t, "f", 1000), pinset.AddOptions{}, "ours")
	wantPin(t, s.Node, pinset.NodePin{CID: root, Name: "the owner's"})
	unpin(t, s.Node, root, pinset.Recursive)

	pin(t, s.Node, root, pinset.PinOptions{Mode: pinset.Direct, Name: "the owner's"})
	var last error
	for _, err := range s.Node.Add(within(t, patience), oneFile(t, "f", 1000), pinset.AddOptions{}, "ours") {
		last = err
	}
	wantKind(t, "add of what is pinned directly", last, pinset.KindConflict)
	wantPin(t, s.Node, pinset.NodePin{CID: root, Mode: pinset.Direct, Name: "the owner's"})
	unpin(t, s.Node, root, pinset.Direct)
}

func suiteAddSeveral(t *testing.T, s suite) {
	several := files.NewSliceDirectory([]files.DirEntry{
		files.FileEntry("one", files.NewBytesFile(Noise(t.Name()+"1", 1000))),
		files.FileEntry(".named", files.NewBytesFile(Noise(t.Name()+"2", 1000))),
		files.FileEntry("dir", below("", map[string]string{"f": t.Name(), ".hidden": "h"})),
	})
	roots := map[string]cid.Cid{}
	for _, a := range addAll(t, s.Node, several, pinset.AddOptions{}, "each") {
		roots[a.Path] = a.CID
	}
	if _, ok := roots["dir/.hidden"]; ok || len(roots) != 4 {
		t.Errorf("added %v", roots)
	}
	for _, p := range []string{"one", ".named", "dir"} {
		wantPin(t, s.Node, pinset.NodePin{CID: roots[p], Name: "each"})
		unpin(t, s.Node, roots[p], pinset.Recursive)
	}
	wantNoPin(t, s.Node, roots["dir/f"])
}

func suiteAddLeft(t *testing.T, s suite) {
	var file, dir closes
	source := closingDir{files.NewMapDirectory(map[string]files.Node{
		"long": &closingFile{files.NewReaderFile(strings.NewReader(strings.Repeat("endless", 10<<20))), &file}}), &dir}
	for _, err := range s.Node.Add(within(t, patience), source, pinset.AddOptions{Progress: true}, "never") {
		if err != nil {
			t.Error(err)
		}
		break
	}
	if file == 0 || dir == 0 {
		t.Errorf("file closed %d times, directory %d times", file, dir)
	}
	for p, err := range s.Node.Pins(within(t, patience)) {
		if err != nil || p.Name == "never" {
			t.Errorf("pinned after all: %+v, %v", p, err)
		}
	}
}

// closes counts.
type closes int

type closingFile struct {
	files.File
	closed *closes
}

func (c *closingFile) Close() error {
	*c.closed++
	return c.File.Close()
}

type closingDir struct {
	files.Directory
	closed *closes
}

func (c closingDir) Close() error {
	*c.closed++
	return c.Directory.Close()
}

func suiteAddBroken(t *testing.T, s suite) {
	boom := errors.New("the disk broke")
	source := io.MultiReader(strings.NewReader(strings.Repeat("x", 700_000)), iotest.ErrReader(boom))
	dir := files.NewMapDirectory(map[string]files.Node{"f": files.NewReaderFile(source)})
	var last error
	for a, err := range s.Node.Add(within(t, patience), dir, pinset.AddOptions{}, "never") {
		if last = err; err == nil {
			t.Errorf("added %+v", a)
		}
	}
	if !errors.Is(last, boom) {
		t.Errorf("add of a broken source: %v, want it to wrap %q", last, boom)
	}
}

func suiteAddNothing(t *testing.T, s suite) {
	var last error
	for a, err := range s.Node.Add(within(t, patience), files.NewMapDirectory(nil), pinset.AddOptions{}, "never") {
		if last = err; err == nil {
			t.Errorf("added %+v", a)
		}
	}
	wantKind(t, "add of nothing", last, pinset.KindInvalid)
	for _, o := range []pinset.AddOptions{{CIDVersion: 2}, {Chunker: "size-"}, {Chunker: "knife"}} {
		last = nil
		for _, err := range s.Node.Add(within(t, patience), oneFile(t, "f", 10), o, "") {
			last = err
		}
		wantKind(t, "add with options that do not exist", last, pinset.KindInvalid)
	}
}
