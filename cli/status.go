package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/cli/internal/words"
	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

func statusCommand() *cli.Command {
	return command(&cli.Command{
		Name: "status", Usage: "what is kept, and where", ArgsUsage: "[CID …]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "local", Usage: "this peer only"},
			&cli.BoolFlag{Name: "deficit", Usage: "only pins with too few copies at members that are heard, from what is known here"},
			&cli.BoolFlag{Name: "all", Usage: "every pin, not only those that need attention"},
			&cli.BoolFlag{Name: "merges", Usage: "what came together here after members were apart, and how concurrent changes ended"},
			&cli.StringFlag{Name: "filter", Usage: "only pins that are in one of these `STATES` somewhere: refused, waiting_for_provider, error, short, … (comma-separated)"},
		},
		Action: func(c *cli.Context) error {
			cids, err := parseCIDs(c.Args().Slice())
			if err != nil {
				return err
			}
			api, err := connect(c)
			if err != nil {
				return err
			}
			if c.Bool("deficit") {
				return statusDeficit(c, api, cids)
			}
			if c.Bool("merges") {
				return statusMerges(c, api)
			}
			if len(cids) == 0 {
				return statusAll(c, api)
			}
			for _, id := range cids {
				sum, err := api.Status(c.Context, id, c.Bool("local"))
				if err != nil {
					return err
				}
				if err := printSummary(c, sum); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

// mostShown is how many of the pins that lack copies a person is shown unasked.
const mostShown = 20

// statusAll says how the members agree, counts the pins by how safe they are, and
// lists those that are not.
func statusAll(c *cli.Context, api *client.Client) error {
	agree, err := api.Agreement(c.Context)
	if err != nil {
		return err
	}
	out := c.App.Writer
	if !c.Bool("json") {
		words.Agreement(out, agree, namesOf(c, api))
		self, err := api.Self(c.Context)
		if err != nil {
			return err
		}
		if self.Traffic != "" {
			fmt.Fprintf(out, "this peer: %s\n", self.Traffic)
		}
	}
	everything := c.Bool("json") || c.Bool("all") || c.Bool("local") || c.IsSet("filter")
	var pins, safe, short int
	for sum, err := range api.StatusAll(c.Context, client.StatusOptions{Local: c.Bool("local"), Filter: c.String("filter")}) {
		if err != nil {
			return err
		}
		pins++
		if sum.Short == 0 {
			safe++
		} else {
			short++
		}
		if everything || (sum.Short > 0 && short <= mostShown) {
			if err := printSummary(c, sum); err != nil {
				return err
			}
		}
	}
	if short > mostShown && !everything {
		fmt.Fprintf(out, "… and %d more with too few copies (--all shows them)\n", short-mostShown)
	}
	switch {
	case c.Bool("json"):
	case c.Bool("local"):
		fmt.Fprintf(out, "%s at this peer\n", counted(pins, "CID"))
	default:
		fmt.Fprintf(out, "%s: %d with all the copies they must have, %d with too few\n", counted(pins, "CID"), safe, short)
	}
	return nil
}

func printSummary(c *cli.Context, s pinset.Summary) error {
	if c.Bool("json") {
		_, err := c.App.Writer.Write(append(new(dialect.Encoder).Status(nil, s), '\n'))
		return err
	}
	out := c.App.Writer
	var names []string
	for _, p := range s.Pins {
		if p.Name != "" {
			names = append(names, p.Name)
		}
	}
	head := []string{s.CID.String()}
	if len(names) > 0 {
		head = append(head, strings.Join(names, ", "))
	}
	switch {
	case len(s.Pins) == 0:
		head = append(head, "not pinned: nobody said to keep it")
	case !c.Bool("local"): // one peer cannot say how many copies there are
		head = append(head, fmt.Sprintf("copies %d of %s", s.Copies, copies(s.Want)))
	}
	line := strings.Join(head, "  ")
	switch {
	case c.Bool("local"):
	case s.Short == 0 && s.Reason != "":
		line += ", not all at members that are to hold it: " + s.Reason
	case s.Short > 0:
		line += fmt.Sprintf(", %d too few", s.Short)
		if !s.Since.IsZero() {
			line += " since " + s.Since.Local().Format(time.DateTime)
		}
		if s.Reason != "" {
			line += ": " + s.Reason
		}
	}
	fmt.Fprintln(out, line)
	t := newTable(out)
	for _, h := range s.Holdings {
		if h.Status == pinset.StatusRemote || h.Status == pinset.StatusUnpinned {
			continue
		}
		t.row("  "+h.Name, h.Status.String(), since(h.Since), holdingNote(h))
	}
	return t.flush()
}

// holdingNote says what a person wants to know beyond the status.
func holdingNote(h pinset.Holding) string {
	var notes []string
	if h.Status == pinset.StatusPinning && h.Progress.Blocks > 0 {
		notes = append(notes, fmt.Sprintf("%d blocks, %s", h.Progress.Blocks, pinset.FormatSize(h.Progress.Bytes)))
	}
	if h.Interim {
		notes = append(notes, "until the others have it")
	}
	if h.Borrowed {
		notes = append(notes, "the owner's own pin")
	}
	if h.Error != "" {
		notes = append(notes, h.Error)
	}
	if h.Attempts > 0 && !h.Retry.IsZero() {
		notes = append(notes, fmt.Sprintf("attempt %d, next %s", h.Attempts+1, ago(h.Retry)))
	}
	if h.Age > 0 {
		notes = append(notes, fmt.Sprintf("said %s ago", h.Age.Round(1e9)))
	}
	return strings.Join(notes, "; ")
}

func recoverCommand() *cli.Command {
	return command(&cli.Command{
		Name: "recover", Usage: "try again at once what failed or waits", ArgsUsage: "[CID …]",
		Action: func(c *cli.Context) error {
			cids, err := parseCIDs(c.Args().Slice())
			if err != nil {
				return err
			}
			api, err := connect(c)
			if err != nil {
				return err
			}
			if len(cids) == 0 {
				return recoverAll(c, api)
			}
			for _, id := range cids {
				sum, err := api.Recover(c.Context, id)
				if err != nil {
					return err
				}
				if err := printSummary(c, sum); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

// recoverAll tries everything again, and says so when there was nothing.
func recoverAll(c *cli.Context, api *client.Client) error {
	tried := 0
	for sum, err := range api.RecoverAll(c.Context, false) {
		if err != nil {
			return err
		}
		if err := printSummary(c, sum); err != nil {
			return err
		}
		tried++
	}
	if tried == 0 && !c.Bool("json") {
		fmt.Fprintln(c.App.Writer, "nothing failed, and nothing waits")
	}
	return nil
}
