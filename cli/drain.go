package cli

import (
	"github.com/urfave/cli/v2"
)

func drainCommand() *cli.Command {
	return command(&cli.Command{
		Name: "drain", Usage: "hand over what is held, before leaving", ArgsUsage: "[NAME]",
		Description: "This peer, or from an admin's peer another one that can be reached, takes nothing new. It keeps serving what it holds\n" +
			"until the others say that they have it. `pinfold peers` shows how much is left; then `pinfold leave`.",
		Action: func(c *cli.Context) error {
			api, err := connect(c)
			if err != nil {
				return err
			}
			id, err := selfOrNamed(c, api)
			if err != nil {
				return err
			}
			if err := api.Drain(c.Context, id); err != nil {
				return err
			}
			return tellChanged(c, nil, "draining; see how much is left: pinfold peers")
		},
	})
}

func undrainCommand() *cli.Command {
	return command(&cli.Command{
		Name: "undrain", Usage: "take a share again", ArgsUsage: "[NAME]",
		Action: func(c *cli.Context) error {
			api, err := connect(c)
			if err != nil {
				return err
			}
			id, err := selfOrNamed(c, api)
			if err != nil {
				return err
			}
			if err := api.Undrain(c.Context, id); err != nil {
				return err
			}
			return tellChanged(c, nil, "active again")
		},
	})
}
