package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/pinset"
)

func explainCommand() *cli.Command {
	return command(&cli.Command{
		Name: "explain", Usage: "why a CID is kept where it is", ArgsUsage: "CID",
		Description: "The line of members for each of its pins. SCORE is what orders it, the smallest first: each member draws it for\n" +
			"the CID, the smaller the more it lends. Of one SITE there is at most one copy where there are sites enough.",
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 1, 1)
			if err != nil {
				return err
			}
			cids, err := parseCIDs(args)
			if err != nil {
				return err
			}
			api, err := connect(c)
			if err != nil {
				return err
			}
			e, err := api.Explain(c.Context, cids[0])
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(c, e)
			}
			for _, p := range e.Pins {
				if err := printExplained(c, p); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

func printExplained(c *cli.Context, p pinset.PinExplained) error {
	out := c.App.Writer
	fmt.Fprintf(out, "%s%s: %s copies%s\n", orElse(p.Name, "a pin without a name"), owned(p.Owner),
		copies(pinset.Replication{Min: p.Min, Max: p.Max}), sizeNote(p.Size))
	if len(p.Tags) > 0 {
		fmt.Fprintf(out, "only at members with the tags %s\n", strings.Join(p.Tags, ", "))
	}
	if p.Short > 0 {
		fmt.Fprintf(out, "short of %d: %s\n", p.Short, p.Reason)
	}
	t := newTable(out, "RANK", "MEMBER", "SCORE", "LENDS", "SHARE", "SITE", "HOLDS IT AS", "RULE")
	for _, m := range p.Members {
		rank, score, part := "", "", ""
		if m.Rank > 0 {
			rank, part = strconv.Itoa(m.Rank), percent(m.Share)
		}
		if m.Score > 0 {
			score = strconv.FormatFloat(float64(m.Score)/1e6, 'g', 4, 64)
		}
		t.row(rank, orElse(m.Name, m.Peer.String()), score, pinset.FormatSize(m.Lent), part, m.Site, m.Role, m.Rule)
	}
	return t.flush()
}

func sizeNote(n uint64) string {
	if n == 0 {
		return ", of unknown size"
	}
	return ", " + pinset.FormatSize(n)
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// percent writes a share of 1.
func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 1, 64) + " %" }
