package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
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
			"The data stays at the IPFS node, pinned under pinfold's mark, until you unpin it there.\n" +
			"While no other member is connected it is refused, since nobody would hear of it: with --unheard it is done all the same, and the\n" +
			"others count this peer as absent until they evict it.",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "unheard", Usage: "leave also when no other member is connected"}},
		Action: func(c *cli.Context) error {
			api, err := connect(c)
			if err != nil {
				return err
			}
			heard, err := anyoneThere(c, api)
			if err != nil {
				return err
			}
			if !heard && !c.Bool("unheard") {
				return pinset.Errorf(pinset.KindUnavailable, "leave: no other member is connected, so nobody would hear of it").
					WithHint("try again when `pinfold peers` shows one; or pinfold leave --unheard, and the others evict this peer when it was absent for long")
			}
			if err := api.Leave(c.Context); err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(c, map[string]bool{"left": true, "heard": heard})
			}
			if !heard {
				fmt.Fprintln(c.App.Writer, "left, and nobody knows: the others count this peer as absent, and evict it after their policy's time, or an admin does.")
				return nil
			}
			fmt.Fprintln(c.App.Writer, "left; the others know. `pinfold up` makes a new cluster, `pinfold join INVITE` joins one.")
			return nil
		},
	})
}

// anyoneThere says whether another member is connected; where there is none at all,
// that it is none who could not be reached: leaving is refused for that.
func anyoneThere(c *cli.Context, api *client.Client) (bool, error) {
	alone := true
	for p, err := range api.Peers(c.Context) {
		if err != nil {
			return false, err
		}
		if p.Connected && !p.Self {
			return true, nil
		}
		alone = alone && p.Self
	}
	return alone, nil
}
