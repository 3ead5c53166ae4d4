package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/pinset"
)

func planCommand() *cli.Command {
	return command(&cli.Command{
		Name: "plan", Usage: "what a change of the cluster would move, before anybody does it",
		Description: "As in `pinfold plan --if join:2TB@home3 --if leave:alice`: together, in this order. Nothing happens.\n" +
			"  join:SIZE[@HOME]     somebody joins and lends SIZE (@REGION/HOME for a new home in a region)\n" +
			"  leave:NAME           a member is gone from one moment to the next\n" +
			"  drain:NAME           it takes nothing new and stays until the others have what it held\n" +
			"  give:NAME=SIZE       it lends SIZE\n" +
			"  mirror:NAME=OTHER    it mirrors OTHER, or * for everything\n" +
			"  replication=N        pins that leave it to the cluster want N copies (or N..M, or -1 for everywhere)\n" +
			"Without --if: where things stand.",
		Flags: []cli.Flag{&cli.StringSliceFlag{Name: "if", Usage: "a `CHANGE`; may be given several times"}},
		Action: func(c *cli.Context) error {
			api, err := connect(c)
			if err != nil {
				return err
			}
			o, err := api.Outlook(c.Context, c.StringSlice("if")...)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(c, o)
			}
			return printOutlook(c.App.Writer, c.App.ErrWriter, o)
		},
	})
}

func printOutlook(out, errs io.Writer, o pinset.Outlook) error {
	for _, w := range o.Warnings {
		fmt.Fprintf(errs, "pinfold: warning: %s\n", w)
	}
	fmt.Fprintf(out, "%s%s in the pinset\n", amount(o.Pins, o.Bytes), unsized(o.Unsized))
	if len(o.If) > 0 {
		fmt.Fprintf(out, "if %s:\n", strings.Join(o.If, ", "))
		fmt.Fprintf(out, "  to move       %s%s\n", copiesOf(o.Moved), timesLeast(o))
		fmt.Fprintf(out, "  below the minimum until that is done, if who leaves goes at once: %s\n", counted(o.Thin, "pin"))
		if o.Lost > 0 {
			fmt.Fprintf(out, "  WITHOUT ANY COPY, if who leaves goes at once: %s\n", counted(o.Lost, "pin"))
		}
	}
	fmt.Fprintf(out, "  short for good: %s\n", shortText(o))
	for _, b := range o.Below {
		if b.Short > 0 {
			fmt.Fprintf(out, "    %s lacks %d: %s\n", b.CID, b.Short, b.Reason)
		}
	}
	t := newTable(out, "MEMBER", "SITE", "LENDS", "HAS", "WOULD HAVE", "TO FETCH", "LETS GO", "NOTE")
	for _, m := range o.Members {
		t.row(m.Name, m.Site, fromTo(m.Lent, pinset.FormatSize), copiesOf(m.Before), copiesOf(m.After), someCopies(m.In), someCopies(m.Out), m.Note)
	}
	if err := t.flush(); err != nil {
		return err
	}
	return printUsable(out, o.Usable)
}

func printUsable(out io.Writer, usable []pinset.Usable) error {
	for _, u := range usable {
		if _, err := fmt.Fprintf(out, "usable at replication %d: %s\n", u.Copies, fromTo(u.Bytes, pinset.FormatSize)); err != nil {
			return err
		}
	}
	return nil
}

// timesLeast compares what moves with the least that would have to.
func timesLeast(o pinset.Outlook) string {
	switch {
	case o.Moved.Copies == 0:
		return ""
	case o.Least.Bytes > 0:
		return fmt.Sprintf(", %.2f times the least", float64(o.Moved.Bytes)/float64(o.Least.Bytes))
	case o.Least.Copies > 0:
		return fmt.Sprintf(", %.2f times the least", float64(o.Moved.Copies)/float64(o.Least.Copies))
	}
	return ""
}

func shortText(o pinset.Outlook) string {
	if len(o.If) == 0 || o.Short.Before == o.Short.After {
		return counted(o.Short.After, "pin")
	}
	return fmt.Sprintf("%s, now %s", counted(o.Short.After, "pin"), counted(o.Short.Before, "pin"))
}

// fromTo writes both numbers where they differ.
func fromTo(b pinset.BeforeAfter, text func(uint64) string) string {
	if b.Before == b.After {
		return text(b.After)
	}
	return text(b.Before) + " -> " + text(b.After)
}

// copiesOf says how many copies there are, and their bytes where known.
func copiesOf(a pinset.Amount) string {
	text := fmt.Sprintf("%d copies", a.Copies) // the plural is not regular
	if a.Copies == 1 {
		text = "1 copy"
	}
	if a.Bytes > 0 {
		text += ", " + pinset.FormatSize(a.Bytes)
	}
	return text
}

func someCopies(a pinset.Amount) string {
	if a.Copies == 0 {
		return ""
	}
	return copiesOf(a)
}

func unsized(pins uint64) string {
	if pins == 0 {
		return ""
	}
	return fmt.Sprintf(" and %d of unknown size", pins)
}
