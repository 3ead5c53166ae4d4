//go:build unix

package daemon

import (
	"golang.org/x/sys/unix"

	"github.com/pinfold/pinfold/pinset"
)

// freeSpace is what the file system of dir has left, in bytes.
func freeSpace(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, pinset.Wrap(pinset.KindUnavailable, err, "measure free space of %s", dir)
	}
	return st.Bavail * uint64(st.Bsize), nil
}
