//go:build !unix

package tracker

import "time"

// processorTime is not known here.
func processorTime() time.Duration { return 0 }
