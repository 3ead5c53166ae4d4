package ipfsnode

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"

	"github.com/pinfold/pinfold/ipfsnode/store"
	"github.com/pinfold/pinfold/pinset"
)

const childEnv = "PINFOLD_IPFSNODE_CHILD"

// TestMain is also the program of the children that the crash tests kill.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := child(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child does what it reads from its input, a word in a line, on the node in dir, and
// says "at" now and then and "done" once it is acknowledged:
//
//	connect ADDR | add SEED SIZE | pin CID | unpin CID | gc
func child(dir string) error {
	n, err := New(Config{Dir: dir, Allowed: everybody, Blockstore: os.Getenv(childEnv + "_STORE")})
	if err != nil {
		return err
	}
	defer n.Close()
	fmt.Println("ready")
	ctx := context.Background()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		verb, rest, _ := strings.Cut(in.Text(), " ")
		out, err := "", error(nil)
		switch verb {
		case "connect":
			err = n.Connect(ctx, rest)
		case "add":
			out, err = childAdd(ctx, n, rest)
		case "pin", "unpin":
			var c cid.Cid
			if c, err = cid.Decode(rest); err == nil && verb == "pin" {
				err = n.Pin(ctx, c, pinset.PinOptions{Name: "pinned", Progress: func(p pinset.Progress) { fmt.Println("at", p.Blocks) }})
			} else if err == nil {
				err = n.Unpin(ctx, c, pinset.Recursive)
			}
		case "gc":
			for _, err = range n.GC(ctx) {
				fmt.Println("at", verb)
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", verb, err)
		}
		fmt.Println("done", verb, rest, out)
	}
	return nil
}

func childAdd(ctx context.Context, n *Node, args string) (string, error) {
	var seed uint64
	var size int
	if _, err := fmt.Sscan(args, &seed, &size); err != nil {
		return "", err
	}
	var last cid.Cid
	for a, err := range n.Add(ctx, file(noise(seed, size)), pinset.AddOptions{CIDVersion: 1, Progress: true}, "added") {
		if err != nil {
			return "", err
		}
		fmt.Println("at", a.Bytes)
		last = a.CID
	}
	return last.String(), nil
}

// process is a running child.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
}

func startChild(t *testing.T, dir, kind string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir, childEnv+"_STORE="+kind)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd, in, make(chan string, 1000)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-read
	})
	if line, ok := p.next(t); !ok || line != "ready" {
		t.Fatalf("child says %q", line)
	}
	return p
}

func (p *process) next(t *testing.T) (string, bool) {
	t.Helper()
	select {
	case line, ok := <-p.lines:
		if strings.HasPrefix(line, "error") {
			t.Fatalf("child: %s", line)
		}
		return line, ok
	case <-time.After(2 * time.Minute):
		t.Fatal("child says nothing")
		return "", false
	}
}

// kill kills the child and returns what it had acknowledged and nobody had read.
func (p *process) kill(t *testing.T) (rest []string) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for line := range p.lines {
		rest = append(rest, line)
	}
	_ = p.cmd.Wait() // killed
	return rest
}

// wholePins checks that every pin of a node has all its blocks, with their right
// bytes, and that the count of bytes is that of the disk.
func wholePins(t *testing.T, n *Node) map[string]string {
	t.Helper()
	pinned := map[string]string{}
	for p, err := range n.Pins(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		pinned[p.CID.String()] = p.Name
		if _, err := n.DAGSize(t.Context(), p.CID, p.Mode); err != nil {
			t.Errorf("pinned but not there: %v", err)
			continue
		}
		f, err := n.Open(t.Context(), p.CID.String())
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := io.ReadAll(f.(files.File))
		if err != nil {
			t.Errorf("read %s: %v", p.CID, err)
		}
		again, err := onlyHash(t.Context(), n, got)
		if err != nil || !again.Equals(p.CID) {
			t.Errorf("pin %s holds the bytes of %s, %v", p.CID, again, err)
		}
	}
	return pinned
}

func onlyHash(ctx context.Context, n *Node, b []byte) (c cid.Cid, err error) {
	for a, err := range n.Add(ctx, file(b), pinset.AddOptions{CIDVersion: 1, OnlyHash: true}, "") {
		if err != nil {
			return c, err
		}
		c = a.CID
	}
	return c, nil
}

// TestKilled kills a node at some moment of adding, pinning, unpinning and
// collecting, again and again on one directory.
func TestKilled(t *testing.T) {
	for _, kind := range []string{store.Flatfs, store.Badger} {
		t.Run(kind, func(t *testing.T) { testKilled(t, kind) })
	}
}

func testKilled(t *testing.T, kind string) {
	dir := t.TempDir()
	source := testNode(t)
	id, err := source.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var remote []string
	for i := range 6 {
		remote = append(remote, add(t, source, file(noise(uint64(500+i), 2<<20)), pinset.AddOptions{CIDVersion: 1}, "x").String())
	}
	want := map[string]string{} // acknowledged pins
	for round := range 6 {
		p := startChild(t, dir, kind)
		script := []string{"connect " + id.Addresses[0]}
		for i := range 6 {
			script = append(script, fmt.Sprintf("add %d %d", 100*round+i, 1<<20+i), "pin "+remote[i], "gc", "unpin "+remote[i], "pin "+remote[(i+1)%6])
		}
		if _, err := io.WriteString(p.in, strings.Join(script, "\n")+"\n"); err != nil {
			t.Fatal(err)
		}
		var said []string
		for range 5 + 17*round { // progress counts: often in the middle of something
			line, ok := p.next(t)
			if !ok {
				break
			}
			said = append(said, line)
		}
		said = slices.DeleteFunc(append(said, p.kill(t)...), func(s string) bool { return !strings.HasPrefix(s, "done") })
		maybe := acknowledged(want, said, script)
		n, err := New(Config{Dir: dir, Blockstore: kind})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		got := wholePins(t, n)
		for c, name := range want {
			if got[c] != name && c != maybe {
				t.Errorf("round %d: lost the acknowledged pin %s", round, c)
			}
		}
		for c := range got {
			if want[c] == "" && got[c] != "added" && c != maybe {
				t.Errorf("round %d: a pin that was let go is back: %s", round, c)
			}
		}
		want = got
		if kind == store.Flatfs {
			checkCount(t, n)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(want) == 0 {
		t.Error("nothing was pinned in all rounds")
	}
}

// acknowledged applies what a child said to the pins that must be there, and returns
// the CID of the pin or unpin that was cut off, whose outcome is open.
func acknowledged(pins map[string]string, said, script []string) (open string) {
	for _, line := range said {
		words := strings.Fields(line)
		switch words[1] {
		case "add":
			pins[words[len(words)-1]] = "added"
		case "pin":
			pins[words[2]] = "pinned"
		case "unpin":
			delete(pins, words[2])
		}
	}
	if len(said) < len(script) {
		if verb, c, _ := strings.Cut(script[len(said)], " "); verb == "pin" || verb == "unpin" {
			return c
		}
	}
	return ""
}

// checkCount compares the count of bytes with the files.
func checkCount(t *testing.T, n *Node) {
	t.Helper()
	if err := n.store.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	var sum int64
	err := filepath.WalkDir(filepath.Join(n.cfg.Dir, "blocks"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".data" {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	if got := n.store.Used(); err != nil || got != uint64(sum) {
		t.Errorf("counted %d bytes, on disk are %d, %v", got, sum, err)
	}
}

// A pin that is cancelled or killed goes on from what it has.
func TestPinResumes(t *testing.T) {
	source := testNode(t)
	dir := t.TempDir()
	data := noise(7, 8<<20)
	root := add(t, source, file(data), pinset.AddOptions{CIDVersion: 1}, "x")
	n := testNode(t, func(c *Config) { c.Dir = dir })
	connect(t, n, source)
	ctx, cancel := context.WithCancel(t.Context())
	err := n.Pin(ctx, root, pinset.PinOptions{Progress: func(p pinset.Progress) {
		if p.Blocks == 10 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled pin: %v", err)
	}
	if _, err := n.PinOf(t.Context(), root); pinset.KindOf(err) != pinset.KindNotFound {
		t.Errorf("a cancelled pin is there: %v", err)
	}
	have := used(t, n)
	if have < 5*256<<10 {
		t.Errorf("only %d bytes were kept", have)
	}
	before, err := source.swarm.bitswap.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Pin(t.Context(), root, pinset.PinOptions{}); err != nil {
		t.Fatal(err)
	}
	after, err := source.swarm.bitswap.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if again := after.DataSent - before.DataSent; again > uint64(len(data))-have+40*256<<10 {
		t.Errorf("had %s bytes, fetched %d of %d again", strconv.FormatUint(have, 10), again, len(data))
	}
	if !bytes.Equal(read(t, n, root.String()), data) {
		t.Error("read something else")
	}
}
