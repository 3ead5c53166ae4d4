//go:build linux || darwin || freebsd || dragonfly

package store

import "golang.org/x/sys/unix"

// FreeSpace returns the bytes that this process may still write below dir, 0: not
// known on this system.
func FreeSpace(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return uint64(max(st.Bavail, 0)) * uint64(st.Bsize), nil // negative in the superuser's reserve
}
