package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

func gcCommand() *cli.Command {
	return command(&cli.Command{
		Name: "gc", Usage: "remove from this peer's IPFS node what nothing pins",
		Description: "What is pinned stays, the owner's pins among it. The embedded IPFS node does this by itself when it pays.",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "the number only"}},
		Action: func(c *cli.Context) error {
			api, err := connect(c)
			if err != nil {
				return err
			}
			n := 0
			for id, err := range api.GC(c.Context) {
				if err != nil {
					return err
				}
				n++
				if c.Bool("quiet") {
					continue
				}
				if c.Bool("json") {
					err = printJSON(c, map[string]string{"cid": id.String()})
				} else {
					_, err = fmt.Fprintf(c.App.Writer, "removed %s\n", id)
				}
				if err != nil {
					return err
				}
			}
			if c.Bool("json") {
				return nil
			}
			_, err = fmt.Fprintf(c.App.Writer, "%d blocks removed\n", n)
			return err
		},
	})
}
