package cli

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/pinset"
)

func stateInfoCommand() *cli.Command {
	return command(&cli.Command{
		Name: "info", Usage: "the epoch, deltas and live pins, bytes on disk, and who holds up the next epoch",
		Action: func(c *cli.Context) error {
			api, err := connect(c)
			if err != nil {
				return err
			}
			info, err := api.StateInfo(c.Context)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(c, info)
			}
			return printState(c, info)
		},
	})
}

func stateCompactCommand() *cli.Command {
	return command(&cli.Command{
		Name: "compact", Usage: "ask all members for a new epoch, which folds the history into what is live of it",
		Description: "Nothing stops meanwhile, and nothing is dropped before every member has all of it. It begins when the last\n" +
			"member answered: `pinfold state info` names who has not. A member that is away for good has to be removed first.",
		Action: func(c *cli.Context) error {
			api, err := connect(c)
			if err != nil {
				return err
			}
			if err := api.Compact(c.Context); err != nil {
				return err
			}
			if c.Bool("json") {
				info, err := api.StateInfo(c.Context)
				if err != nil {
					return err
				}
				return printJSON(c, info)
			}
			_, err = fmt.Fprintln(c.App.Writer, "asked for; pinfold state info tells how far it is")
			return err
		},
	})
}

func printState(c *cli.Context, info pinset.StateInfo) error {
	out := c.App.Writer
	fmt.Fprintf(out, "epoch    %d\n", info.Epoch)
	if info.Genesis != "" {
		fmt.Fprintf(out, "genesis  %s\n", info.Genesis)
	}
	fmt.Fprintf(out, "deltas   %d since then, %d folded\npins     %d\ndisk     %s\n",
		info.Blocks, info.Folded, info.Pins, pinset.FormatSize(info.Bytes))
	if info.Closing == nil {
		return nil
	}
	n := len(info.Closing.Sealed) + len(info.Closing.Waiting)
	switch {
	case len(info.Closing.Acked) == 0:
		fmt.Fprintf(out, "next     %d of %d members have sealed\n", len(info.Closing.Sealed), n)
	default:
		fmt.Fprintf(out, "next     %d of %d members have everything\n", len(info.Closing.Acked), len(info.Closing.Sealed))
	}
	if len(info.Closing.Waiting) > 0 {
		var names []string
		for _, p := range info.Closing.Waiting {
			names = append(names, p.Name)
		}
		fmt.Fprintf(out, "waits    for %s\n", strings.Join(names, ", "))
	}
	if info.Closing.Trouble != "" {
		fmt.Fprintf(out, "trouble  %s\n", info.Closing.Trouble)
	}
	return nil
}
