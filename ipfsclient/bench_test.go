package ipfsclient_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipfs/boxo/files"

	"github.com/pinfold/pinfold/ipfsclient"
	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/ipfsclient/kubotest"
	"github.com/pinfold/pinfold/pinset"
)

const benchSize = 256 << 20

// BenchmarkAdd brings 256 MiB that the node does not have yet into a real Kubo:
// through the client, and with `ipfs add` of the file itself.
func BenchmarkAdd(b *testing.B) {
	d := kubotest.Start(b)
	c, err := ipfsclient.New(ipfsclient.Config{API: d.API})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	runs := 0
	file := filepath.Join(b.TempDir(), "big")
	fresh := func() {
		runs++
		if err := os.WriteFile(file, ipfsclienttest.Noise(fmt.Sprint("bench", runs), benchSize), 0o600); err != nil {
			b.Fatal(err)
		}
		d.Run("repo", "gc", "-q") // what earlier runs left
	}
	for _, tc := range []struct {
		name string
		run  func()
	}{
		{"client", func() { addFile(b, c, file, "") }},
		{"client pinned", func() { addFile(b, c, file, "bench") }},
		{"ipfs add", func() { d.Run("add", "-Q", "--pin=false", file) }},
		{"ipfs add pinned", func() { d.Run("add", "-Q", "--pin=true", file) }},
	} {
		b.Run(tc.name, func(b *testing.B) {
			b.SetBytes(benchSize)
			for b.Loop() {
				b.StopTimer()
				fresh()
				b.StartTimer()
				tc.run()
			}
		})
	}
}

func addFile(b *testing.B, c *ipfsclient.Client, path, pinName string) pinset.Added {
	b.Helper()
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	var last pinset.Added
	dir := files.NewMapDirectory(map[string]files.Node{"big": files.NewReaderFile(f)})
	for a, err := range c.Add(b.Context(), dir, pinset.AddOptions{}, pinName) {
		if err != nil {
			b.Fatal(err)
		}
		last = a
	}
	return last
}

// BenchmarkDAGSize counts the blocks of 256 MiB: in one file, and in many.
func BenchmarkDAGSize(b *testing.B) {
	d := kubotest.Start(b)
	c, err := ipfsclient.New(ipfsclient.Config{API: d.API})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	content := ipfsclienttest.Noise("dag size", benchSize)
	for _, chunker := range []string{"size-262144", "size-16384"} {
		var root pinset.Added
		dir := files.NewMapDirectory(map[string]files.Node{"big": files.NewReaderFile(bytes.NewReader(content))})
		for a, err := range c.Add(b.Context(), dir, pinset.AddOptions{Chunker: chunker}, "bench") {
			if err != nil {
				b.Fatal(err)
			}
			root = a
		}
		b.Run(chunker, func(b *testing.B) {
			b.SetBytes(benchSize)
			for b.Loop() {
				if _, err := c.DAGSize(b.Context(), root.CID, pinset.Recursive); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPins lists pins of a real Kubo, and looks single ones up.
func BenchmarkPins(b *testing.B) {
	d := kubotest.Start(b)
	c, err := ipfsclient.New(ipfsclient.Config{API: d.API})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	const pins = 2000
	var entries []files.DirEntry
	for i := range pins {
		entries = append(entries, files.FileEntry(fmt.Sprint(i), files.NewBytesFile(fmt.Appendf(nil, "pin %d", i))))
	}
	var last pinset.Added
	for a, err := range c.Add(b.Context(), files.NewSliceDirectory(entries), pinset.AddOptions{CIDVersion: 1}, "pinfold:0123456789abcdef bench") {
		if err != nil {
			b.Fatal(err)
		}
		last = a
	}
	b.Run("list 2000", func(b *testing.B) {
		for b.Loop() {
			n := 0
			for _, err := range c.Pins(b.Context()) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			if n < pins { // a new Kubo has pinned the empty directory
				b.Fatalf("%d pins, want %d", n, pins)
			}
		}
	})
	b.Run("look up", func(b *testing.B) {
		for b.Loop() {
			if _, err := c.PinOf(b.Context(), last.CID); err != nil {
				b.Fatal(err)
			}
		}
	})
}
