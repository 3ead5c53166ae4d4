package daemon_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/pinset"
)

// export returns the lines, and the digest that the last one has.
func (p *rigPeer) export(t *testing.T) (lines []byte, digest string) {
	t.Helper()
	var last []byte
	for line, err := range p.Export(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		last = bytes.Clone(line)
		lines = append(append(lines, line...), '\n')
	}
	var end struct{ Digest string }
	if err := json.Unmarshal(last, &end); err != nil || end.Digest == "" {
		t.Fatalf("the last line: %s, %v", last, err)
	}
	return lines, end.Digest
}

func (p *rigPeer) takeIn(t *testing.T, lines []byte, o pinset.ImportOptions) pinset.Import {
	t.Helper()
	out, err := p.Import(t.Context(), bytes.NewReader(lines), o)
	if err != nil {
		t.Fatal(err)
	}
	out.By = ""
	return out
}

// TestAPinsetMovesToAFreshCluster: what is exported here and imported there has one
// digest; twice changes nothing, and what was interrupted goes on.
func TestAPinsetMovesToAFreshCluster(t *testing.T) {
	const pins = 1200 // more than two deltas
	r := newRig(t, 1, nil)
	old := r.peers[0]
	for i := range pins {
		p := pinNumber(i)
		if i%7 == 0 {
			p.Owner, p.Mode, p.Tags, p.Metadata = "zoë", pinset.Direct, []string{"eu"}, map[string]string{"k": "\"v\" <č>"}
			p.Replication, p.ExpireAt = pinset.Replication{Min: 2, Max: 5}, time.Now().Add(1000*time.Hour)
		}
		if _, _, err := old.Pin(t.Context(), p, client.Wait{}); err != nil {
			t.Fatal(err)
		}
	}
	lines, digest := old.export(t)
	fresh := newRig(t, 1, nil).peers[0]
	want := pinset.Import{DryRun: true, Lines: pins, Added: pins, BadLines: []pinset.BadLine{}, Source: "pinfold", Signed: true}
	if diff := cmp.Diff(want, fresh.takeIn(t, lines, pinset.ImportOptions{DryRun: true})); diff != "" {
		t.Errorf("dry (-want +got)\n%s", diff)
	}
	if a, err := fresh.Agreement(t.Context()); err != nil || a.Count != 0 {
		t.Fatalf("a dry run pinned %d, %v", a.Count, err)
	}
	part := lines[:len(lines)/2] // breaks off in the middle of a line
	if got := fresh.takeIn(t, part, pinset.ImportOptions{}); got.Bad != 1 && got.Bad != 2 || got.Signed || got.Added == 0 {
		t.Errorf("half of it: %+v", got)
	}
	got := fresh.takeIn(t, lines, pinset.ImportOptions{})
	if got.Added+got.Same != pins || got.Same == 0 || got.Added == 0 || got.Bad != 0 || !got.Signed || got.Member {
		t.Errorf("the rest: %+v", got)
	}
	want.DryRun, want.Added, want.Same = false, 0, pins
	if diff := cmp.Diff(want, fresh.takeIn(t, lines, pinset.ImportOptions{})); diff != "" {
		t.Errorf("again (-want +got)\n%s", diff)
	}
	again, other := fresh.export(t)
	if other != digest {
		t.Errorf("digest %s there, %s here", other, digest)
	}
	if a, b := strings.Split(string(lines), "\n"), strings.Split(string(again), "\n"); !slices.Equal(a[1:len(a)-2], b[1:len(b)-2]) {
		t.Error("the lines of the pins differ")
	}
	// What is there and differs stays, unless it is to be replaced.
	p := pinNumber(1)
	p.Name = "changed there"
	if _, _, err := fresh.Pin(t.Context(), p, client.Wait{}); err != nil {
		t.Fatal(err)
	}
	if got := fresh.takeIn(t, lines, pinset.ImportOptions{}); got.Kept != 1 || got.Same != pins-1 || got.Changed != 0 {
		t.Errorf("over a change: %+v", got)
	}
	if got := fresh.takeIn(t, lines, pinset.ImportOptions{Replace: true}); got.Kept != 0 || got.Changed != 1 {
		t.Errorf("over a change, replacing: %+v", got)
	}
	if _, other = fresh.export(t); other != digest {
		t.Error("after replacing, the digests differ")
	}
}

// TestAPinsetOfIPFSClusterComesIn: the JSON lines of ipfs-cluster-service 1.1.6.
func TestAPinsetOfIPFSClusterComesIn(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "ipfs-cluster-1.1.6.json"))
	if err != nil {
		t.Fatal(err)
	}
	p := newRig(t, 1, nil).peers[0]
	got := p.takeIn(t, raw, pinset.ImportOptions{})
	want := pinset.Import{Lines: 6, Added: 4, Expired: 1, Dropped: 1, Bad: 1, Source: "ipfs-cluster"}
	bad := got.BadLines
	got.BadLines = nil
	if diff := cmp.Diff(want, got); diff != "" || len(bad) != 1 || bad[0].Line != 5 || !strings.Contains(bad[0].Error, "clusterdag-pin") {
		t.Errorf("(-want +got)\n%s\n%+v", diff, bad)
	}
	var have []string
	for q, err := range p.Pins(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		have = append(have, fmt.Sprint(q.Name, " ", q.Mode, " ", q.Replication, " ", q.Metadata, " ", len(q.Include), " ", q.Origins, " ", q.Created.Format(time.RFC3339)))
	}
	slices.Sort(have)
	wanted := []string{
		" direct {1 2} map[] 0 [] 2025-06-01T10:00:03Z",
		"everywhere recursive {-1 -1} map[] 0 [/ip4/203.0.113.7/tcp/4001/p2p/12D3KooWMsqgMrqqNqZ2jfB3vAiRnUWSw1DqH9iDK5qKrJERddhX] 2025-06-01T10:00:02Z",
		"holiday recursive {0 0} map[album:2024 by:ann] 0 [] 2025-06-01T10:00:00Z",
		"till the end recursive {2 3} map[] 0 [] 2025-06-01T10:00:01Z",
	}
	if diff := cmp.Diff(wanted, have); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	want = pinset.Import{Lines: 6, Same: 4, Expired: 1, Bad: 1, Source: "ipfs-cluster"}
	got = p.takeIn(t, raw, pinset.ImportOptions{})
	got.BadLines = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("again (-want +got)\n%s", diff)
	}
}
