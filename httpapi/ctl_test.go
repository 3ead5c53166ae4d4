package httpapi

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pinfold/pinfold/pinset"
)

// TestClusterCtl runs ipfs-cluster's own command line against the server, where
// the machine has it.
func TestClusterCtl(t *testing.T) {
	ctl, err := exec.LookPath("ipfs-cluster-ctl")
	if err != nil {
		t.Skip("no ipfs-cluster-ctl in PATH")
	}
	s := serve(t, Config{})
	s.entries = []pinset.HealthEntry{{Code: "ipfs-away", Severity: pinset.SeverityError, Title: "t", Since: time.Unix(1.7e9, 0)}}
	host, port, _ := net.SplitHostPort(strings.TrimPrefix(s.tcp, "http://"))
	id := testCID("x").String()
	s.files["/ipfs/"+id+"/a"] = "data"
	file := filepath.Join(t.TempDir(), "hello.txt")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	self := testPeer("self").String()
	for _, row := range []struct {
		args string
		fail bool
		says []string
	}{
		{"id", false, []string{self, "me", "Sees 1 other peers"}},
		{"version", false, []string{"1.2.3"}},
		{"peers ls", false, []string{self, "bob", "Sees 1 other peers"}},
		{"pin add --name holiday --rmin 2 --rmax 3 --metadata k=v --mode direct --expire-in 48h --allocations " + self + " --no-status " + id, false, []string{id, "holiday", "2--3", "Direct", "Metadata: yes"}},
		{"pin add --wait-timeout 1s --no-status /ipfs/" + id + "/a", false, []string{testCID("a").String()}},
		{"pin ls", false, []string{id, self, testPeer("bob").String()}},
		{"pin ls " + id, false, []string{id}},
		{"pin ls --filter all", false, []string{id}},
		{"pin update " + id + " " + testCID("y").String(), true, []string{"pin-update"}},
		{"status " + id, false, []string{"me", "PINNED", "bob", "PIN_ERROR", "no provider", "Attempts: 3"}},
		{"status", false, []string{id}},
		{"status --filter pinned,error --local", false, []string{id}},
		{"status --filter queued", false, nil},
		{"recover " + id, false, []string{"PINNED"}},
		{"recover", false, []string{id}},
		{"health graph", false, []string{testPeer("bob").String()}},
		{"health metrics", false, []string{"ping", "freespace"}},
		{"health metrics freespace", false, []string{"70 B"}},
		{"health alerts", false, []string{"ipfs-away"}},
		{"add " + file, false, []string{"added", testCID("hello.txt").String(), "hello.txt"}},
		{"add --cid-version 1 --name n -w --no-stream " + file, false, []string{"hello.txt"}},
		{"ipfs gc", false, []string{testCID("a").String(), testCID("b").String()}},
		{"pin rm " + id, false, []string{id}},
		{"pin rm " + id, true, []string{"not in the pinset", "404"}},
		{"peers rm " + testPeer("bob").String(), true, []string{"409"}},
		{"pin add --rmin 5 --rmax 3 --no-status " + id, true, []string{"replication"}},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		args := append([]string{"--host", "/ip4/" + host + "/tcp/" + port, "--basic-auth", "me:admin", "--force-http"}, strings.Fields(row.args)...)
		out, err := exec.CommandContext(ctx, ctl, args...).CombinedOutput()
		cancel()
		if (err != nil) != row.fail {
			t.Errorf("%s: %v\n%s", row.args, err, out)
		}
		for _, word := range row.says {
			if !strings.Contains(string(out), word) {
				t.Errorf("%s: no %q in\n%s", row.args, word, out)
			}
		}
	}
}
