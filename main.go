// Command pinfold keeps a collection on IPFS together with friends.
package main

import (
	"os"

	"github.com/pinfold/pinfold/cli"
)

func main() { os.Exit(cli.Main()) }
