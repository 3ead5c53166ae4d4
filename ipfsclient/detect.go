package ipfsclient

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Detect looks for a Kubo where one usually is: at the address in $IPFS_PATH/api,
// in ~/.ipfs/api, and at DefaultAPI. It returns the configuration of the first
// that can be used. When there is one that cannot (it wants a secret, is too old,
// is something else), the configuration is its, with the error that says why;
// when nobody listens anywhere, the error wraps ErrNobody.
func Detect(ctx context.Context) (Config, error) {
	var found Config
	var why error
	for _, api := range usualAddresses() {
		cfg := Config{API: api}
		err := probe(ctx, cfg)
		switch {
		case err == nil:
			return cfg, nil
		case ctx.Err() != nil:
			return Config{}, context.Cause(ctx)
		case why == nil, errors.Is(why, ErrNobody) && !errors.Is(err, ErrNobody):
			found, why = cfg, err
		}
	}
	if errors.Is(why, ErrNobody) {
		found = Config{}
	}
	return found, why
}

func probe(ctx context.Context, cfg Config) error {
	cfg.Dial, cfg.Silence = 2*time.Second, 5*time.Second
	c, err := New(cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Identity(ctx)
	return err
}

// usualAddresses reads the files in which a running Kubo leaves its address. A
// daemon that died leaves it as well, so they are only candidates.
func usualAddresses() []string {
	var dirs, out []string
	if dir := os.Getenv("IPFS_PATH"); dir != "" {
		dirs = append(dirs, dir)
	}
	if home, err := os.UserHomeDir(); err == nil {
		dirs = append(dirs, filepath.Join(home, ".ipfs"))
	}
	for _, dir := range dirs {
		raw, err := os.ReadFile(filepath.Join(dir, "api"))
		if api := strings.TrimSpace(string(raw)); err == nil && api != "" && !slices.Contains(out, api) {
			out = append(out, api)
		}
	}
	if !slices.Contains(out, DefaultAPI) {
		out = append(out, DefaultAPI)
	}
	return out
}
