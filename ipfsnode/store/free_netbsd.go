package store

import "golang.org/x/sys/unix"

// FreeSpace returns the bytes that this process may still write below dir.
func FreeSpace(dir string) (uint64, error) {
	var st unix.Statvfs_t
	if err := unix.Statvfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * st.Frsize, nil
}
