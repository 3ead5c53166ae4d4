package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pinfold/pinfold/pinset"
)

func TestConfigurationComesFromFileThenEnvironmentThenFlags(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	text := "version = 1\nname = \"attic\"\ngive = \"500GB\"\ntags = [\"eu\", \"ssd\"]\n[network]\nmdns = false\nheartbeat = \"5s\"\n[tracker]\nconcurrency = 3\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PINFOLD_GIVE", "1TB")
	t.Setenv("PINFOLD_IPFS_AUTH", "bearer:secret")
	cfg, settings, err := Load(path, map[string]string{"tracker.concurrency": "5"})
	if err != nil {
		t.Fatal(err)
	}
	want := Defaults()
	want.Name, want.Give, want.Tags = "attic", 1e12, []string{"eu", "ssd"}
	want.Network.MDNS, want.Network.Heartbeat = false, 5*time.Second
	want.Tracker.Concurrency, want.IPFS.Auth = 5, "bearer:secret"
	if diff := cmp.Diff(want, cfg); diff != "" {
		t.Error(diff)
	}
	from := map[string]Source{}
	for _, s := range settings {
		from[s.Key] = s.Source
		if s.Key == "ipfs.auth" && s.Value != "(hidden)" {
			t.Errorf("ipfs.auth is shown as %q", s.Value)
		}
	}
	for key, want := range map[string]Source{"name": FromFile, "give": FromEnv, "tracker.concurrency": FromFlag, "region": FromDefault} {
		if from[key] != want {
			t.Errorf("%s: from %s, want %s", key, from[key], want)
		}
	}
}

func TestConfigurationMistakesAreNamed(t *testing.T) {
	for _, tc := range []struct{ name, text, want, hint string }{
		{"unknown key", "version = 1\nnmae = \"x\"\n", `unknown key "nmae"`, "name"},
		{"unknown section", "version = 1\n[ipsf]\nnode = \"kubo\"\n", `unknown key "ipsf.node"`, "ipfs.node"},
		{"no version", "name = \"x\"\n", "want version = 1", ""},
		{"newer version", "version = 2\n", "newer pinfold", ""},
		{"bad size", "version = 1\ngive = \"much\"\n", `give: size "much"`, ""},
		{"size without a unit", "version = 1\ngive = 5\n", "give 5 B: want at least 1.05 MB", ""},
		{"bad duration", "version = 1\n[tracker]\ngrace = \"1 day\"\n", "tracker.grace", ""},
		{"bad mode", "version = 1\n[ipfs]\nnode = \"kobo\"\n", `ipfs.node "kobo"`, "kubo"},
		{"bad bool", "version = 1\n[network]\nmdns = \"maybe\"\n", "want true or false", ""},
		{"float", "version = 1\n[tracker]\nconcurrency = 1.5\n", "tracker.concurrency", ""},
		{"not TOML", "version = ", "config.toml", ""},
	} {
		path := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := Load(path, nil)
		if err == nil || !strings.Contains(err.Error(), tc.want) || pinset.KindOf(err) != pinset.KindInvalid {
			t.Errorf("%s: got %v (kind %v), want an invalid error with %q", tc.name, err, pinset.KindOf(err).Info().Name, tc.want)
		}
		if !strings.Contains(pinset.HintOf(err), tc.hint) {
			t.Errorf("%s: hint %q, want %q in it", tc.name, pinset.HintOf(err), tc.hint)
		}
	}
}

func TestSavedConfigurationIsReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	cfg := Defaults()
	cfg.Name, cfg.Give, cfg.Tags, cfg.Household = `the "attic"`, 123456789, []string{"eu", "ssd"}, "home-3"
	cfg.IPFS.Node, cfg.IPFS.Auth, cfg.Network.Listen = "embedded", "basic:u:p", []string{"/ip4/127.0.0.1/tcp/0"}
	cfg.Tracker.Grace, cfg.API.Listen = time.Minute, ""
	if err := Save(path, cfg); err != nil {
		t.Fatal(err)
	}
	got, _, err := Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(cfg, got); diff != "" {
		t.Error(diff)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v: it may hold a secret", st.Mode(), err)
	}
}

// TestOperationsListsEveryKey keeps docs/operations.md true.
func TestOperationsListsEveryKey(t *testing.T) {
	doc, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range table() {
		if !strings.Contains(string(doc), "| `"+s.key+"` |") {
			t.Errorf("docs/operations.md does not list %s", s.key)
		}
	}
}
