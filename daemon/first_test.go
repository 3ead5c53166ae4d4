package daemon_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pinfold/pinfold/daemon"
)

// A Kubo that was found because of IPFS_PATH is the one of later starts, which may
// not have that in their environment.
func TestAKuboFoundByTheEnvironmentIsRemembered(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v0/version", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"Version":"0.42.0"}`))
	})
	mux.HandleFunc("POST /api/v0/id", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"ID":"12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"}`))
	})
	kubo := httptest.NewServer(mux)
	defer kubo.Close()
	host, port, _ := strings.Cut(kubo.Listener.Addr().String(), ":")
	api := "/ip4/" + host + "/tcp/" + port
	repo := t.TempDir()
	if err := os.WriteFile(filepath.Join(repo, "api"), []byte(api), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("IPFS_PATH", repo)
	dir := daemon.Dir(t.TempDir())
	if _, err := daemon.Init(t.Context(), daemon.Options{Dir: dir}, ""); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := daemon.Load(dir.Config(), nil)
	if err != nil || cfg.IPFS.Node != "kubo" || cfg.IPFS.API != api {
		t.Errorf("node %q at %q, %v; want the Kubo at %s", cfg.IPFS.Node, cfg.IPFS.API, err, api)
	}
}

// Whoever starts the peer with --give each time keeps the comments in the file.
func TestAFlagThatChangesNothingLeavesTheFileAlone(t *testing.T) {
	dir := daemon.Dir(t.TempDir())
	mine := "version = 1\nname = \"attic\"\ngive = \"1GB\" # until the new disk is here\n\n[ipfs]\nnode = \"embedded\"\n"
	if err := os.WriteFile(dir.Config(), []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		give string
		same bool
	}{{"1GB", true}, {"2GB", false}} {
		_, _ = daemon.Init(t.Context(), daemon.Options{Dir: dir, Flags: map[string]string{"give": tc.give}}, "") // the second is refused, having settled
		got, err := os.ReadFile(dir.Config())
		if err != nil || (string(got) == mine) != tc.same {
			t.Errorf("--give %s: %v, the file is\n%s", tc.give, err, got)
		}
	}
	cfg, _, err := daemon.Load(dir.Config(), nil)
	if err != nil || cfg.Give != 2e9 {
		t.Errorf("give is %d, %v; want 2 GB", cfg.Give, err)
	}
}
