package ipfsclient_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/ipfsclient"
	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/ipfsclient/kubotest"
	"github.com/pinfold/pinfold/pinset"
)

// What only a real Kubo can show, beyond the suite.

func TestKuboOverUnixSocket(t *testing.T) {
	d := kubotest.Start(t, kubotest.Unix(t))
	if !strings.HasPrefix(d.API, "/unix/") {
		t.Fatalf("rpc at %s", d.API)
	}
	c := client(t, d)
	id, err := c.Identity(t.Context())
	if err != nil || id.Peer.String() != d.ID {
		t.Errorf("identity %+v, %v; want %s", id, err, d.ID)
	}
	content := ipfsclienttest.Noise(t.Name(), 1<<20)
	root := addOne(t, c, content, "by socket")
	f, err := c.Open(t.Context(), root.CID.String())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f.(files.File)); err != nil || string(got) != string(content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func addOne(t *testing.T, c *ipfsclient.Client, content []byte, pinName string) pinset.Added {
	t.Helper()
	var last pinset.Added
	dir := files.NewMapDirectory(map[string]files.Node{"f": files.NewBytesFile(content)})
	for a, err := range c.Add(t.Context(), dir, pinset.AddOptions{}, pinName) {
		if err != nil {
			t.Fatal(err)
		}
		last = a
	}
	return last
}

func TestKuboAuthorizations(t *testing.T) {
	d := kubotest.Start(t, kubotest.Set("API.Authorizations", map[string]any{
		"alice": map[string]any{"AuthSecret": "bearer:open sesame", "AllowedPaths": []string{"/api/v0"}},
		"bob":   map[string]any{"AuthSecret": "basic:bob:pass:word", "AllowedPaths": []string{"/api/v0"}},
		"carol": map[string]any{"AuthSecret": "bearer:id only", "AllowedPaths": []string{"/api/v0/id", "/api/v0/repo/stat"}},
	}))
	for _, tc := range []struct {
		auth        string
		identity    error
		pins        error
		freeUnknown bool
	}{
		{"bearer:open sesame", nil, nil, false},
		{"basic:bob:pass:word", nil, nil, false},
		{"bearer:id only", nil, ipfsclient.ErrAuth, true},
		{"bearer:wrong", ipfsclient.ErrAuth, ipfsclient.ErrAuth, false},
		{"", ipfsclient.ErrAuth, ipfsclient.ErrAuth, false},
	} {
		c, err := ipfsclient.New(ipfsclient.Config{API: d.API, Auth: tc.auth})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Identity(t.Context()); !errors.Is(err, tc.identity) {
			t.Errorf("%q identity: %v, want %v", tc.auth, err, tc.identity)
		}
		var last error
		for _, err := range c.Pins(t.Context()) {
			last = err
		}
		if !errors.Is(last, tc.pins) {
			t.Errorf("%q pins: %v, want %v", tc.auth, last, tc.pins)
		}
		if tc.identity == nil {
			if stat, err := c.RepoStat(t.Context()); err != nil || (stat.Free == 0) != tc.freeUnknown {
				t.Errorf("%q repo stat: %+v, %v", tc.auth, stat, err)
			}
		}
		c.Close()
	}
}

// A Kubo whose owner imports in another way gives the same CIDs to us.
func TestKuboWithItsOwnImportDefaults(t *testing.T) {
	d := kubotest.Init(t)
	d.Run("config", "profile", "apply", "unixfs-v1-2025")
	d.Start()
	c := client(t, d)
	golden := ipfsclienttest.Golden()
	for _, tree := range ipfsclienttest.Trees()[:11] { // how it shards directories cannot be said in a call
		for _, v := range ipfsclienttest.Variants()[:2] {
			var last pinset.Added
			for a, err := range c.Add(t.Context(), tree.Make(), v.Options, "") {
				if err != nil {
					t.Fatal(err)
				}
				last = a
			}
			if want := golden[tree.Name+" "+v.Name]; last.CID != want {
				t.Errorf("%s %s: %s, want %s", tree.Name, v.Name, last.CID, want)
			}
		}
	}
}

func TestKuboGoesAndComes(t *testing.T) {
	d := kubotest.Start(t)
	c := client(t, d)
	root := addOne(t, c, []byte("kept over a power cut"), "kept")
	missing := ipfsclienttest.CID(1)
	done := make(chan error, 1)
	progressing := make(chan struct{})
	go func() {
		close(progressing)
		done <- c.Pin(t.Context(), missing, pinset.PinOptions{})
	}()
	<-progressing
	kubotest.Eventually(t, 20*time.Second, "the pin is under way", func() error {
		if out := d.Run("diag", "cmds"); !strings.Contains(out, "pin/add") || !strings.Contains(out, "true") {
			return errors.New(out)
		}
		return nil
	})
	d.Kill()
	if err := <-done; pinset.KindOf(err) != pinset.KindUnavailable {
		t.Errorf("pin at a node that was killed: %v", err)
	}
	if _, err := c.PinOf(t.Context(), root.CID); !errors.Is(err, ipfsclient.ErrNobody) {
		t.Errorf("asked a node that is gone: %v", err)
	}
	d.Start()
	c = client(t, d) // on another port
	p, err := c.PinOf(t.Context(), root.CID)
	if err != nil || p != (pinset.NodePin{CID: root.CID, Name: "kept"}) {
		t.Errorf("after the power cut: %+v, %v", p, err)
	}
}

// Kubo drops the pin first and fetches then: whoever pins again what is pinned
// and is stopped has no pin any more. This is why the tracker looks before it pins.
func TestKuboDropsThePinItReplaces(t *testing.T) {
	here, there := kubotest.Start(t), kubotest.Start(t)
	c := client(t, here)
	var root pinset.Added
	for a, err := range client(t, there).Add(t.Context(), ipfsclienttest.Trees()[7].Make(), pinset.AddOptions{CIDVersion: 1}, "there") {
		if err != nil {
			t.Fatal(err)
		}
		root = a
	}
	kubotest.Connect(t, here, there)
	if err := c.Pin(t.Context(), root.CID, pinset.PinOptions{Name: "mine"}); err != nil {
		t.Fatal(err)
	}
	there.Kill()
	loseBlock(t, here, 5000)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := c.Pin(ctx, root.CID, pinset.PinOptions{Name: "again"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("pin of a DAG that nobody has whole: %v", err)
	}
	if _, err := c.PinOf(t.Context(), root.CID); pinset.KindOf(err) != pinset.KindNotFound {
		t.Errorf("the pin that was replaced: %v", err)
	}
}

// loseBlock removes the block of size bytes from a daemon's disk, behind its back.
func loseBlock(t *testing.T, d *kubotest.Daemon, size int64) {
	t.Helper()
	lost := 0
	err := filepath.WalkDir(filepath.Join(d.Repo, "blocks"), func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if info, err := e.Info(); err == nil && info.Size() == size {
			lost++
			return os.Remove(p)
		}
		return nil
	})
	if err != nil || lost != 1 {
		t.Fatalf("lost %d blocks of %d bytes, %v", lost, size, err)
	}
}

func TestKuboIsDetected(t *testing.T) {
	d := kubotest.Start(t)
	t.Setenv("IPFS_PATH", d.Repo)
	cfg, err := ipfsclient.Detect(t.Context())
	if err != nil || cfg.API != d.API {
		t.Errorf("%+v, %v; want %s", cfg, err, d.API)
	}
}

func TestKuboRepoStat(t *testing.T) {
	d := kubotest.Start(t, kubotest.Set("Datastore.StorageMax", "77GB"))
	stat, err := client(t, d).RepoStat(t.Context())
	if err != nil || stat.Max != 77e9 || stat.Used == 0 || stat.Free == 0 {
		t.Errorf("%+v, %v", stat, err)
	}
	if _, err := os.Stat(d.Repo); err != nil {
		t.Fatal(err)
	}
	if avail := available(t, d.Repo); avail != 0 && (stat.Free > avail+1<<30 || stat.Free+1<<30 < avail) {
		t.Errorf("free %d, the file system says %d", stat.Free, avail)
	}
}

// Garbage is collected all the time while an add goes on, in one file and in many:
// what was acknowledged is whole, the owner's pins stay, and nothing else is pinned.
func TestKuboAddSurvivesCollection(t *testing.T) {
	d := kubotest.Start(t)
	c := client(t, d)
	owners := addOne(t, c, ipfsclienttest.Noise("owner", 300_000), "")
	if err := c.Pin(t.Context(), owners.CID, pinset.PinOptions{Name: "the owner's"}); err != nil {
		t.Fatal(err)
	}
	before := pinsByName(t, c)
	ctx, stop := context.WithCancel(t.Context())
	collected := make(chan int, 1)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			for _, err := range c.GC(ctx) {
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		}
		collected <- n
	}()
	want := map[string][]byte{"long": ipfsclienttest.Noise("long", 20<<20), "owner's": ipfsclienttest.Noise("owner", 300_000)}
	for i := range 150 { // more than one request's
		want[fmt.Sprintf("small-%03d", i)] = ipfsclienttest.Noise(fmt.Sprint(i), 1000)
	}
	var entries []files.DirEntry
	for _, name := range slices.Sorted(maps.Keys(want)) {
		entries = append(entries, files.FileEntry(name, files.NewReaderFile(&slowly{r: bytes.NewReader(want[name])})))
	}
	roots := map[string]cid.Cid{}
	for a, err := range c.Add(t.Context(), files.NewSliceDirectory(entries), pinset.AddOptions{}, "ours") {
		if err != nil {
			t.Fatal(err)
		}
		roots[a.Path] = a.CID
	}
	stop()
	if n := <-collected; n < 2 {
		t.Errorf("collected %d times only", n)
	}
	for range c.GC(t.Context()) {
	}
	for name, content := range want {
		f, err := c.Open(t.Context(), roots[name].String())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := io.ReadAll(f.(files.File)); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		f.Close()
	}
	after := pinsByName(t, c)
	before["ours"] = len(want) - 1
	if !maps.Equal(before, after) {
		t.Errorf("pins by name %v, want %v", after, before)
	}
}

func pinsByName(t *testing.T, c *ipfsclient.Client) map[string]int {
	t.Helper()
	out := map[string]int{}
	for p, err := range c.Pins(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		out[p.Name]++
	}
	return out
}

// slowly gives little at a time, so that much else happens meanwhile.
type slowly struct{ r io.Reader }

func (s *slowly) Read(p []byte) (int, error) {
	runtime.Gosched()
	return s.r.Read(p[:min(len(p), 16<<10)])
}

// What a Kubo got from a friend's Kubo is told from what strangers gave it.
func TestKuboExchanged(t *testing.T) {
	a, b, stranger := kubotest.Start(t), kubotest.Start(t), kubotest.Start(t)
	ca, cb, cs := client(t, a), client(t, b), client(t, stranger)
	friend, err := peer.Decode(a.ID)
	if err != nil {
		t.Fatal(err)
	}
	if x, err := cb.Exchanged(t.Context(), []peer.ID{friend}); err != nil || x != (pinset.Exchange{}) {
		t.Errorf("at first: %+v, %v", x, err)
	}
	kubotest.Connect(t, b, a)
	kubotest.Connect(t, b, stranger)
	for _, c := range []struct {
		from *ipfsclient.Client
		size int
	}{{ca, 2 << 20}, {cs, 1 << 20}} {
		root := addOne(t, c.from, ipfsclienttest.Noise(fmt.Sprint("exchanged", c.size), c.size), "")
		if err := cb.Pin(t.Context(), root.CID, pinset.PinOptions{Name: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	kubotest.Eventually(t, 30*time.Second, "Kubo has counted", func() error {
		x, err := cb.Exchanged(t.Context(), []peer.ID{friend})
		if err != nil {
			return err
		}
		near := func(got, want uint64) bool { return got >= want && got < want+want/20 }
		if !near(x.FromMembers, 2<<20) || !near(x.FromOthers, 1<<20) {
			return fmt.Errorf("%+v", x)
		}
		return nil
	})
}
