package cli

import (
	"fmt"
	"runtime"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/daemon"
	"github.com/pinfold/pinfold/pinset"
)

func healthCommand() *cli.Command {
	return command(&cli.Command{
		Name: "health", Usage: "what is wrong now, and what to do about it",
		Description: "Ends with exit code 7 when someone must act.",
		Action: func(c *cli.Context) error {
			api, err := connect(c)
			if err != nil {
				return err
			}
			_, entries, err := api.Health(c.Context)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				if err := printJSON(c, entries); err != nil {
					return err
				}
			}
			serious := 0
			for _, e := range entries {
				if e.Severity == pinset.SeverityError {
					serious++
				}
				if !c.Bool("json") {
					about := e.Code
					if from := since(e.Since); from != "" {
						about += ", " + from
					}
					fmt.Fprintf(c.App.Writer, "%-8s %s (%s)\n", e.Severity, e.Title, about)
					if e.Detail != "" {
						fmt.Fprintf(c.App.Writer, "         %s\n", e.Detail)
					}
					if e.Do != "" {
						fmt.Fprintf(c.App.Writer, "         do: %s\n", e.Do)
					}
				}
			}
			if len(entries) == 0 && !c.Bool("json") {
				fmt.Fprintln(c.App.Writer, "all is well")
			}
			if serious > 0 {
				return pinset.Errorf(pinset.KindUnavailable, "someone must act: %s", counted(serious, "fault"))
			}
			return nil
		},
	})
}

func configCommand() *cli.Command {
	return command(&cli.Command{
		Name: "config", Usage: "this peer's configuration",
		Subcommands: []*cli.Command{command(&cli.Command{
			Name: "show", Usage: "every key, its value, and where that came from (secrets hidden)",
			Flags: commonSettings(),
			Action: func(c *cli.Context) error {
				dir, flags, err := daemonFlags(c)
				if err != nil {
					return err
				}
				_, settings, err := daemon.Load(dir.Config(), flags)
				if err != nil {
					return err
				}
				if c.Bool("json") {
					return printJSON(c, settings)
				}
				t := newTable(c.App.Writer, "KEY", "VALUE", "FROM", "MEANING")
				for _, s := range settings {
					t.row(s.Key, s.Value, string(s.Source), s.Doc)
				}
				if err := t.flush(); err != nil {
					return err
				}
				fmt.Fprintf(c.App.Writer, "\nfile: %s; environment: PINFOLD_ and the key, as in %s\n", dir.Config(), daemon.EnvName("api.listen"))
				return nil
			},
		})},
		Action: noSubcommand,
	})
}

func versionCommand() *cli.Command {
	return command(&cli.Command{
		Name: "version", Usage: "this program's version",
		Action: func(c *cli.Context) error {
			if c.Bool("json") {
				return printJSON(c, map[string]string{"version": Version, "go": runtime.Version(), "system": runtime.GOOS + "/" + runtime.GOARCH})
			}
			_, err := fmt.Fprintf(c.App.Writer, "pinfold %s (%s, %s/%s)\n", Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	})
}
