package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// What a large file takes, the file system no longer has to give. Others write
// meanwhile, so only the order of magnitude is told.
func TestFreeSpace(t *testing.T) {
	dir := t.TempDir()
	free, err := FreeSpace(dir)
	if err != nil || free == 0 {
		t.Skipf("not measured here: %d, %v", free, err)
	}
	if free < 1<<20 || free > 1<<60 {
		t.Errorf("%d bytes free: want more than one has to create a file, and less than any disk", free)
	}
	if err := os.WriteFile(filepath.Join(dir, "f"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatalf("%d bytes are free, and 1 MiB could not be written: %v", free, err)
	}
	if _, err := FreeSpace(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
}
