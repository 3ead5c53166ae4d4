package daemon

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"reflect"
	"time"

	"github.com/gofrs/flock"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/ipfsclient"
	"github.com/pinfold/pinfold/pinset"
)

// lock claims the directory. A configuration that cannot work is refused before
// anything is made there.
func (o Options) lock() (*flock.Flock, error) {
	if _, _, err := Load(o.Dir.Config(), o.Flags); err != nil {
		return nil, err
	}
	return o.Dir.lock()
}

// settle makes the decisions of a first start and writes them to the
// configuration, so that they are made once: how much is lent, and which IPFS
// node stores the data. A later start that found another IPFS node would start
// from an empty one.
func (o Options) settle(ctx context.Context) (Config, error) {
	cfg, settings, err := Load(o.Dir.Config(), o.Flags)
	if err != nil {
		return cfg, err
	}
	keep := Defaults() // what the file will hold: itself and the decisions
	var there *Config  // what it holds now; nil: there is none
	if _, err := os.Stat(o.Dir.Config()); err == nil {
		if keep, _, err = Load(o.Dir.Config(), nil); err != nil {
			return cfg, err
		}
		there = new(keep)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return cfg, err
	}
	decided := false
	for _, s := range settings {
		if s.Source == FromFlag && (s.Key == "name" || s.Key == "give" || s.Key == "region" || s.Key == "household" || s.Key == "tags") {
			keep.Name, keep.Give, keep.Region, keep.Household, keep.Tags = cfg.Name, cfg.Give, cfg.Region, cfg.Household, cfg.Tags
			decided = true
		}
	}
	if cfg.Give == 0 {
		free, err := freeSpace(string(o.Dir))
		if err != nil {
			return cfg, err
		}
		if free == 0 {
			return cfg, pinset.Invalid("no free space is left in %s, or it cannot be measured on this system", o.Dir).
				WithHint("say what you lend: pinfold up --give 500GB")
		}
		cfg.Give = max(free/2, leastGive)
		keep.Give, decided = cfg.Give, true
	}
	if cfg.IPFS.Node == "auto" && o.Node == nil {
		cfg.IPFS.Node = "embedded"
		if found, err := ipfsclient.Detect(ctx); err == nil {
			cfg.IPFS.Node = "kubo"
			if os.Getenv("IPFS_PATH") != "" && found.API != ipfsclient.DefaultAPI {
				cfg.IPFS.API = found.API // a later start may not have the environment
				keep.IPFS.API = found.API
			}
		}
		keep.IPFS.Node, decided = cfg.IPFS.Node, true
	}
	if !decided || there != nil && reflect.DeepEqual(*there, keep) {
		return cfg, nil // and what its owner wrote into the file stays as it is
	}
	return cfg, pinset.Wrap(pinset.KindUnavailable, Save(o.Dir.Config(), keep), "write %s", o.Dir.Config())
}

// found makes a cluster of this peer's own.
func (o Options) found(name string) (clusterDir, error) {
	key, err := o.Dir.loadKey()
	if err != nil {
		return clusterDir{}, err
	}
	secret, err := identity.NewSecret()
	if err != nil {
		return clusterDir{}, err
	}
	f, err := identity.Found(key, name, secret, identity.DefaultPolicy(), time.Now())
	if err != nil {
		return clusterDir{}, err
	}
	return o.Dir.create(f, secret, map[string][]byte{})
}

// Init makes a peer and a cluster without running them.
func Init(ctx context.Context, o Options, clusterName string) (identity.ClusterID, error) {
	lock, err := o.lock()
	if err != nil {
		return "", err
	}
	defer lock.Unlock()
	cfg, err := o.settle(ctx)
	if err != nil {
		return "", err
	}
	have, err := o.Dir.clusters()
	if err != nil {
		return "", err
	}
	if len(have) > 0 {
		return "", pinset.Errorf(pinset.KindConflict, "%s: is a member of cluster %s already", o.Dir, have[0].id).WithHint("pinfold up")
	}
	if clusterName == "" {
		clusterName = cfg.Name + "'s"
	}
	c, err := o.found(clusterName)
	return c.id, err
}
