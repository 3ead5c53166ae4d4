package ipfsclient_test

import (
	"syscall"
	"testing"
)

// available returns what a user may still write at dir, in bytes.
func available(t *testing.T, dir string) uint64 {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return st.Bavail * uint64(st.Bsize)
}
