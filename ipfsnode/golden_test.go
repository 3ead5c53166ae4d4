package ipfsnode

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/boxo/files"

	"github.com/pinfold/pinfold/pinset"
)

var kuboBinary = flag.String("kubo", "", "write testdata/add.golden anew with this Kubo 0.42 binary")

// golden is what Kubo printed for all cases: "case", "path" and "cid" in a line.
const golden = "testdata/add.golden"

// trees are made on disk, so that Kubo's command line can read them too.
func trees() map[string]func(dir string) error {
	one := func(b []byte) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, "one"), b, 0o600) }
	}
	return map[string]func(dir string) error{
		"empty":  one(nil),
		"hello":  one([]byte("hello\n")),
		"exact":  one(noise(10, 256<<10)),
		"medium": one(noise(11, 1<<20+7)),
		"zeros":  one(make([]byte, 3<<20)),
		"deep":   one(noise(12, 46<<20)), // more than 174 leaves
		"tree":   makeTree,
		"hamt":   makeWide,
	}
}

func makeTree(dir string) error {
	for name, b := range map[string][]byte{
		"a.txt": []byte("a"), "b/c.txt": []byte("c"), "b/d/e.bin": noise(13, 600<<10), "b/.hidden": []byte("h"),
		".config/x": []byte("x"), "ünï/ö ä.txt": []byte("u"), "again.txt": []byte("a"),
	} {
		path := filepath.Join(dir, "one", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return err
		}
	}
	if err := os.Symlink("../a.txt", filepath.Join(dir, "one/b/link")); err != nil {
		return err
	}
	return os.Mkdir(filepath.Join(dir, "one/nothing"), 0o700)
}

// makeWide makes a directory beyond the 256 KiB at which it is sharded, with one
// just below that beside it.
func makeWide(dir string) error {
	for sub, n := range map[string]int{"one": 3000, "one/below": 2600} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
		for i := range n {
			name := fmt.Sprintf("%s-%05d", strings.Repeat("long name ", 5), i)
			if err := os.WriteFile(filepath.Join(dir, sub, name), []byte(name), 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

type goldenCase struct {
	name string
	tree string
	opts pinset.AddOptions
	args []string // the same for `ipfs add`
}

func goldenCases() []goldenCase {
	yes, no := true, false
	kinds := []struct {
		name  string
		opts  pinset.AddOptions
		args  []string
		trees []string // empty: all
	}{
		{"v0", pinset.AddOptions{}, nil, nil},
		{"v1", pinset.AddOptions{CIDVersion: 1}, []string{"--cid-version=1"}, nil},
		{"v0-raw", pinset.AddOptions{RawLeaves: &yes}, []string{"--raw-leaves"}, nil},
		{"v1-noraw", pinset.AddOptions{CIDVersion: 1, RawLeaves: &no}, []string{"--cid-version=1", "--raw-leaves=false"}, nil},
		{"v0-wrap", pinset.AddOptions{Wrap: true}, []string{"-w"}, []string{"hello", "tree"}},
		{"v1-wrap-hidden", pinset.AddOptions{CIDVersion: 1, Wrap: true, Hidden: true}, []string{"--cid-version=1", "-w", "--hidden"}, []string{"hello", "tree"}},
		{"hidden", pinset.AddOptions{Hidden: true}, []string{"--hidden"}, []string{"tree"}},
		{"rabin", pinset.AddOptions{Chunker: "rabin-32768-65536-131072"}, []string{"--chunker=rabin-32768-65536-131072"}, []string{"medium", "zeros", "tree"}},
		{"rabin-plain", pinset.AddOptions{Chunker: "rabin"}, []string{"--chunker=rabin"}, []string{"medium"}},
		{"buzhash", pinset.AddOptions{CIDVersion: 1, Chunker: "buzhash"}, []string{"--cid-version=1", "--chunker=buzhash"}, []string{"medium", "zeros", "tree"}},
		{"size", pinset.AddOptions{Chunker: "size-1000"}, []string{"--chunker=size-1000"}, []string{"medium", "hello"}},
		{"size-max", pinset.AddOptions{CIDVersion: 1, Chunker: "size-1048576"}, []string{"--cid-version=1", "--chunker=size-1048576"}, []string{"deep"}},
	}
	var out []goldenCase
	for _, k := range kinds {
		for tree := range trees() {
			if len(k.trees) == 0 || slices.Contains(k.trees, tree) {
				out = append(out, goldenCase{k.name + "/" + tree, tree, k.opts, k.args})
			}
		}
	}
	slices.SortFunc(out, func(a, b goldenCase) int { return strings.Compare(a.name, b.name) })
	return out
}

func TestAddGivesKubosCIDs(t *testing.T) {
	dir := t.TempDir()
	for name, make := range trees() {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := make(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if *kuboBinary != "" {
		refreshGolden(t, dir)
	}
	want := readGolden(t)
	n := testNode(t)
	for _, tc := range goldenCases() {
		for _, hash := range []bool{true, false} {
			tc.opts.OnlyHash = hash
			got := addTree(t, n, filepath.Join(dir, tc.tree, "one"), tc.opts)
			if want := want[tc.name]; !slices.Equal(got, want) {
				t.Errorf("%s (only hash: %v):\n%s", tc.name, hash, firstDifference(got, want))
			}
		}
	}
}

// addTree adds a path, as `ipfs add -r path`, and returns sorted "path cid" lines.
func addTree(t *testing.T, n *Node, path string, opts pinset.AddOptions) []string {
	t.Helper()
	st, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := files.NewSerialFile(path, true, st)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	dir := files.NewSliceDirectory([]files.DirEntry{files.FileEntry("one", f)})
	for a, err := range n.Add(t.Context(), dir, opts, "golden") {
		if err != nil {
			t.Fatal(err)
		}
		if !tedious(a.Path) {
			out = append(out, a.Path+"\t"+a.CID.String())
		}
	}
	if last := out[len(out)-1]; opts.Wrap != strings.HasPrefix(last, "\t") {
		t.Errorf("last line %q, wrapped %v", last, opts.Wrap)
	}
	slices.Sort(out)
	return out
}

func firstDifference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			return fmt.Sprintf("line %d of %d:\n got %q\nwant %q", i, len(want), g, w)
		}
	}
	return ""
}

// tedious says that a path is one of thousands, whose CIDs their directory covers.
func tedious(path string) bool { return strings.Contains(path, "long name") }

// readGolden returns the lines of each case, sorted.
func readGolden(t *testing.T) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for line := range strings.Lines(string(b)) {
		name, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		out[name] = append(out[name], rest)
	}
	for _, lines := range out {
		slices.Sort(lines)
	}
	return out
}

func refreshGolden(t *testing.T, dir string) {
	t.Helper()
	env := append(os.Environ(), "IPFS_PATH="+t.TempDir())
	run := func(args ...string) []byte {
		t.Helper()
		cmd := exec.Command(*kuboBinary, args...)
		cmd.Env = env
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("ipfs %q: %v", args, err)
		}
		return out
	}
	run("init", "--profile=test")
	var b bytes.Buffer
	for _, tc := range goldenCases() {
		args := append([]string{"add", "-r", "--pin=false", "--progress=false"}, tc.args...)
		for line := range strings.Lines(string(run(append(args, filepath.Join(dir, tc.tree, "one"))...))) {
			_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			c, path, _ := strings.Cut(rest, " ")
			if !tedious(path) {
				fmt.Fprintf(&b, "%s\t%s\t%s\n", tc.name, path, c)
			}
		}
	}
	if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
