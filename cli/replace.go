package cli

import (
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/httpapi/client"
)

func replaceCommand() *cli.Command {
	return command(&cli.Command{
		Name: "replace", Usage: "put a new member in the place of an old one", ArgsUsage: "OLD NEW",
		Description: "From an admin's peer, when both are members: NEW gets exactly what OLD holds, and OLD drains; between the others nothing\n" +
			"moves if NEW lends as much as OLD does. OLD may be gone already: name it by its peer id then.",
		Action: onMember(2, 2, func(c *cli.Context, api *client.Client, old peer.ID, args []string) (string, error) {
			by, err := memberNamed(c, api, args[1])
			if err != nil {
				return "", err
			}
			return args[1] + " takes the place of " + args[0] + "; when nothing is used there any more, it can leave: pinfold peers",
				api.Replace(c.Context, old, by)
		}),
	})
}
