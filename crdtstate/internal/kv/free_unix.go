//go:build unix

package kv

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Free is the number of bytes that may still be written to the file system of dir.
func Free(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("read free space of %s: %w", dir, err)
	}
	return uint64(s.Bavail) * uint64(s.Bsize), nil
}
