package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/daemon"
	"github.com/pinfold/pinfold/pinset"
)

func initCommand() *cli.Command {
	return command(&cli.Command{
		Name:        "init",
		Usage:       "make a peer and its cluster without running it",
		Description: "`pinfold up` does this by itself at the first start.",
		Flags:       append([]cli.Flag{&cli.StringFlag{Name: "cluster", Usage: "the cluster's `NAME`"}}, commonSettings()...),
		Action: func(c *cli.Context) error {
			dir, flags, err := daemonFlags(c)
			if err != nil {
				return err
			}
			id, err := daemon.Init(c.Context, daemon.Options{Dir: dir, Flags: flags, Version: Version}, c.String("cluster"))
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(c, map[string]string{"cluster": string(id), "directory": string(dir)})
			}
			fmt.Fprintf(c.App.Writer, "made cluster %s in %s\nnext: %s up\n", id, dir, self(dir))
			return nil
		},
	})
}

func joinCommand() *cli.Command {
	return command(&cli.Command{
		Name:      "join",
		Usage:     "become a member with an invite",
		ArgsUsage: "INVITE",
		Description: "The invite is the text that `pinfold invite` printed on a member's machine; - reads it from standard input.\n" +
			"With a daemon running it joins at once; else `pinfold up` does.\n" +
			"An invite to the cluster that this peer is in already brings new addresses of its members, and changes nothing else.",
		Flags: commonSettings(),
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 1, -1)
			if err != nil {
				return err
			}
			invite := strings.Join(args, "")
			if invite == "-" {
				raw, err := io.ReadAll(io.LimitReader(c.App.Reader, 1<<16))
				if err != nil {
					return pinset.Wrap(pinset.KindInvalid, err, "read invite")
				}
				invite = string(raw)
			}
			return join(c, strings.TrimSpace(invite))
		},
	})
}

func join(c *cli.Context, invite string) error {
	dir, flags, err := daemonFlags(c)
	if err != nil {
		return err
	}
	var give uint64
	if text, ok := flags["give"]; ok {
		if give, err = pinset.ParseSize(text); err != nil {
			return fmt.Errorf("--give: %w", err)
		}
	}
	out := c.App.Writer
	running, err := connect(c)
	if err == nil {
		if _, err = running.Version(c.Context); err == nil {
			late := map[string]string{}
			for _, key := range []string{"region", "household", "tags"} {
				if c.IsSet(key) {
					late[key] = c.String(key)
				}
			}
			if len(late) > 0 {
				if _, err := running.Set(c.Context, late); err != nil {
					return err
				}
			}
			if err := running.Join(c.Context, invite, c.String("name"), give); err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(c, map[string]bool{"joined": true})
			}
			fmt.Fprintln(out, "joined; the daemon starts again as a member. See: pinfold status, pinfold peers")
			return nil
		}
	}
	var e *pinset.Error
	if !errors.As(err, &e) || e.Kind != pinset.KindUnavailable {
		return err
	}
	joined, err := daemon.Join(c.Context, daemon.Options{Dir: dir, Flags: flags, Version: Version}, invite)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(c, map[string]string{"cluster": string(joined.Cluster), "name": joined.Name})
	}
	if joined.Known {
		fmt.Fprintf(out, "this peer is in cluster %q already; it tries the invite's addresses as well\nnext: %s up\n", joined.Name, self(dir))
		return nil
	}
	fmt.Fprintf(out, "joined cluster %q (%s)\nnext: %s up\n", joined.Name, joined.Cluster, self(dir))
	return nil
}
