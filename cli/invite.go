package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/httpapi/dialect"
)

func inviteCommand() *cli.Command {
	return command(&cli.Command{
		Name:        "invite",
		Usage:       "print the text with which a friend can join",
		Description: "The invite carries the cluster's secret: whoever has it can join. Give it over a channel you trust.",
		Action: func(c *cli.Context) error {
			api, err := connect(c)
			if err != nil {
				return err
			}
			inv, err := api.Invite(c.Context)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(c, dialect.NewInvite(inv))
			}
			public := 0
			for _, a := range inv.Addresses {
				state := "answers"
				if a.Error != "" {
					state = "does not answer: " + a.Error
				}
				kind := "private"
				if a.Public {
					kind = "public"
					public++
				}
				fmt.Fprintf(c.App.ErrWriter, "  %s  (%s, %s)\n", a.Address, kind, state)
			}
			if public == 0 {
				fmt.Fprintln(c.App.ErrWriter, "\nwarning: all addresses are private: only friends on the same network can join with this invite.\n"+
					"  Forward the TCP port of network.listen at your router, or let a member with a public address invite.")
			}
			fmt.Fprintln(c.App.ErrWriter, "\nThis invite is a secret: whoever has it can join. On the other machine: pinfold join INVITE, pinfold up")
			fmt.Fprintln(c.App.Writer, inv.Text)
			return nil
		},
	})
}

func leaveCommand() *cli.Command {
	return command(&cli.Command{
		Name:  "leave",
		Usage: "stop being a member",
		Description: "Tells the others, so that they make the copies that are missing then, and stops the daemon.\n" +
			"The data stays at the IPFS node, pinned under pinfold's mark, until you unpin it there.",
		Action: func(c *cli.Context) error {
			api, err := connect(c)
			if err != nil {
				return err
			}
			if err := api.Leave(c.Context); err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(c, map[string]bool{"left": true})
			}
			fmt.Fprintln(c.App.Writer, "left; the others know. `pinfold up` makes a new cluster, `pinfold join INVITE` joins one.")
			return nil
		},
	})
}
