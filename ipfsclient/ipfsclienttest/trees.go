package ipfsclienttest

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/pinset"
)

// Tree is something to add: one named file or directory.
type Tree struct {
	Name string
	Make func() files.Directory
}

// Noise returns n bytes that do not repeat and are the same for one seed.
func Noise(seed string, n int) []byte {
	out := make([]byte, n)
	rand.NewChaCha8(sha256.Sum256([]byte(seed))).Read(out)
	return out
}

func file(name string, content []byte) func() files.Directory {
	return func() files.Directory {
		return files.NewMapDirectory(map[string]files.Node{name: files.NewBytesFile(content)})
	}
}

// tree makes a directory named "top" from paths and their contents; a path that
// ends in / is an empty directory, a content that begins with -> a link.
func tree(paths map[string]string) func() files.Directory {
	return func() files.Directory {
		return files.NewMapDirectory(map[string]files.Node{"top": below("", paths)})
	}
}

func below(prefix string, paths map[string]string) files.Directory {
	entries := map[string]files.Node{}
	for p, content := range paths {
		rest, ok := strings.CutPrefix(p, prefix)
		if !ok || rest == "" {
			continue
		}
		name, _, isDir := strings.Cut(rest, "/")
		target, isLink := strings.CutPrefix(content, "->")
		switch {
		case isDir:
			entries[name] = below(prefix+name+"/", paths)
		case isLink:
			entries[name] = files.NewSymlinkFile(target, time.Time{})
		default:
			entries[name] = files.NewBytesFile([]byte(content))
		}
	}
	return files.NewMapDirectory(entries)
}

// Trees are what is added with each of Variants.
func Trees() []Tree {
	many := map[string]string{}
	for i := range 3000 { // beyond 256 KiB of names and links: sharded
		many[fmt.Sprintf("%s-%04d", strings.Repeat("long name ", 6), i)] = fmt.Sprint(i % 7)
	}
	return []Tree{
		{"empty-file", file("empty", nil)},
		{"small-file", file("hello.txt", []byte("hello, pinfold\n"))},
		{"one-chunk", file("chunk", Noise("one", 262144))},
		{"one-chunk-and-a-byte", file("chunk", Noise("one", 262145))},
		{"big-file", file("big", Noise("big", 5<<20))},
		{"zeroes", file("zeroes", make([]byte, 3<<20))},
		{"empty-dir", tree(map[string]string{"": ""})},
		{"nested", tree(map[string]string{
			"a/b/c/d/e/f/g": "deep", "a/b/x": "x", "a/empty/": "", "again/b/x": "x", "z": strings.Repeat("z", 5000)})},
		{"names", tree(map[string]string{
			"Grüße.txt": "ü", "日本語/羊.txt": "羊", "🐑": "sheep", "with space": "1", "100%": "2", "a%2Fb": "3", `quo"te`: "4",
			"plus+and&?#": "5", "back\\slash": "6", "e\u0301": "decomposed", "\u00e9": "composed", "new\nline": "7"})},
		{"hidden", tree(map[string]string{".git/config": "c", ".dot": "d", "seen/.below": "b", "seen/it": "i", "a.b": "ab"})},
		{"links", tree(map[string]string{"to": "->file", "dangling": "->../nowhere/ü", "file": "f"})},
		{"sharded-dir", tree(many)},
	}
}

// Variant is a way to add.
type Variant struct {
	Name    string
	Flags   []string // of ipfs add, for the same
	Options pinset.AddOptions
}

// Variants are the ways in which Trees are added.
func Variants() []Variant {
	yes, no := true, false
	return []Variant{
		{"v0", nil, pinset.AddOptions{}},
		{"v1", []string{"--cid-version=1"}, pinset.AddOptions{CIDVersion: 1}},
		{"v0-raw", []string{"--raw-leaves"}, pinset.AddOptions{RawLeaves: &yes}},
		{"v1-no-raw", []string{"--cid-version=1", "--raw-leaves=false"}, pinset.AddOptions{CIDVersion: 1, RawLeaves: &no}},
		{"v0-wrap", []string{"--wrap-with-directory"}, pinset.AddOptions{Wrap: true}},
		{"v1-wrap-hidden", []string{"--cid-version=1", "-w", "--hidden"}, pinset.AddOptions{CIDVersion: 1, Wrap: true, Hidden: true}},
		{"v0-hidden", []string{"--hidden"}, pinset.AddOptions{Hidden: true}},
		{"v0-size-1024", []string{"--chunker=size-1024"}, pinset.AddOptions{Chunker: "size-1024"}},
		{"v1-size-1048576", []string{"--cid-version=1", "--chunker=size-1048576"}, pinset.AddOptions{CIDVersion: 1, Chunker: "size-1048576"}},
		{"v1-rabin", []string{"--cid-version=1", "--chunker=rabin"}, pinset.AddOptions{CIDVersion: 1, Chunker: "rabin"}},
		{"v0-rabin-min-avg-max", []string{"--chunker=rabin-16384-65536-131072"}, pinset.AddOptions{Chunker: "rabin-16384-65536-131072"}},
		{"v1-buzhash", []string{"--cid-version=1", "--chunker=buzhash"}, pinset.AddOptions{CIDVersion: 1, Chunker: "buzhash"}},
	}
}

//go:embed golden.txt
var goldenText []byte

// Golden returns the root CIDs that `ipfs add` of Kubo gave, by tree and variant:
// "big-file v0".
func Golden() map[string]cid.Cid {
	out := map[string]cid.Cid{}
	for line := range bytes.Lines(goldenText) {
		f := strings.Fields(string(line))
		if len(f) == 3 && f[0] != "#" {
			out[f[0]+" "+f[1]] = cid.MustParse(f[2])
		}
	}
	return out
}
