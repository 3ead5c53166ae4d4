//go:build tools

// Package kubo names the Kubo that tests run against. It is a module of its own,
// so that nothing of Kubo becomes a dependency of pinfold.
package kubo

import _ "github.com/ipfs/kubo/cmd/ipfs"
