//go:build !unix

package daemon

import "github.com/pinfold/pinfold/pinset"

func freeSpace(string) (uint64, error) {
	return 0, pinset.Invalid("free space cannot be measured on this system").WithHint("say what you lend: pinfold up --give 500GB")
}
