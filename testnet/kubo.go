package testnet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pinfold/pinfold/pinset"
)

// kubo is a real Kubo daemon on loopback that knows nobody but whom pinfold
// connects it to.
type kubo struct {
	api  string // multiaddress of its RPC
	cmd  *exec.Cmd
	exit chan error
}

func startKubo(ctx context.Context, repo string) (*kubo, error) {
	exe, err := exec.LookPath("ipfs")
	if err != nil {
		return nil, pinset.Wrap(pinset.KindUnavailable, err, "find Kubo's `ipfs` on the PATH")
	}
	env := append(os.Environ(), "IPFS_PATH="+repo, "IPFS_TELEMETRY=off")
	run := func(args ...string) error {
		cmd := exec.CommandContext(ctx, exe, args...)
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("ipfs %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
		return nil
	}
	if _, err := os.Stat(filepath.Join(repo, "config")); errors.Is(err, os.ErrNotExist) {
		for _, args := range [][]string{
			{"init", "--profile=test,autoconf-off"},
			{"bootstrap", "rm", "--all"},
			{"config", "Routing.Type", "none"},
			{"config", "Addresses.Gateway", "/ip4/127.0.0.1/tcp/0"},
			{"config", "Addresses.API", "/ip4/127.0.0.1/tcp/0"},
			{"config", "--json", "Addresses.Swarm", `["/ip4/127.0.0.1/tcp/0"]`},
			{"config", "--json", "Discovery.MDNS.Enabled", "false"},
		} {
			if err := run(args...); err != nil {
				return nil, err
			}
		}
	}
	os.Remove(filepath.Join(repo, "api")) // an earlier daemon's
	k := &kubo{cmd: exec.Command(exe, "daemon"), exit: make(chan error, 1)}
	k.cmd.Env, k.cmd.SysProcAttr = env, ownGroup()
	if err := k.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start Kubo: %w", err)
	}
	go func() { k.exit <- k.cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		if raw, err := os.ReadFile(filepath.Join(repo, "api")); err == nil && len(raw) > 0 {
			k.api = strings.TrimSpace(string(raw))
			return k, nil
		}
		select {
		case err := <-k.exit:
			return nil, fmt.Errorf("start Kubo in %s: it ended: %v", repo, err)
		case <-ctx.Done():
			k.cmd.Process.Kill()
			return nil, fmt.Errorf("start Kubo in %s: %w", repo, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (k *kubo) stop(ctx context.Context) error {
	k.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-k.exit:
		return nil
	case <-ctx.Done():
		return k.cmd.Process.Kill()
	}
}
