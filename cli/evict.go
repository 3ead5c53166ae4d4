package cli

import (
	"github.com/urfave/cli/v2"
)

func evictCommand() *cli.Command {
	return command(&cli.Command{
		Name: "evict", Usage: "end the membership of another", ArgsUsage: "NAME",
		Description: "An admin's peer does it at once and for good: that key can never come back. The secret stays as it is: whoever kept\n" +
			"the invite can join under a new key. Without an admin the members do it together, by themselves, once more than half of\n" +
			"them have not heard the member for the time that the policy names (absent); it can come back then.",
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 1, 1)
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
			if err := api.RemovePeer(c.Context, id); err != nil {
				return err
			}
			return tellChanged(c, nil, "evicted "+args[0]+"; the others make the copies that are missing now")
		},
	})
}
