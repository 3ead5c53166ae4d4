package cli

import (
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/httpapi/client"
)

func roleCommand() *cli.Command {
	return command(&cli.Command{
		Name: "role", Usage: "rule what a member may do", ArgsUsage: "NAME admin|writer|keeper|observer|default",
		Description: "admin: rules; writer: pins; keeper: stores; observer: reads and stores nothing; default: what the policy says.\n" +
			"From an admin's peer.",
		Action: onMember(2, 2, func(c *cli.Context, api *client.Client, id peer.ID, args []string) (string, error) {
			return args[0] + " is " + args[1], api.SetRole(c.Context, id, args[1])
		}),
	})
}
