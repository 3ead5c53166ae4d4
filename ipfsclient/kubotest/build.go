package kubotest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/gofrs/flock"
)

// Version of Kubo that is built, as kubo/go.mod names it.
const Version = "v0.42.0"

// Binary returns the path of a Kubo, which it builds if that was not done before.
// It skips the test under -short.
func Binary(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real Kubo; left out by -short")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatalf("find cache directory: %v", err)
	}
	goVersion, _, _ := strings.Cut(runtime.Version(), " ") // "go1.26.4 X:…"
	dir := filepath.Join(cache, "pinfold-test", "kubo-"+Version+"-"+goVersion)
	bin := filepath.Join(dir, "ipfs")
	if runtime.GOOS == "windows" {
		bin += ".exe"
	}
	if err := buildOnce(dir, bin); err != nil {
		t.Fatalf("build Kubo %s (tests without it: go test -short): %v", Version, err)
	}
	return bin
}

func buildOnce(dir, bin string) error {
	if _, err := os.Stat(bin); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	defer lock.Unlock()
	if _, err := os.Stat(bin); err == nil {
		return nil // by the one we waited for
	}
	src, err := moduleDir()
	if err != nil {
		return err
	}
	part := bin + ".part"
	cmd := exec.Command("go", "build", "-C", src, "-trimpath", "-o", part, "github.com/ipfs/kubo/cmd/ipfs")
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return os.Rename(part, bin)
}

// moduleDir finds the nested module: beside this file, or below the module that
// the test runs in, where file names were trimmed.
func moduleDir() (string, error) {
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(file), "kubo")
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
		return dir, nil
	}
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find module: %w", err)
	}
	return filepath.Join(filepath.Dir(strings.TrimSpace(string(out))), "ipfsclient", "kubotest", "kubo"), nil
}
