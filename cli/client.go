package cli

import (
	"os"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/daemon"
	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/pinset"
)

// directory is the peer's directory that the command line names.
func directory(c *cli.Context) (daemon.Dir, error) {
	if d := c.String("dir"); d != "" {
		return daemon.Dir(d), nil
	}
	d, err := daemon.DefaultDir()
	return daemon.Dir(d), err
}

// connect returns the client of the daemon that the command line names: the one
// running on the peer's directory, or --api.
func connect(c *cli.Context) (*client.Client, error) {
	if addr := c.String("api"); addr != "" {
		return client.New(addr, c.String("token")), nil
	}
	dir, err := directory(c)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(dir.Socket()); err != nil {
		return nil, pinset.Errorf(pinset.KindUnavailable, "no pinfold runs on %s", dir).WithHint("start it: pinfold up")
	}
	return client.New(dir.Socket(), ""), nil
}
