package daemon

import (
	"github.com/pinfold/pinfold/ipfsnode/store"
	"github.com/pinfold/pinfold/pinset"
)

// freeSpace is what the file system of dir has left for this user, in bytes;
// 0 may mean that it cannot be measured on this system.
func freeSpace(dir string) (uint64, error) {
	free, err := store.FreeSpace(dir)
	if err != nil {
		return 0, pinset.Wrap(pinset.KindUnavailable, err, "measure free space of %s", dir)
	}
	return free, nil
}
