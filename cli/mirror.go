package cli

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/pinset"
)

func mirrorCommand() *cli.Command {
	return command(&cli.Command{
		Name: "mirror", Usage: "hold what another member holds, as extra copies",
		Description: "A mirror's copies come on top of those that the pins ask for, and never go above what this peer lends.\n" +
			"It takes no share of its own: what it held as one moves to other members. New pins on the mirrored side are fetched at once.",
		Subcommands: []*cli.Command{
			command(&cli.Command{
				Name: "add", Usage: "mirror a member, or everything", ArgsUsage: "NAME",
				Flags:  []cli.Flag{&cli.BoolFlag{Name: "all", Usage: "the whole pinset instead of one member's part"}},
				Action: func(c *cli.Context) error { return changeMirror(c, mirrorAdd) },
			}),
			command(&cli.Command{
				Name: "ls", Usage: "who mirrors whom, and how far behind",
				Action: mirrorList,
			}),
			command(&cli.Command{
				Name: "rm", Usage: "stop mirroring a member, or everything", ArgsUsage: "NAME",
				Flags:  []cli.Flag{&cli.BoolFlag{Name: "all", Usage: "the wish for the whole pinset"}},
				Action: func(c *cli.Context) error { return changeMirror(c, mirrorRemove) },
			}),
		},
		Action: noSubcommand,
	})
}

// changeMirror reads whom a command is about and does it.
func changeMirror(c *cli.Context, do func(c *cli.Context, of string) error) error {
	least, most := 1, 1
	if c.Bool("all") {
		least, most = 0, 0
	}
	args, err := arguments(c, least, most)
	if err != nil {
		return err
	}
	if c.Bool("all") {
		args = []string{pinset.MirrorAll}
	}
	return do(c, args[0])
}

func mirrorAdd(c *cli.Context, of string) error {
	api, err := connect(c)
	if err != nil {
		return err
	}
	if err := api.AddMirror(c.Context, of); err != nil {
		return err
	}
	all, err := api.Mirrors(c.Context)
	if err != nil {
		return err
	}
	for _, m := range all {
		if !m.Self || m.Of != of && m.OfName != of {
			continue
		}
		if c.Bool("json") {
			return printJSON(c, m)
		}
		fmt.Fprintf(c.App.Writer, "mirroring %s: %s to fetch (see `pinfold mirror ls`)\n", mirrored(m), amount(m.Behind, m.Missing))
		return nil
	}
	return nil // taken back by somebody else meanwhile
}

func mirrorRemove(c *cli.Context, of string) error {
	api, err := connect(c)
	if err != nil {
		return err
	}
	if err := api.RemoveMirror(c.Context, of); err != nil || c.Bool("json") {
		return err
	}
	_, err = fmt.Fprintln(c.App.Writer, "no longer mirroring; copies that are not this peer's own share go after the grace time")
	return err
}

func mirrorList(c *cli.Context) error {
	api, err := connect(c)
	if err != nil {
		return err
	}
	all, err := api.Mirrors(c.Context)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		for _, m := range all {
			if err := printJSON(c, m); err != nil {
				return err
			}
		}
		return nil
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(c.App.Writer, "nobody mirrors anybody (pinfold mirror add NAME)")
		return err
	}
	t := newTable(c.App.Writer, "MIRROR", "OF", "PINS", "BYTES", "BEHIND", "LAST CHANGE", "NOTE")
	for _, m := range all {
		who := m.Name
		if m.Self {
			who = "this peer"
		}
		t.row(who, mirrored(m), fmt.Sprint(m.Pins), pinset.FormatSize(m.Bytes)+unsized(m.Unsized), behind(m), changed(m.Changed), m.Idle)
	}
	return t.flush()
}

// mirrored names what is mirrored.
func mirrored(m pinset.Mirror) string {
	switch {
	case m.Of == pinset.MirrorAll:
		return "everything"
	case m.OfName == "":
		return m.Of
	}
	return m.OfName
}

func behind(m pinset.Mirror) string {
	switch {
	case m.Idle != "":
		return ""
	case m.Heard.IsZero():
		return "not known: it never said"
	case m.Behind == 0:
		return "0"
	}
	text := amount(m.Behind, m.Missing)
	if age := time.Since(m.Heard); !m.Self && age > 5*time.Minute {
		text += ", as of " + ago(m.Heard)
	}
	return text
}

// amount says how much there is of something, in pins and bytes.
func amount(pins, bytes uint64) string {
	text := counted(pins, "pin")
	if bytes > 0 {
		text += ", " + pinset.FormatSize(bytes)
	}
	return text
}

func changed(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return ago(t)
}
