package cli

import (
	"github.com/urfave/cli/v2"
)

func roleCommand() *cli.Command {
	return command(&cli.Command{
		Name: "role", Usage: "rule what a member may do", ArgsUsage: "NAME admin|writer|keeper|observer|default",
		Description: "admin: rules; writer: pins; keeper: stores; observer: reads and stores nothing; default: what the policy says.\n" +
			"From an admin's peer.",
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 2, 2)
			if err != nil {
				return err
			}
			api, err := connect(c)
			if err != nil {
				return err
			}
			id, err := memberNamed(c, api, args[0])
			if err != nil {
				return err
			}
			if err := api.SetRole(c.Context, id, args[1]); err != nil {
				return err
			}
			return tellChanged(c, nil, args[0]+" is "+args[1])
		},
	})
}
