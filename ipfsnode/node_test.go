package ipfsnode

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/pinfold/pinfold/ipfsclient"
	"github.com/pinfold/pinfold/pinset"
)

var _ ipfsclient.Node = (*Node)(nil)

func everybody(peer.ID) bool { return true }

// testNode opens a node on loopback that serves everybody, and closes it at the end.
func testNode(t testing.TB, edit ...func(*Config)) *Node {
	t.Helper()
	cfg := Config{
		Dir:     t.TempDir(),
		Listen:  []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/tcp/0"), ma.StringCast("/ip4/127.0.0.1/udp/0/quic-v1")},
		Allowed: everybody,
	}
	for _, e := range edit {
		e(&cfg)
	}
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return n
}

// connect connects two nodes.
func connect(t testing.TB, a, b ipfsclient.Swarm) {
	t.Helper()
	id, err := b.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Connect(t.Context(), id.Addresses...); err != nil {
		t.Fatal(err)
	}
}

// noise is n bytes that are the same for the same seed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	rand.NewChaCha8(key).Read(b)
	return b
}

func file(b []byte) files.Directory {
	return files.NewSliceDirectory([]files.DirEntry{files.FileEntry("file", files.NewReaderFile(bytes.NewReader(b)))})
}

// add adds a tree and returns its last root.
func add(t testing.TB, n ipfsclient.Adder, dir files.Directory, opts pinset.AddOptions, pinName string) cid.Cid {
	t.Helper()
	var last cid.Cid
	for a, err := range n.Add(t.Context(), dir, opts, pinName) {
		if err != nil {
			t.Fatal(err)
		}
		last = a.CID
	}
	return last
}

func read(t testing.TB, n ipfsclient.Reader, path string) []byte {
	t.Helper()
	f, err := n.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(files.ToFile(f))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func collect(t testing.TB, n ipfsclient.Storage) int {
	t.Helper()
	count := 0
	for _, err := range n.GC(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		count++
	}
	return count
}

func used(t testing.TB, n ipfsclient.Storage) uint64 {
	t.Helper()
	st, err := n.RepoStat(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st.Used
}

func TestAddPinReadCollect(t *testing.T) {
	n := testNode(t)
	data := noise(1, 3<<20)
	root := add(t, n, file(data), pinset.AddOptions{}, "kept")
	loose := add(t, n, file(noise(2, 1<<20)), pinset.AddOptions{CIDVersion: 1}, "")

	p, err := n.PinOf(t.Context(), root)
	if err != nil || p.Name != "kept" || p.Mode != pinset.Recursive || !p.CID.Equals(root) {
		t.Errorf("PinOf = %+v, %v", p, err)
	}
	if _, err := n.PinOf(t.Context(), loose); pinset.KindOf(err) != pinset.KindNotFound {
		t.Errorf("PinOf a root without a pin: %v", err)
	}
	before := used(t, n)
	if got := collect(t, n); got != 5 { // 4 leaves and the root
		t.Errorf("collected %d blocks, want 5", got)
	}
	size, err := n.DAGSize(t.Context(), root, pinset.Recursive)
	if err != nil || size.Bytes != used(t, n) || size.Blocks != 13 || before <= size.Bytes {
		t.Errorf("size %+v, %v; used %d, before %d", size, err, used(t, n), before)
	}
	if kept, err := n.PinSize(t.Context(), root); err != nil || kept != size {
		t.Errorf("size with the pin %+v, %v; want %+v", kept, err, size)
	}
	if !bytes.Equal(read(t, n, root.String()), data) {
		t.Error("read something else")
	}
	if _, err := n.DAGSize(t.Context(), loose, pinset.Recursive); pinset.KindOf(err) != pinset.KindNotFound {
		t.Errorf("size of what was collected: %v", err)
	}
	if err := n.Unpin(t.Context(), root, pinset.Recursive); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, n); got != 13 || used(t, n) != 0 {
		t.Errorf("collected %d blocks, %d bytes left", got, used(t, n))
	}
}

func TestTwoNodesExchange(t *testing.T) {
	a, b := testNode(t), testNode(t)
	connect(t, b, a)
	data := noise(3, 20<<20)
	root := add(t, a, file(data), pinset.AddOptions{CIDVersion: 1}, "x")
	var last pinset.Progress
	calls := 0
	err := b.Pin(t.Context(), root, pinset.PinOptions{Name: "y", Progress: func(p pinset.Progress) {
		if p.Blocks != last.Blocks+1 {
			t.Errorf("progress %+v after %+v", p, last)
		}
		last, calls = p, calls+1
	}})
	if err != nil {
		t.Fatal(err)
	}
	if last.Blocks != 81 || last.Bytes != used(t, b) || calls != 81 {
		t.Errorf("%d calls, last %+v, used %d", calls, last, used(t, b))
	}
	if !bytes.Equal(read(t, b, "/ipfs/"+root.String()), data) {
		t.Error("read something else")
	}
}

func TestStrangersGetNothing(t *testing.T) {
	friend := testNode(t)
	stranger := testNode(t)
	a := testNode(t, func(c *Config) { c.Allowed = func(p peer.ID) bool { return p == friend.swarm.host.ID() } })
	root := add(t, a, file([]byte("for friends")), pinset.AddOptions{}, "x")
	connect(t, friend, a)
	connect(t, stranger, a)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- stranger.Pin(ctx, root, pinset.PinOptions{}) }()
	if err := friend.Pin(t.Context(), root, pinset.PinOptions{}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Errorf("a stranger's pin ended: %v", err)
	default:
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("a stranger pinned it")
	}
	if n := used(t, stranger); n != 0 {
		t.Errorf("a stranger has %d bytes", n)
	}
}

// Connections to members come back when they break, and are let go with the member.
func TestConnectionsToMembersAreKept(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a pause of some seconds before a new connection")
	}
	var allowed sync.Map
	a := testNode(t)
	b := testNode(t, func(c *Config) {
		c.Allowed = func(p peer.ID) bool { _, ok := allowed.Load(p); return ok }
	})
	other := a.swarm.host.ID()
	allowed.Store(other, true)
	connect(t, b, a)
	back := make(chan struct{}, 10)
	b.swarm.host.Network().Notify(&network.NotifyBundle{ConnectedF: func(network.Network, network.Conn) { back <- struct{}{} }})
	if err := b.swarm.host.Network().ClosePeer(other); err != nil {
		t.Fatal(err)
	}
	select {
	case <-back:
	case <-time.After(time.Minute):
		t.Error("not connected again")
	}
	b.swarm.forget()
	if !b.swarm.host.ConnManager().IsProtected(other, "") {
		t.Error("the connection to a member is not protected")
	}
	allowed.Delete(other)
	b.swarm.forget()
	if b.swarm.host.ConnManager().IsProtected(other, "") || len(b.swarm.peering.ListPeers()) != 0 {
		t.Error("a former member's connection is kept")
	}
}

func TestOneProcessAtATime(t *testing.T) {
	n := testNode(t)
	if _, err := New(Config{Dir: n.cfg.Dir}); pinset.KindOf(err) != pinset.KindUnavailable {
		t.Errorf("second node on one directory: %v", err)
	}
}

func TestKeyIsKept(t *testing.T) {
	dir := t.TempDir()
	var ids [2]peer.ID
	for i := range ids {
		n, err := New(Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = n.swarm.host.ID()
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "key"))
	if err != nil || info.Mode().Perm() != 0o600 || ids[0] != ids[1] {
		t.Errorf("identities %v, key %v, %v", ids, info.Mode(), err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	n := testNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- n.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestSparedDisk(t *testing.T) {
	n := testNode(t, func(c *Config) { c.Spare = 1 << 62 })
	for _, err := range n.Add(t.Context(), file([]byte("x")), pinset.AddOptions{}, "x") {
		if pinset.KindOf(err) != pinset.KindRefused || pinset.HintOf(err) == "" {
			t.Errorf("add to a disk without room: %v", err)
		}
	}
}

func TestPinRecords(t *testing.T) {
	n := testNode(t)
	want := map[string]bool{}
	for i := range 1000 {
		c := cid.NewCidV1(cid.Raw, mustHash(t, strconv.Itoa(i)))
		want[c.String()] = true
		err := n.db.Set(pinKey(c), pinRecord{cid: c, mode: pinset.Mode(i % 2), name: strings.Repeat("n", i%256), size: pinset.Progress{Blocks: uint64(i), Bytes: 1 << (i % 60)}}.encode(), pebble.NoSync)
		if err != nil {
			t.Fatal(err)
		}
		r, err := n.pins.get(c)
		if err != nil || r.mode != pinset.Mode(i%2) || len(r.name) != i%256 || r.size.Blocks != uint64(i) || r.size.Bytes != 1<<(i%60) {
			t.Fatalf("pin %d: %+v, %v", i, r, err)
		}
	}
	for p, err := range n.Pins(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		delete(want, p.CID.String())
	}
	if len(want) != 0 {
		t.Errorf("%d pins were not listed", len(want))
	}
	for _, torn := range [][]byte{nil, {1}, {2, 0, 0, 0}, {1, 0, 0x80, 0x80}, {1, 0, 0, 0x80}} {
		if _, err := decodePin(pinKey(cid.NewCidV1(cid.Raw, mustHash(t, "x"))), torn); err == nil {
			t.Errorf("read %x as a pin", torn)
		}
	}
}

// TestAFileWithoutANameIsNamedAsKuboDoes: its CID, in its directory too. The CIDs
// are those of Kubo v0.42.0 for `echo hi | ipfs add -w -`.
func TestAFileWithoutANameIsNamedAsKuboDoes(t *testing.T) {
	t.Parallel()
	n := testNode(t)
	const file, dir = "QmZLRFWaz9Kypt2ACNMDzA5uzACDRiCqwdkNSP1UZsu56D", "QmXHpyCooZTfGUctrK29UcVuDhW24LmaEnswqnQNc6Jh6T"
	stdin := files.NewSliceDirectory([]files.DirEntry{files.FileEntry("", files.NewBytesFile([]byte("hi\n")))})
	var got []string
	for a, err := range n.Add(t.Context(), stdin, pinset.AddOptions{Wrap: true}, "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, a.CID.String()+" "+a.Path)
	}
	if want := file + " " + file + "|" + dir + " "; strings.Join(got, "|") != want {
		t.Errorf("added %q, want %q", strings.Join(got, "|"), want)
	}
}
