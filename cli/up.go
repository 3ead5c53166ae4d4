package cli

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/daemon"
	"github.com/pinfold/pinfold/pinset"
)

func upCommand() *cli.Command {
	return command(&cli.Command{
		Name:  "up",
		Usage: "run this peer",
		Description: "Makes a key and a cluster at the first start and continues where it was at every later one.\n" +
			"Stores the data in the Kubo that answers at its usual address, else in an embedded IPFS node; says which.",
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "set", Usage: "set `KEY=VALUE` of the configuration for this run (`pinfold config show` lists the keys)"},
		}, commonSettings()...),
		Action: func(c *cli.Context) error {
			dir, flags, err := daemonFlags(c)
			if err != nil {
				return err
			}
			for {
				err := runDaemon(c, dir, flags)
				if !errors.Is(err, daemon.ErrRestart) {
					return err
				}
				for _, f := range commonSettings() { // in the file since the first start, and maybe changed by the join
					delete(flags, f.Names()[0])
				}
			}
		},
	})
}

// commonSettings are the configuration keys that have a flag of their own.
func commonSettings() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "name", Usage: "this peer's `NAME`, as the others see it"},
		&cli.StringFlag{Name: "give", Usage: "disk lent to the cluster, as in `500GB` (default: half of what is free)"},
		&cli.StringFlag{Name: "household", Usage: "`NAME` of the home it stands in: no two copies there when there is a choice"},
		&cli.StringFlag{Name: "region", Usage: "`NAME` of the region it stands in"},
		&cli.StringFlag{Name: "tags", Usage: "`WORDS`, comma-separated, that pins may ask for"},
	}
}

// daemonFlags collects the configuration that the command line gives.
func daemonFlags(c *cli.Context) (daemon.Dir, map[string]string, error) {
	dir, err := directory(c)
	if err != nil {
		return "", nil, err
	}
	flags := map[string]string{}
	for _, f := range commonSettings() {
		if name := f.Names()[0]; c.IsSet(name) {
			flags[name] = c.String(name)
		}
	}
	for _, kv := range c.StringSlice("set") {
		key, value, ok := strings.Cut(kv, "=")
		if !ok {
			return "", nil, pinset.Invalid("--set %q: want KEY=VALUE", kv)
		}
		flags[key] = value
	}
	return dir, flags, nil
}

func runDaemon(c *cli.Context, dir daemon.Dir, flags map[string]string) error {
	level := slog.LevelWarn
	if c.Bool("verbose") {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(c.App.ErrWriter, &slog.HandlerOptions{Level: level}))
	d, err := daemon.New(c.Context, daemon.Options{Dir: dir, Flags: flags, Version: Version, Log: log})
	if err != nil {
		return err
	}
	if c.Bool("json") {
		if err := printJSON(c, d.Greeting()); err != nil {
			return err
		}
	} else {
		greet(c.App.Writer, dir, d.Greeting())
	}
	return d.Run(c.Context)
}

// greet prints who this peer is and what to type next.
func greet(w io.Writer, dir daemon.Dir, g daemon.Greeting) {
	fmt.Fprintf(w, "%s is up in cluster %q\n\n", g.Name, g.ClusterName)
	fmt.Fprintf(w, "  peer      %s\n", g.Peer)
	fmt.Fprintf(w, "  cluster   %s\n", g.Cluster)
	fmt.Fprintf(w, "  IPFS node %s\n", g.Node)
	fmt.Fprintf(w, "  lends     %s\n", pinset.FormatSize(g.Give))
	fmt.Fprintf(w, "  state     %s\n", dir)
	for _, a := range g.Addresses {
		fmt.Fprintf(w, "  reached   %s\n", a)
	}
	for _, a := range g.API {
		fmt.Fprintf(w, "  API       %s\n", a)
	}
	for _, a := range g.Proxy {
		fmt.Fprintf(w, "  IPFS RPC  %s\n", a)
	}
	for _, note := range g.Notes {
		fmt.Fprintf(w, "\n  note: %s\n", note)
	}
	me := self(dir)
	fmt.Fprintf(w, "\nnext:\n  %s add FILE        keep a file or directory (-r)\n  %s invite          let a friend join\n  %s status          what is kept, and where\n\n", me, me, me)
}

// self is how the program is called for the peer in dir.
func self(dir daemon.Dir) string {
	if def, err := daemon.DefaultDir(); err == nil && string(dir) == def {
		return "pinfold"
	}
	return "pinfold --dir " + string(dir)
}
