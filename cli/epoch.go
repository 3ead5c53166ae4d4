package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/cli/internal/words"
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
			words.State(c.App.Writer, info)
			return nil
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
