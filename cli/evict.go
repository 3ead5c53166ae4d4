package cli

import (
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/pinset"
)

func evictCommand() *cli.Command {
	return command(&cli.Command{
		Name: "evict", Usage: "end the membership of another", ArgsUsage: "NAME",
		Description: "An admin's peer does it at once and for good: that key can never come back. The secret stays as it is: whoever kept\n" +
			"the invite can join under a new key. Without an admin the members do it together, by themselves, once more than half of\n" +
			"them have not heard the member for the time that the policy names (absent); it can come back then.",
		Action: onMember(1, 1, func(c *cli.Context, api *client.Client, id peer.ID, args []string) (string, error) {
			if self, err := api.Self(c.Context); err == nil && self.ID == id {
				return "", pinset.Invalid("evict %s: that is this peer", args[0]).WithHint("pinfold leave")
			}
			return "evicted " + args[0] + "; the others make the copies that are missing now", api.RemovePeer(c.Context, id)
		}),
	})
}
