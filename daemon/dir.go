package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// Dir is a peer's directory. Everything in it belongs to its owner alone (0700).
//
//	config.toml       the configuration
//	identity.key      this peer's key
//	admin.token       the administrator's token for the API on TCP
//	api.sock          the API for whoever may open it
//	lock              held while a daemon runs
//	ledger/           what this daemon placed at its IPFS node
//	ipfs/             the embedded IPFS node
//	clusters/ID/      founding record, secret, where members were found, ports, state/, members/
type Dir string

func (d Dir) path(parts ...string) string {
	return filepath.Join(append([]string{string(d)}, parts...)...)
}

// Config is the configuration file's path.
func (d Dir) Config() string { return d.path("config.toml") }

// Socket is the path of the API's unix socket.
func (d Dir) Socket() string { return d.path("api.sock") }

// Token is the path of the administrator's token.
func (d Dir) Token() string { return d.path("admin.token") }

func (d Dir) key() string    { return d.path("identity.key") }
func (d Dir) tokens() string { return d.path("tokens") }
func (d Dir) ledger() string { return d.path("ledger") }
func (d Dir) ipfs() string   { return d.path("ipfs") }

// lock takes the directory for one daemon. The file names the process that has
// it, so that the refusal can say so.
func (d Dir) lock() (*flock.Flock, error) {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return nil, pinset.Wrap(pinset.KindInvalid, err, "make directory %s", d)
	}
	l := flock.New(d.path("lock"))
	ok, err := l.TryLock()
	if err != nil {
		return nil, pinset.Wrap(pinset.KindUnavailable, err, "lock %s", d)
	}
	if !ok {
		pid, _ := os.ReadFile(d.path("lock"))
		return nil, pinset.Errorf(pinset.KindConflict, "%s: a pinfold runs on this directory already (process %s)", d, strings.TrimSpace(string(pid))).
			WithHint("talk to it with `pinfold status`, or give this one a directory of its own: `pinfold --dir DIR up`")
	}
	if err := os.WriteFile(d.path("lock"), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		l.Unlock()
		return nil, pinset.Wrap(pinset.KindUnavailable, err, "lock %s", d)
	}
	return l, nil
}

// loadKey reads this peer's key, or makes one at the first start.
func (d Dir) loadKey() (identity.Key, error) {
	key, err := identity.LoadKey(d.key())
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if key, err = identity.NewKey(); err != nil {
		return key, err
	}
	return key, key.Save(d.key())
}

// clusterDir is what a peer keeps of one cluster.
type clusterDir struct {
	Dir
	id identity.ClusterID
}

func (c clusterDir) path(parts ...string) string {
	return c.Dir.path(append([]string{"clusters", string(c.id)}, parts...)...)
}

// clusters lists the clusters this peer is a member of, after it has set aside
// those that were left or replaced. Nothing of them may be open.
func (d Dir) clusters() ([]clusterDir, error) {
	all, err := d.listClusters()
	if err != nil {
		return nil, err
	}
	gone := map[identity.ClusterID]bool{}
	for _, c := range all {
		if _, err := os.Stat(c.path("left")); err == nil {
			gone[c.id] = true
		}
		replaced, err := os.ReadFile(c.path("replaces"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for id := range strings.FieldsSeq(string(replaced)) {
			gone[identity.ClusterID(id)] = true
		}
	}
	var out []clusterDir
	for _, c := range all {
		if !gone[c.id] {
			out = append(out, c)
		} else if err := c.setAside(time.Now()); err != nil {
			return nil, fmt.Errorf("set cluster %s aside: %w", c.id, err)
		}
	}
	return out, nil
}

func (d Dir) listClusters() ([]clusterDir, error) {
	entries, err := os.ReadDir(d.path("clusters"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []clusterDir
	for _, e := range entries {
		if e.IsDir() && !strings.Contains(e.Name(), ".") {
			out = append(out, clusterDir{d, identity.ClusterID(e.Name())})
		}
	}
	return out, nil
}

// create writes a cluster's founding record and secret. The directory appears in
// one step, so a crash leaves either all of it or nothing that clusters lists.
func (d Dir) create(f *identity.Founding, secret identity.Secret, files map[string][]byte) (clusterDir, error) {
	c := clusterDir{d, f.ID()}
	if _, err := os.Stat(c.path()); err == nil {
		return c, pinset.Errorf(pinset.KindConflict, "cluster %s: this peer is a member already", f.ID())
	}
	fresh := c.path() + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return c, err
	}
	if err := os.MkdirAll(fresh, 0o700); err != nil {
		return c, err
	}
	if err := secret.Save(filepath.Join(fresh, "secret")); err != nil {
		return c, err
	}
	files["founding"] = f.Marshal()
	for name, content := range files {
		if err := writeFile(filepath.Join(fresh, name), content); err != nil {
			return c, err
		}
	}
	return c, os.Rename(fresh, c.path())
}

func (c clusterDir) load() (*identity.Founding, identity.Secret, error) {
	var secret identity.Secret
	raw, err := os.ReadFile(c.path("founding"))
	if err != nil {
		return nil, secret, err
	}
	f, err := identity.ParseFounding(raw)
	if err != nil {
		return nil, secret, fmt.Errorf("read founding record of %s: %w", c.id, err)
	}
	if f.ID() != c.id {
		return nil, secret, pinset.Errorf(pinset.KindInternal, "%s holds the founding record of %s", c.path(), f.ID())
	}
	if secret, err = identity.LoadSecret(c.path("secret")); err != nil {
		return nil, secret, err
	}
	if err := f.CheckSecret(secret); err != nil {
		return nil, secret, (&pinset.Error{Kind: pinset.KindInvalid, Msg: "read " + c.path("secret"), Err: err}).
			WithHint("put the file back from a backup, or join again with an invite: pinfold --dir OTHER join INVITE")
	}
	return f, secret, nil
}

// setAside renames a cluster's directory so that it is no longer started, and is
// still there.
func (c clusterDir) setAside(now time.Time) error {
	return os.Rename(c.path(), c.path()+"."+now.UTC().Format("20060102T150405"))
}

// markLeft says that this peer is no member any more.
func (c clusterDir) markLeft() error { return writeFile(c.path("left"), nil) }

// writeFile replaces path in one step, synced, readable by its owner alone.
func writeFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(content); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
