package httpproxy_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"github.com/pinfold/pinfold/ipfsclient/kubotest"
)

// rpcClient is the library by which web pages and desktop programs speak to Kubo.
const rpcClient = "kubo-rpc-client@6.1.0"

// install puts it into the cache, once. Without node and npm, or without a
// registry, the test is skipped with a word.
func install(t *testing.T) (dir string) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs node and npm; left out by -short")
	}
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not there: %v", tool, err)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(cache, "pinfold-test", strings.ReplaceAll(rpcClient, "@", "-"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	if err := lock.Lock(); err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	if _, err := os.Stat(filepath.Join(dir, "installed")); err == nil {
		return dir
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--silent", "--ignore-scripts", rpcClient)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("npm install %s: %v\n%s", rpcClient, err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "installed"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestKuboRPCClient makes the same calls at a Kubo and at the proxy.
func TestKuboRPCClient(t *testing.T) {
	dir := install(t)
	script := filepath.Join(dir, "calls.mjs") // beside the library, where node looks for it
	text, err := os.ReadFile("testdata/calls.mjs")
	if err == nil {
		err = os.WriteFile(script, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	run := func(api string) []string {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, "node", script, api)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return strings.Split(strings.TrimSpace(string(out)), "\n")
	}
	ref := kubotest.Start(t)
	ask(t, url(t, ref), request{path: "pin/rm?arg=" + emptied}) // a new repository pins it
	want, got := run(url(t, ref)), run(startPeer(t, kubotest.Start(t)).api)
	if len(want) < 25 || len(want) != len(got) {
		t.Fatalf("%d calls at Kubo, %d at the proxy, want at least 25", len(want), len(got))
	}
	failed := 0
	for i := range want {
		if want[i] != got[i] {
			t.Errorf("Kubo:  %s\nproxy: %s", cut(want[i]), cut(got[i]))
		}
		if strings.Contains(want[i], `"error"`) {
			failed++
		}
	}
	if failed > 3 {
		t.Errorf("%d of %d calls fail at Kubo: they show nothing", failed, len(want))
	}
}
