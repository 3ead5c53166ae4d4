package httpapi

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/pinset"
)

var same = cmp.Options{cmpopts.IgnoreUnexported(pinset.Pin{}), cmp.Comparer(cid.Cid.Equals)}

func all[T any](t *testing.T, seq iter.Seq2[T, error]) (out []T) {
	t.Helper()
	for v, err := range seq {
		if err != nil {
			t.Fatalf("after %d elements: %v", len(out), err)
		}
		out = append(out, v)
	}
	return out
}

// TestConformance runs the client's methods against the server over both doors.
func TestConformance(t *testing.T) {
	for _, door := range []string{"socket", "tcp"} {
		t.Run(door, func(t *testing.T) {
			s := serve(t, Config{})
			c := client.New(s.socket, "")
			if door == "tcp" {
				c = client.New(s.tcp, "admin")
			}
			defer c.Close()
			t.Run("pins", func(t *testing.T) { conformPins(t, s, c) })
			t.Run("statuses", func(t *testing.T) { conformStatuses(t, s, c) })
			t.Run("members", func(t *testing.T) { conformMembers(t, s, c) })
			t.Run("data", func(t *testing.T) { conformData(t, s, c) })
			t.Run("errors", func(t *testing.T) { conformErrors(t, s, c) })
		})
	}
}

func conformPins(t *testing.T, s *served, c *client.Client) {
	ctx := context.Background()
	id := testPeer("origin")
	want := pinset.Pin{CID: testCID("x"), Owner: "zoë", Name: "a name & <more>", Mode: pinset.Direct, Replication: pinset.Replication{Min: 2, Max: 5}, Tags: []string{"eu", "ssd"},
		Include: []peer.ID{testPeer("bob")}, Origins: []string{"/ip4/1.2.3.4/tcp/4001/p2p/" + id.String()}, Metadata: map[string]string{"k&": "v=é", "two": ""},
		ExpireAt: time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)}
	got, receipt, err := c.Pin(ctx, want, client.Wait{})
	if err != nil {
		t.Fatal(err)
	}
	if time.Since(got.Created) > time.Minute || receipt.Seq == 0 || !receipt.Head.Equals(testCID("head")) || receipt.Author != testPeer("self") {
		t.Errorf("created %v, receipt %+v", got.Created, receipt)
	}
	want.Created = got.Created
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Errorf("pin (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(want, s.pins[want.Key()], same); diff != "" {
		t.Errorf("the cluster got (-want +got)\n%s", diff)
	}
	again, holders, err := c.PinOf(ctx, want.CID, "zoë")
	if err != nil || cmp.Diff(want, again, same) != "" || len(holders) != 2 {
		t.Errorf("PinOf: %v, %v, %s", err, holders, cmp.Diff(want, again, same))
	}
	if _, _, err := c.PinOf(ctx, want.CID, ""); pinset.KindOf(err) != pinset.KindNotFound {
		t.Errorf("the default owner's: %v", err)
	}
	plain := pinset.Pin{CID: testCID("x")}
	if plain, _, err = c.Pin(ctx, plain, client.Wait{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]pinset.Pin{plain, want}, all(t, c.Pins(ctx)), same); diff != "" {
		t.Errorf("list (-want +got)\n%s", diff)
	}
	gone, _, err := c.Unpin(ctx, pinset.Removal{CID: want.CID})
	if err != nil || gone.Owner != "" {
		t.Fatalf("unpin: %+v, %v", gone, err)
	}
	if _, ok := s.pins[want.Key()]; !ok {
		t.Error("the other owner's pin went too")
	}
	_, _, err = c.Unpin(ctx, pinset.Removal{CID: want.CID})
	if pinset.KindOf(err) != pinset.KindNotFound || pinset.HintOf(err) != "pinfold pin ls" {
		t.Errorf("second unpin: %v (hint %q)", err, pinset.HintOf(err))
	}
	s.files["/ipfs/"+testCID("dir").String()+"/a b/č"] = "data"
	at, _, err := c.PinPath(ctx, testCID("dir").String(), pinset.Pin{}, client.Wait{})
	if err != nil || !at.CID.Equals(testCID("dir")) {
		t.Errorf("pin by bare path: %v, %v", at.CID, err)
	}
	at, _, err = c.PinPath(ctx, "/ipfs/"+testCID("dir").String()+"/a b/č", pinset.Pin{}, client.Wait{})
	if err != nil || !at.CID.Equals(testCID("č")) {
		t.Errorf("pin by path: %v, %v", at.CID, err)
	}
	if _, _, err = c.PinPath(ctx, testCID("dir").String()+"/a b/no", pinset.Pin{}, client.Wait{}); pinset.KindOf(err) != pinset.KindNotFound {
		t.Errorf("pin by a path that is not: %v", err)
	}
}

func conformStatuses(t *testing.T, s *served, c *client.Client) {
	ctx := context.Background()
	clear(s.pins)
	if got := all(t, c.StatusAll(ctx, client.StatusOptions{})); len(got) != 0 {
		t.Errorf("empty list: %v", got)
	}
	p, _, err := c.Pin(ctx, pinset.Pin{CID: testCID("x"), Name: "n"}, client.Wait{})
	if err != nil {
		t.Fatal(err)
	}
	want, _ := s.Status(ctx, p.CID, false)
	got, err := c.Status(ctx, p.CID, false)
	if diff := cmp.Diff(want, got, same); err != nil || diff != "" {
		t.Errorf("status: %v (-want +got)\n%s", err, diff)
	}
	if got, err := c.Status(ctx, p.CID, true); err != nil || len(got.Holdings) != 1 {
		t.Errorf("local status: %v %v", got.Holdings, err)
	}
	if got, err := c.Recover(ctx, p.CID); err != nil || !got.CID.Equals(p.CID) {
		t.Errorf("recover: %v", err)
	}
	for _, row := range []struct {
		name string
		o    client.StatusOptions
		want int
	}{
		{"all", client.StatusOptions{}, 1},
		{"pinned", client.StatusOptions{Filter: "pinned"}, 1},
		{"error", client.StatusOptions{Filter: "error"}, 1},
		{"error, here", client.StatusOptions{Filter: "error", Local: true}, 0},
		{"short", client.StatusOptions{Filter: "short"}, 1},
		{"queued", client.StatusOptions{Filter: "queued"}, 0},
		{"queued or pinned", client.StatusOptions{Filter: "queued,pinned"}, 1},
		{"by cid", client.StatusOptions{CIDs: []cid.Cid{testCID("x"), testCID("y")}}, 2},
	} {
		if got := all(t, c.StatusAll(ctx, row.o)); len(got) != row.want {
			t.Errorf("%s: %d statuses, want %d", row.name, len(got), row.want)
		}
	}
	if got := all(t, c.RecoverAll(ctx, false)); len(got) != 1 {
		t.Errorf("recover all: %d left, want 1", len(got))
	}
	wantA, _ := s.Agreement(ctx)
	if a, err := c.Agreement(ctx); err != nil || cmp.Diff(wantA, a) != "" {
		t.Errorf("agreement: %+v, %v", a, err)
	}
	_, _, err = c.Pin(ctx, pinset.Pin{CID: testCID("x")}, client.Wait{Pinned: 1, Timeout: 30 * time.Millisecond})
	if pinset.KindOf(err) != pinset.KindTimeout || !strings.Contains(err.Error(), "pinned at 0 of 1 members") {
		t.Errorf("wait for a copy that does not come: %v", err)
	}
	changes := s.count()
	_, _, err = c.Pin(ctx, pinset.Pin{CID: testCID("x")}, client.Wait{Seen: 3})
	if pinset.KindOf(err) != pinset.KindConflict || !strings.Contains(err.Error(), "has 2 members") || s.count() != changes {
		t.Errorf("wait for more members than there are: %v, %d changes", err, s.count()-changes)
	}
	s.mu.Lock()
	s.copies = 2
	s.mu.Unlock()
	if _, _, err = c.Pin(ctx, pinset.Pin{CID: testCID("x")}, client.Wait{Pinned: 2, Seen: 1, Enough: true}); err != nil {
		t.Errorf("wait for copies that are there: %v", err)
	}
}

func conformMembers(t *testing.T, s *served, c *client.Client) {
	ctx := context.Background()
	if v, err := c.Version(ctx); v != "1.2.3" || err != nil {
		t.Errorf("version %q, %v", v, err)
	}
	want, _ := s.Self(ctx)
	self, err := c.Self(ctx)
	if err != nil || self.ClusterID != "bafycluster" || self.ClusterName != "home" || len(self.Sees) != 2 || cmp.Diff(want, self.Peer) != "" {
		t.Errorf("self: %+v, %v\n%s", self, err, cmp.Diff(want, self.Peer))
	}
	if diff := cmp.Diff(all(t, s.Peers(ctx)), all(t, c.Peers(ctx))); diff != "" {
		t.Errorf("peers (-want +got)\n%s", diff)
	}
	i, err := c.Invite(ctx)
	if wantI, _ := s.Invite(ctx); err != nil || cmp.Diff(wantI, i) != "" {
		t.Errorf("invite: %+v, %v", i, err)
	}
	if err := c.Join(ctx, "text", "bob", 500); err != nil || s.joined != "text/bob/500" {
		t.Errorf("join: %q, %v", s.joined, err)
	}
	if err := c.Join(ctx, " ", "bob", 500); pinset.KindOf(err) != pinset.KindInvalid {
		t.Errorf("join without an invite: %v", err)
	}
	if err := c.Leave(ctx); err != nil {
		t.Errorf("leave: %v", err)
	}
	if err := c.RemovePeer(ctx, testPeer("self")); err != nil {
		t.Errorf("remove oneself: %v", err)
	}
	if err := c.RemovePeer(ctx, testPeer("bob")); pinset.KindOf(err) != pinset.KindConflict || pinset.HintOf(err) == "" {
		t.Errorf("remove another: %v", err)
	}
	settings, err := c.Config(ctx)
	if err != nil || len(settings) != 1 || settings[0].Key != "give" {
		t.Errorf("config: %v, %v", settings, err)
	}
	sum, err := c.Capacity(ctx)
	if want, _ := s.Capacity(ctx); err != nil || cmp.Diff(want, sum) != "" {
		t.Errorf("capacity: %+v, %v", sum, err)
	}
	conformRuling(t, s, c)
	if warned, err := c.Set(ctx, map[string]string{"give": "2TB"}); err != nil || len(warned) != 1 || warned[0] != "set map[give:2TB]" {
		t.Errorf("set: %v, %v", warned, err)
	}
	if _, err := c.Set(ctx, nil); pinset.KindOf(err) != pinset.KindInvalid {
		t.Errorf("set nothing: %v", err)
	}
	s.entries = []pinset.HealthEntry{{Code: "ipfs-away", Severity: pinset.SeverityError, Title: "t", Detail: "d", Do: "do", Since: time.Unix(1e9, 0).UTC()}}
	defer func() { s.entries = nil }()
	ok, entries, err := c.Health(ctx)
	if ok || err != nil || cmp.Diff(s.entries, entries) != "" {
		t.Errorf("health: %v %+v %v", ok, entries, err)
	}
}

func conformData(t *testing.T, s *served, c *client.Client) {
	ctx := context.Background()
	clear(s.files)
	big := strings.Repeat("0123456789", 300_000)
	dir := files.NewMapDirectory(map[string]files.Node{
		"a b": files.NewBytesFile([]byte("first")),
		"d":   files.NewMapDirectory(map[string]files.Node{"č": files.NewBytesFile([]byte(big))}),
	})
	yes := true
	got := all(t, c.Add(ctx, dir, pinset.AddOptions{CIDVersion: 1, RawLeaves: &yes, Chunker: "size-1024", Name: "pile"}, pinset.Pin{Replication: pinset.Replication{Min: 1, Max: 1}}))
	want := []pinset.Added{{Path: "a b", CID: testCID("a b"), Size: 5}, {Path: "d/č", CID: testCID("d/č"), Size: uint64(len(big))}, {Path: "d", CID: testCID("d")}}
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Errorf("add (-want +got)\n%s", diff)
	}
	if s.files["d/č"] != big {
		t.Error("the file's content changed on its way")
	}
	root := testCID("root").String()
	s.files["/ipfs/"+root+"/a?b/č#"] = big
	body, size, err := c.Read(ctx, root+"/a?b/č#")
	if err != nil || size != int64(len(big)) {
		t.Fatalf("read: size %d, %v", size, err)
	}
	raw, err := io.ReadAll(body)
	if err != nil || string(raw) != big {
		t.Errorf("read %d bytes, %v", len(raw), err)
	}
	_ = body.Close()
	if _, _, err = c.Read(ctx, root); pinset.KindOf(err) != pinset.KindInvalid || !strings.Contains(pinset.HintOf(err), "format=tar") {
		t.Errorf("read a directory: %v", err)
	}
	archive, err := c.Tar(ctx, "/ipfs/"+root+"/a?b")
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	names := ""
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names += h.Name + " "
	}
	if names != "a?b a?b/č# " {
		t.Errorf("tar of %q", names)
	}
	links := all(t, c.List(ctx, root+"/a?b"))
	if len(links) != 1 || links[0].Name != "č#" || links[0].Size != uint64(len(big)) {
		t.Errorf("list: %v", links)
	}
	if keys := all(t, c.GC(ctx)); len(keys) != 2 || !keys[1].Equals(testCID("b")) {
		t.Errorf("gc: %v", keys)
	}
}

// conformErrors sees the kinds through, from single answers and from streams that
// fail before and after they began.
func conformErrors(t *testing.T, s *served, c *client.Client) {
	ctx := context.Background()
	fail := func(err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.err = err
	}
	defer fail(nil)
	for k := pinset.KindInternal; k <= pinset.KindTimeout; k++ {
		fail(pinset.Errorf(k, "store: broken").WithHint("mend it"))
		_, _, err := c.Pin(ctx, pinset.Pin{CID: testCID("x")}, client.Wait{})
		sameError(t, "pin", err, k)
		clear(s.pins)
		_, err = last(c.Pins(ctx))
		sameError(t, "list, at once", err, k)
		s.pins["x"] = pinset.Pin{CID: testCID("x")}
		n, err := last(c.Pins(ctx))
		sameError(t, "list, under way", err, k)
		if n != 1 {
			t.Errorf("%d pins came before the error, want 1", n)
		}
		n, err = last(c.GC(ctx))
		sameErrorGC(t, n, err, k)
	}
}

func sameErrorGC(t *testing.T, n int, err error, k pinset.Kind) {
	t.Helper()
	if n != 0 && n != 2 { // Self fails first here
		t.Errorf("%d keys", n)
	}
	sameError(t, "gc", err, k)
}

func last[T any](seq iter.Seq2[T, error]) (n int, err error) {
	for _, e := range seq {
		if e != nil {
			return n, e
		}
		n++
	}
	return n, nil
}

func sameError(t *testing.T, what string, err error, k pinset.Kind) {
	t.Helper()
	var mine *pinset.Error
	if !errors.As(err, &mine) || mine.Kind != k || mine.Hint != "mend it" || !strings.Contains(err.Error(), "store: broken") {
		t.Errorf("%s: %v (%s, hint %q), want store: broken (%s, hint \"mend it\")", what, err, pinset.KindOf(err).Info().Name, pinset.HintOf(err), k.Info().Name)
	}
}

func TestNobodyAnswers(t *testing.T) {
	s := serve(t, Config{})
	s.stop()
	for _, addr := range []string{s.socket, s.tcp} {
		_, err := client.New(addr, "").Version(context.Background())
		if pinset.KindOf(err) != pinset.KindUnavailable || !strings.Contains(pinset.HintOf(err), "pinfold up") || !strings.Contains(fmt.Sprint(err), addr) {
			t.Errorf("%s: %v (hint %q)", addr, err, pinset.HintOf(err))
		}
	}
}

func conformRuling(t *testing.T, s *served, c *client.Client) {
	ctx, bob := context.Background(), testPeer("bob")
	s.rulings = nil
	for what, err := range map[string]error{"drain": c.Drain(ctx, bob), "undrain": c.Undrain(ctx, bob), "role": c.SetRole(ctx, bob, "keeper")} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := c.SetRole(ctx, bob, ""); pinset.KindOf(err) != pinset.KindInvalid {
		t.Errorf("no role: %v", err)
	}
	if err := c.Replace(ctx, bob, testPeer("carol")); err != nil || s.rulings[len(s.rulings)-1] != "replace by "+testPeer("carol").String()+" "+bob.String() {
		t.Errorf("replace: %v, %v", s.rulings, err)
	}
	s.rulings = s.rulings[:len(s.rulings)-1]
	if err := errors.Join(c.Pause(ctx, 0), c.Pause(ctx, 2*time.Hour), c.Resume(ctx)); err != nil {
		t.Errorf("pause and resume: %v", err)
	}
	want, _ := s.Policy(ctx)
	if got, err := c.Policy(ctx); err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("policy: %v, %v", got, err)
	}
	if got, err := c.SetPolicy(ctx, map[string]string{"grace": "1h"}); err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("set policy: %v, %v", got, err)
	}
	if _, err := c.SetPolicy(ctx, nil); pinset.KindOf(err) != pinset.KindInvalid {
		t.Errorf("set no policy: %v", err)
	}
	slices.Sort(s.rulings)
	if diff := cmp.Diff([]string{"drain " + bob.String(), "map[grace:1h]", "pause 0s " + testPeer("self").String(), "pause 2h0m0s " + testPeer("self").String(), "resume " + testPeer("self").String(), "role keeper " + bob.String(), "undrain " + bob.String()}, s.rulings); diff != "" {
		t.Error(diff)
	}
}
