package cli

import (
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/httpapi/client"
)

func drainCommand() *cli.Command {
	return command(&cli.Command{
		Name: "drain", Usage: "hand over what is held, before leaving", ArgsUsage: "[NAME]",
		Description: "This peer, or from an admin's peer another one that can be reached, takes nothing new. It keeps serving what it holds\n" +
			"until the others say that they have it. `pinfold peers` shows how much is left; then `pinfold leave`.",
		Action: onMember(0, 1, func(c *cli.Context, api *client.Client, id peer.ID, _ []string) (string, error) {
			return "draining; see how much is left: pinfold peers", api.Drain(c.Context, id)
		}),
	})
}

func undrainCommand() *cli.Command {
	return command(&cli.Command{
		Name: "undrain", Usage: "take a share again", ArgsUsage: "[NAME]",
		Action: onMember(0, 1, func(c *cli.Context, api *client.Client, id peer.ID, _ []string) (string, error) {
			return "active again", api.Undrain(c.Context, id)
		}),
	})
}
