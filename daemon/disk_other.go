//go:build !unix

package daemon

import "github.com/pinfold/pinfold/pinset"

func halfOfFree(string) (uint64, error) {
	return 0, pinset.Invalid("give: not set, and free space cannot be measured on this system").WithHint("pinfold up --give 500GB")
}
