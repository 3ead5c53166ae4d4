package cli

import "github.com/urfave/cli/v2"

func replaceCommand() *cli.Command {
	return command(&cli.Command{
		Name: "replace", Usage: "put a new member in the place of an old one", ArgsUsage: "OLD NEW",
		Description: "From an admin's peer, when both are members: NEW gets exactly what OLD holds, and OLD drains; between the others nothing\n" +
			"moves if NEW lends as much as OLD does. OLD may be gone already: name it by its peer id then.",
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 2, 2)
			if err != nil {
				return err
			}
			api, err := connect(c)
			if err != nil {
				return err
			}
			old, err := memberNamed(c, api, args[0])
			if err != nil {
				return err
			}
			by, err := memberNamed(c, api, args[1])
			if err != nil {
				return err
			}
			if err := api.Replace(c.Context, old, by); err != nil {
				return err
			}
			return tellChanged(c, nil, args[1]+" takes the place of "+args[0]+"; when nothing is used there any more, it can leave: pinfold peers")
		},
	})
}
