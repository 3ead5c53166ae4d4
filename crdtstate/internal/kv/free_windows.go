package kv

import (
	"fmt"

	"golang.org/x/sys/windows"
)

// Free is the number of bytes that may still be written to the volume of dir.
func Free(dir string) (uint64, error) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, fmt.Errorf("read free space of %s: %w", dir, err)
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(path, &free, nil, nil); err != nil {
		return 0, fmt.Errorf("read free space of %s: %w", dir, err)
	}
	return free, nil
}
