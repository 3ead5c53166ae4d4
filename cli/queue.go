package cli

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/pinset"
)

func queueCommand() *cli.Command {
	return command(&cli.Command{
		Name: "queue", Usage: "what this peer fetches and what waits",
		Description: "Of a fetch: blocks and bytes so far with what was here already, bytes a second lately, and the time that is left at that rate.\n" +
			"New pins go before repairs three times of four, high ones before both, bulk ones after them; owners take turns.\n" +
			"What nobody provides waits in a line of its own; pinfold recover [CID] tries at once.",
		Flags: []cli.Flag{&cli.IntFlag{Name: "limit", Value: 20, Usage: "show at most `N` of those that wait for their turn, and of those that wait for their time"}},
		Action: func(c *cli.Context) error {
			most := c.Int("limit")
			if most < 0 {
				return pinset.Invalid("--limit %d: want 0 or more", most)
			}
			api, err := connect(c)
			if err != nil {
				return err
			}
			q, err := api.Queue(c.Context, most)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(c, q)
			}
			return printQueue(c, q)
		},
	})
}

func printQueue(c *cli.Context, q pinset.Queue) error {
	out := c.App.Writer
	if len(q.Running)+q.Waiting+q.PutOff == 0 {
		_, err := fmt.Fprintln(out, "nothing runs, and nothing waits")
		return err
	}
	fmt.Fprintf(out, "%d run, %d wait for their turn, %d for their time\n", len(q.Running), q.Waiting, q.PutOff)
	for _, l := range q.Lanes {
		fmt.Fprintf(out, "  %6d %s\n", l.Count, l.Name)
	}
	t := newTable(out, "CID", "STATE", "BLOCKS", "BYTES", "OF", "RATE", "LEFT", "PRIORITY", "OWNER", "NOTE")
	for _, turn := range q.Running {
		row(t, turn, turn.Error)
	}
	for _, turn := range q.Ready {
		row(t, turn, turn.Lane)
	}
	for _, turn := range q.Later {
		note := "tried again " + ago(turn.Retry)
		if turn.Error != "" {
			note = turn.Error + "; " + note
		}
		row(t, turn, note)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if more := q.Waiting + q.PutOff - len(q.Ready) - len(q.Later); more > 0 {
		fmt.Fprintf(out, "… and %d more (--limit shows them)\n", more)
	}
	return nil
}

func row(t table, turn pinset.Turn, note string) {
	blocks, rate, left := "", "", ""
	if turn.Blocks > 0 {
		blocks = fmt.Sprint(turn.Blocks)
	}
	if turn.Rate > 0 {
		rate = pinset.FormatSize(turn.Rate) + "/s"
	}
	if turn.Left > 0 {
		left = turn.Left.Round(time.Second).String()
	}
	t.row(turn.CID, turn.Status, blocks, sizeOf(turn.Bytes), sizeOf(turn.Size), rate, left, turn.Priority, turn.Owner, note)
}
