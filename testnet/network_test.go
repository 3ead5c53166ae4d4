package testnet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/ipfsclient/kubotest"
	"github.com/pinfold/pinfold/pinset"
	"github.com/pinfold/pinfold/testnet"
)

// exe is the program under test, built once.
var exe string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "pinfold-exe")
	if err == nil {
		exe = filepath.Join(dir, "pinfold")
		var out []byte
		if out, err = exec.Command("go", "build", "-o", exe, "..").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build pinfold:", err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// start runs a network in a directory with a short name: unix sockets want one.
func start(t *testing.T, opts testnet.Options) *testnet.Network {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes: left out by -short")
	}
	dir, err := os.MkdirTemp("", "pft")
	if err != nil {
		t.Fatal(err)
	}
	opts.Dir, opts.Exe, opts.Give = dir, exe, "10GB"
	n, err := testnet.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, p := range n.Peers() {
				log, _ := os.ReadFile(filepath.Join(p.Dir, "log"))
				t.Logf("log of %s:\n%s", p.Name, log[max(0, len(log)-8000):])
			}
		}
		if err := n.Close(); err != nil {
			t.Errorf("close the network: %v", err)
		}
	})
	return n
}

const patience = 60 * time.Second

// settled waits until every peer answers, all agree on count pins, and every CID
// has the copies it must have.
func settled(t *testing.T, n *testnet.Network, count int) {
	t.Helper()
	kubotest.Eventually(t, patience, fmt.Sprintf("all agree on %d pins that have their copies", count), func() error {
		digest := ""
		for _, p := range n.Peers() {
			a, err := p.Client().Agreement(t.Context())
			if err != nil {
				return err
			}
			if digest == "" {
				digest = a.Digest
			}
			if a.Digest != digest || a.Agree != len(n.Peers()) || int(a.Count) != count {
				return fmt.Errorf("%s: %+v, want digest %s", p.Name, a, digest)
			}
			for sum, err := range p.Client().StatusAll(t.Context(), client.StatusOptions{}) {
				if err != nil {
					return err
				}
				if sum.Short > 0 {
					return fmt.Errorf("%s: %s has %d copies, %d too few: %+v", p.Name, sum.CID, sum.Copies, sum.Short, sum.Holdings)
				}
			}
		}
		return nil
	})
}

// add brings content in at a peer and returns its CID.
func add(t *testing.T, p *testnet.Peer, content []byte, copies int) cid.Cid {
	t.Helper()
	dir := files.NewMapDirectory(map[string]files.Node{"f": files.NewBytesFile(content)})
	var root cid.Cid
	for a, err := range p.Client().Add(t.Context(), dir, pinset.AddOptions{}, pinset.Pin{Name: "f", Replication: pinset.Replication{Min: copies, Max: copies}}) {
		if err != nil {
			t.Fatalf("add at %s: %v", p.Name, err)
		}
		if a.CID.Defined() {
			root = a.CID
		}
	}
	return root
}

// read returns what a peer gives for a CID.
func read(ctx context.Context, p *testnet.Peer, c cid.Cid) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	body, _, err := p.Client().Read(ctx, c.String())
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

func allRead(t *testing.T, n *testnet.Network, c cid.Cid, want []byte) {
	t.Helper()
	for _, p := range n.Peers() {
		if got, err := read(t.Context(), p, c); err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %s at %s: %d bytes, %v, want %d bytes", c, p.Name, len(got), err, len(want))
		}
	}
}

func blob(i, size int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%d pinfold ", i), size/10)
}

func TestAddedDataSpreadsAndIsReadAnywhere(t *testing.T) {
	n := start(t, testnet.Options{Peers: 3})
	content := blob(1, 2_000_000)
	root := add(t, n.Peers()[0], content, 2)
	settled(t, n, 1)
	allRead(t, n, root, content)
}

func TestAnAddedFileIsSafeWhenItsAdderIsKilledAtOnce(t *testing.T) {
	n := start(t, testnet.Options{Peers: 2})
	adder := n.Peers()[0]
	content := blob(2, 3_000_000)
	root := add(t, adder, content, 2)
	if err := adder.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := adder.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for c, err := range adder.Client().GC(t.Context()) {
		if err != nil {
			t.Fatalf("collect garbage: %v (at %s)", err, c)
		}
	}
	settled(t, n, 1)
	allRead(t, n, root, content)
}

func TestASplitTakesPinsOnBothSidesAndHeals(t *testing.T) {
	n := start(t, testnet.Options{Peers: 3})
	p1, p3 := n.Peers()[0], n.Peers()[2]
	before := blob(7, 100_000)
	allRead(t, n, add(t, p3, before, 3), before) // now their IPFS nodes are connected
	if err := n.Cut(t.Context(), [][]string{{"p1", "p2"}, {"p3"}}); err != nil {
		t.Fatal(err)
	}
	here, there := blob(3, 100_000), blob(4, 100_000)
	a, b := add(t, p1, here, 2), add(t, p3, there, 2)
	for p, c := range map[*testnet.Peer]cid.Cid{p1: b, p3: a} {
		if _, _, err := p.Client().PinOf(t.Context(), c, ""); pinset.KindOf(err) != pinset.KindNotFound {
			t.Errorf("%s knows %s of the other side: %v", p.Name, c, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		if _, err := read(ctx, p, c); err == nil {
			t.Errorf("%s has read %s of the other side", p.Name, c)
		}
		cancel()
	}
	if err := n.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	settled(t, n, 3)
	allRead(t, n, a, here)
	allRead(t, n, b, there)
	for _, c := range []cid.Cid{a, b} {
		var want string
		for _, p := range n.Peers() {
			_, holders, err := p.Client().PinOf(t.Context(), c, "")
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(holders); want == "" {
				want = got
			} else if got != want {
				t.Errorf("allocation of %s at %s: %s, elsewhere %s", c, p.Name, got, want)
			}
		}
	}
}

// TestAcknowledgedPinsSurviveKill pins at one peer without pause, kills it again
// and again, and looks for every pin that was acknowledged.
func TestAcknowledgedPinsSurviveKill(t *testing.T) {
	n := start(t, testnet.Options{Peers: 2})
	victim := n.Peers()[1]
	var acknowledged []cid.Cid
	for round := range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan []cid.Cid)
		go func() { done <- pinUntil(ctx, victim, round) }()
		kubotest.Eventually(t, patience, "some pins are acknowledged", func() error {
			a, err := victim.Client().Agreement(t.Context())
			if err == nil && int(a.Count) < len(acknowledged)+20 {
				err = fmt.Errorf("%d pins", a.Count)
			}
			return err
		})
		if err := victim.Kill(); err != nil {
			t.Fatal(err)
		}
		cancel()
		acknowledged = append(acknowledged, <-done...)
		if err := victim.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, c := range acknowledged {
			if _, _, err := victim.Client().PinOf(t.Context(), c, ""); err != nil {
				t.Fatalf("round %d: acknowledged pin %s is lost: %v", round, c, err)
			}
		}
	}
	t.Logf("%d acknowledged pins, 5 kills, none lost", len(acknowledged))
}

func pinUntil(ctx context.Context, p *testnet.Peer, round int) (acknowledged []cid.Cid) {
	for i := 0; ctx.Err() == nil; i++ {
		h, err := multihash.Sum(fmt.Appendf(nil, "%d/%d", round, i), multihash.SHA2_256, -1)
		if err != nil {
			return acknowledged
		}
		c := cid.NewCidV1(cid.Raw, h)
		if _, _, err := p.Client().Pin(ctx, pinset.Pin{CID: c}, client.Wait{}); err == nil {
			acknowledged = append(acknowledged, c)
		}
	}
	return acknowledged
}

func TestASecondDaemonOnADirectoryIsRefused(t *testing.T) {
	n := start(t, testnet.Options{Peers: 1})
	out, err := exec.Command(exe, "--dir", n.Peers()[0].Dir, "up").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != pinset.KindConflict.Info().Exit || !bytes.Contains(out, []byte("runs on this directory already")) {
		t.Errorf("a second daemon: %v: %s", err, out)
	}
}

// TestKuboAndEmbeddedNodesExchangeData needs Kubo's binary on the PATH, which the
// test puts there.
func TestKuboAndEmbeddedNodesExchangeData(t *testing.T) {
	if testing.Short() {
		t.Skip("real Kubo: left out by -short")
	}
	bin := t.TempDir()
	if err := os.Symlink(kubotest.Binary(t), filepath.Join(bin, "ipfs")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	n := start(t, testnet.Options{Peers: 2, Kubo: true, KuboPeers: 1})
	first, second := n.Peers()[0], n.Peers()[1]
	a, b := blob(5, 1_500_000), blob(6, 1_500_000)
	fromKubo, fromEmbedded := add(t, first, a, 2), add(t, second, b, 2)
	settled(t, n, 2)
	allRead(t, n, fromKubo, a)
	allRead(t, n, fromEmbedded, b)
}
