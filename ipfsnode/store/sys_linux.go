package store

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// flushFS writes everything in memory of the file system that dir lies on to the
// disk: one call for all blocks written so far, where an fsync for each would cost
// a disk turn each.
func flushFS(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// eachBlockSynced says that flushFS does nothing and every block needs its own fsync.
const eachBlockSynced = false

// bootID differs between two runs only if the machine was started in between.
// Empty: not known.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
