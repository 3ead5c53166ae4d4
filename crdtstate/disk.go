package crdtstate

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/pinfold/pinfold/crdtstate/internal/kv"
	"github.com/pinfold/pinfold/pinset"
)

// disk is where epochs are kept. A crash between two of its calls leaves the epoch
// that was current; each call happens as a whole or not at all.
type disk interface {
	// Current is the number of the epoch in force, 0 for a new directory.
	Current() (uint64, error)
	// Clean removes what is left of all epochs but one. Their stores are closed.
	Clean(but uint64) error
	// Open opens the store of an epoch, and makes it if it is new.
	Open(epoch uint64) (kv.DB, error)
	// Begin makes an epoch the one in force, durably.
	Begin(epoch uint64) error
	// Notes are what Save wrote last, durably; nil for nothing.
	Notes() ([]byte, error)
	Save(notes []byte) error
}

// directory is a disk: "epoch-N" for each epoch, "CURRENT" for the number in force,
// "closing" for the notes.
type directory struct{ root, store string }

func (d directory) epoch(n uint64) string {
	return filepath.Join(d.root, "epoch-"+strconv.FormatUint(n, 10))
}

func (d directory) Current() (uint64, error) {
	n, err := d.current()
	if err != nil {
		return 0, err
	}
	if n > 0 {
		if _, err := os.Stat(filepath.Join(d.epoch(n), "FORMAT")); err != nil {
			return 0, pinset.Errorf(pinset.KindUnavailable, "state in %s: epoch %d is in force, and its directory is not there: %v", d.root, n, err).
				WithHint("put the directory back, or move all of %s away: what the other members have comes back from them", d.root)
		}
	}
	return n, nil
}

func (d directory) Clean(but uint64) error {
	entries, err := os.ReadDir(d.root)
	if err != nil {
		return fmt.Errorf("read state directory: %w", err)
	}
	for _, e := range entries {
		num, ok := strings.CutPrefix(e.Name(), "epoch-")
		if k, err := strconv.ParseUint(num, 10, 64); ok && err == nil && k != but {
			if err := os.RemoveAll(filepath.Join(d.root, e.Name())); err != nil {
				return fmt.Errorf("remove what is left of epoch %d: %w", k, err)
			}
		}
	}
	return nil
}

func (d directory) current() (uint64, error) {
	b, err := os.ReadFile(filepath.Join(d.root, "CURRENT"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read state directory: %w", err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0, pinset.Invalid("state in %s: CURRENT holds %q, want a number", d.root, b)
	}
	return n, nil
}

func (d directory) Open(n uint64) (kv.DB, error) {
	dir := d.epoch(n)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	mark := filepath.Join(dir, "FORMAT")
	want := "pinfold state 1 " + d.store + "\n"
	have, err := os.ReadFile(mark)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && len(have) == 0: // a crash may leave it empty
		if err := replaceFile(mark, []byte(want)); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, fmt.Errorf("read state directory: %w", err)
	case string(have) != want:
		return nil, pinset.Invalid("%s: holds a %q, not a %q", dir, strings.TrimSpace(string(have)), strings.TrimSpace(want)).
			WithHint("start with the --datastore it was made with, or export and import the state")
	}
	return kv.Open(d.store, filepath.Join(dir, "store"))
}

func (d directory) Begin(n uint64) error {
	return replaceFile(filepath.Join(d.root, "CURRENT"), fmt.Appendf(nil, "%d\n", n))
}

func (d directory) Notes() ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(d.root, "closing"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

func (d directory) Save(notes []byte) error {
	return replaceFile(filepath.Join(d.root, "closing"), notes)
}

// replaceFile writes a file so that a crash leaves the old or the new content, and
// the new one once it returned.
func replaceFile(path string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", path, err), ignoreMissing(os.Remove(f.Name())))
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil || runtime.GOOS == "windows" {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// inMemory is a disk that forgets with the process.
type inMemory struct {
	mu     sync.Mutex
	number uint64
	epochs map[uint64]kv.DB
	notes  []byte
}

func (m *inMemory) Current() (uint64, error) { return m.number, nil }

func (m *inMemory) Clean(but uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.epochs, func(n uint64, _ kv.DB) bool { return n != but })
	return nil
}

func (m *inMemory) Open(n uint64) (kv.DB, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.epochs == nil {
		m.epochs = map[uint64]kv.DB{}
	}
	if m.epochs[n] == nil {
		m.epochs[n] = kv.NewMemory()
	}
	return m.epochs[n], nil
}

func (m *inMemory) Begin(n uint64) error {
	m.number = n
	return nil
}

func (m *inMemory) Notes() ([]byte, error)  { return m.notes, nil }
func (m *inMemory) Save(notes []byte) error { m.notes = notes; return nil }
