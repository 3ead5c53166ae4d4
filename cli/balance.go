package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/pinset"
)

func balanceCommand() *cli.Command {
	return command(&cli.Command{
		Name: "balance", Usage: "how evenly the members are filled, what limits it, what would help",
		Action: func(c *cli.Context) error {
			api, err := connect(c)
			if err != nil {
				return err
			}
			b, err := api.Balance(c.Context)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(c, b)
			}
			return printBalance(c, b)
		},
	})
}

func printBalance(c *cli.Context, b pinset.Balance) error {
	out := c.App.Writer
	fmt.Fprintf(out, "%s%s; members are assigned %s to %s of what they lend, %s on the whole (%.1f points apart)\n",
		amount(b.Pins, b.Bytes), unsized(b.Unsized), percent(b.Spread.Least), percent(b.Spread.Most), percent(b.Spread.Mean), b.Spread.Points)
	t := newTable(out, "MEMBER", "SITE", "LENDS", "ASSIGNED", "FILL", "USED", "USED/LENT", "NOTE")
	for _, m := range b.Members {
		t.row(m.Name, m.Site, pinset.FormatSize(m.Lent), copiesOf(m.Assigned), percent(m.Fill), pinset.FormatSize(m.Used), percent(m.Of), m.Role)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if err := printUsable(out, b.Usable); err != nil {
		return err
	}
	if len(b.Limits) == 0 {
		_, err := fmt.Fprintln(out, "nothing stands in the way of it")
		return err
	}
	for _, l := range b.Limits {
		text := l.Title
		if l.Do != "" {
			text += "\n  to do: " + l.Do
		}
		if _, err := fmt.Fprintf(out, "- %s\n", text); err != nil {
			return err
		}
	}
	return nil
}
