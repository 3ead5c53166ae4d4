//go:build unix

package daemon

import (
	"golang.org/x/sys/unix"

	"github.com/pinfold/pinfold/pinset"
)

// halfOfFree is what a peer lends when nobody says otherwise, in bytes.
func halfOfFree(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, pinset.Wrap(pinset.KindUnavailable, err, "measure free space of %s", dir)
	}
	return st.Bavail * uint64(st.Bsize) / 2, nil
}
