package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

// printAgreement says whether the members agree, or in which sides they stand.
func printAgreement(c *cli.Context, api *client.Client, a pinset.Agreement) {
	out := c.App.Writer
	if a.Sync != "" {
		fmt.Fprintln(out, a.Sync)
	}
	if len(a.Sides) < 2 {
		fmt.Fprintf(out, "%d of %d peers agree on %s\n", a.Agree, a.Members, counted(a.Count, "pin"))
		return
	}
	fmt.Fprintf(out, "%d of %d peers agree on %s; %d heard\n", a.Agree, a.Members, counted(a.Count, "pin"), a.Heard)
	names := namesOf(c, api)
	for i, s := range a.Sides {
		fmt.Fprintln(out, "  "+sideText(s, i == 0, names))
	}
}

func sideText(s pinset.Side, own bool, names func(peer.ID) string) string {
	who := make([]string, len(s.Members))
	for i, id := range s.Members {
		who[i] = names(id)
	}
	text := strings.Join(who, ", ")
	if own {
		return fmt.Sprintf("here: %s: %s, digest %.8s", text, counted(s.Count, "pin"), s.Digest)
	}
	from := "since this peer started"
	if !s.Since.IsZero() {
		from = "since " + s.Since.Local().Format(time.DateTime)
	}
	if s.Heard {
		text = fmt.Sprintf("%s: another pinset %s: %s, digest %.8s", text, from, counted(s.Count, "pin"), s.Digest)
	} else {
		text = fmt.Sprintf("%s: not heard %s", text, from)
	}
	if s.Lacks > 0 {
		text += fmt.Sprintf("; lacks %s of here", counted(s.Lacks, "change"))
	}
	if s.Unknown > 0 {
		text += fmt.Sprintf("; has %s that here lacks", counted(s.Unknown, "head"))
	}
	return text
}

// statusMerges tells what came together after splits.
func statusMerges(c *cli.Context, api *client.Client) error {
	merges, err := api.Merges(c.Context)
	if err != nil {
		return err
	}
	out := c.App.Writer
	if c.Bool("json") {
		for _, m := range merges {
			if err := printJSON(c, dialect.NewMerge(m)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(merges) == 0 {
		fmt.Fprintln(out, "nothing was merged here: members were never apart for long, and never changed one pin at the same time")
		return nil
	}
	names := namesOf(c, api)
	for _, m := range merges {
		fmt.Fprintf(out, "%s\n", m.Began.Local().Format(time.DateTime))
		for _, f := range m.From {
			fmt.Fprintf(out, "  from %s: %s, %d pinned, %d removed\n", names(f.Author), counted(f.Deltas, "delta"), f.Pinned, f.Removed)
		}
		for _, contest := range m.Contested {
			fmt.Fprintln(out, "  "+contestText(contest, names))
		}
		if m.More > 0 {
			fmt.Fprintf(out, "  and %d more\n", m.More)
		}
	}
	return nil
}

func contestText(t pinset.Contest, names func(peer.ID) string) string {
	others := make([]string, len(t.Others))
	for i, id := range t.Others {
		others[i] = names(id)
	}
	who := strings.Join(others, ", ")
	if t.Kept {
		return fmt.Sprintf("%s%s: removed by %s and pinned by %s at the same time: it stays", t.CID, owned(t.Owner), who, names(t.Winner))
	}
	return fmt.Sprintf("%s%s: changed by %s and %s at the same time: as %s said", t.CID, owned(t.Owner), names(t.Winner), who, names(t.Winner))
}
