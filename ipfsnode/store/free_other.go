//go:build !linux && !darwin && !freebsd && !dragonfly && !netbsd && !openbsd && !windows

package store

// FreeSpace returns 0: not known on this system.
func FreeSpace(string) (uint64, error) { return 0, nil }
