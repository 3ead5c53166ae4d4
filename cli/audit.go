package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/pinset"
)

func auditCommand() *cli.Command {
	return command(&cli.Command{
		Name: "audit", Usage: "who promised what, and whether it is kept",
		Description: "Holds the members' signed statements, as they are kept here, against the allocation. The exit code is 1 when a promise\n" +
			"is broken: something is lost that a member said it holds, it signed two histories, or it could not meet a challenge.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "since", Value: "30d", Usage: "look back for `TIME`, as in 30d or 12h"},
			&cli.IntFlag{Name: "challenge", Usage: "have members prove `N` times that they have blocks of what they say they hold"},
		},
		Action: func(c *cli.Context) error {
			since, err := period(c.String("since"))
			if err != nil {
				return err
			}
			api, err := connect(c)
			if err != nil {
				return err
			}
			a, err := api.Audit(c.Context, since, c.Int("challenge"))
			if err != nil {
				return err
			}
			if c.Bool("json") {
				err = printJSON(c, a)
			} else {
				err = printAudit(c.App.Writer, a)
			}
			if err == nil && a.Broken > 0 {
				err = pinset.Errorf(pinset.KindInternal, "%s of %d break promises", counted(a.Broken, "member"), len(a.Members))
			}
			return err
		},
	})
}

// period reads a time span in days or as Go writes it.
func period(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n <= 36500 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	} else if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return d, nil
	}
	return 0, pinset.Invalid("--since %q: want a time span as in 30d, 12h or 90m", text)
}

func printAudit(out io.Writer, a pinset.Audit) error {
	fmt.Fprintf(out, "%s, %s, looked back to %s\n", counted(a.Pins, "pin"), counted(len(a.Members), "member"), a.From.Local().Format(time.DateTime))
	t := newTable(out, "MEMBER", "SAID", "ASSIGNED", "PROMISED", "HELD", "LOST", "MISSING", "REFUSED", "UNSAID", "NOT ALL SINCE", "NOTE")
	n := func(n uint64) string { return strconv.FormatUint(n, 10) }
	for _, m := range a.Members {
		lacking := ""
		if !m.Lacking.IsZero() {
			lacking = m.Lacking.Local().Format(time.DateTime)
		}
		t.row(m.Name, ago(m.Said), n(m.Assigned), n(m.Promised), n(m.Held), n(m.Lost), n(m.Missing), n(m.Refused), n(m.Unsaid), lacking, auditNote(m))
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, l := range a.Lost {
		fmt.Fprintf(out, "LOST %s %s: %s said on %s that it holds it, and on %s that it does not\n", l.CID, l.Pin, l.Name,
			l.Promised.Local().Format(time.DateTime), l.Lost.Local().Format(time.DateTime))
	}
	for _, m := range a.Members {
		for _, f := range m.Flaws {
			word := "note"
			if f.Proof {
				word = "LIE"
			}
			fmt.Fprintf(out, "%s of %s, %s: %s\n", word, m.Name, f.At.Local().Format(time.DateTime), f.Detail)
		}
	}
	for _, ch := range a.Tests {
		if ch.Met {
			continue
		}
		word := "FAILED"
		if ch.Away {
			word = "not answered"
		}
		fmt.Fprintf(out, "challenge %s: %s for %s: %s\n", word, ch.Name, ch.CID, ch.Error)
	}
	if len(a.Tests) > 0 {
		met := 0
		for _, ch := range a.Tests {
			if ch.Met {
				met++
			}
		}
		fmt.Fprintf(out, "%d of %s met\n", met, counted(len(a.Tests), "challenge"))
	}
	if a.Broken == 0 {
		fmt.Fprintln(out, "no promise is broken")
	}
	return nil
}

func auditNote(m pinset.AuditedPeer) string {
	var notes []string
	if !m.Heard {
		notes = append(notes, "not heard")
	}
	if m.Kept == 0 {
		notes = append(notes, "never said what it holds")
	}
	if m.Repaired > 0 {
		notes = append(notes, fmt.Sprintf("%d lost and held again", m.Repaired))
	}
	if m.Failed > 0 {
		notes = append(notes, counted(m.Failed, "failed challenge"))
	}
	return strings.Join(notes, ", ")
}
