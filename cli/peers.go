package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

func peersCommand() *cli.Command {
	return command(&cli.Command{
		Name: "peers", Usage: "the members: what they lend and hold, when they were heard",
		Action: func(c *cli.Context) error {
			api, err := connect(c)
			if err != nil {
				return err
			}
			var t table
			if !c.Bool("json") {
				t = newTable(c.App.Writer, "NAME", "PEER", "LENDS", "USED", "PINS", "AGREES", "HEARD", "IPFS NODE", "NOTE")
			}
			for p, err := range api.Peers(c.Context) {
				if err != nil {
					return err
				}
				if c.Bool("json") {
					if err := printJSON(c, dialect.NewPeer(p, nil)); err != nil {
						return err
					}
					continue
				}
				t.row(p.Name, p.ID.String(), pinset.FormatSize(p.Lent), pinset.FormatSize(p.Used), fmt.Sprint(p.Pins), yes(p.Agrees), heard(p), p.IPFS.Agent, peerNote(p))
			}
			if c.Bool("json") {
				return nil
			}
			return t.flush()
		},
	})
}

func heard(p pinset.Peer) string {
	if p.Self {
		return "this peer"
	}
	return ago(p.LastHeard)
}

func peerNote(p pinset.Peer) string {
	switch {
	case p.Error != "":
		return p.Error
	case p.IPFSError != "":
		return p.IPFSError
	case p.JoinedSync != "":
		return p.JoinedSync
	case p.State != "active":
		return p.State
	}
	return ""
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func idCommand() *cli.Command {
	return command(&cli.Command{
		Name: "id", Usage: "this peer's name, id and addresses",
		Action: func(c *cli.Context) error {
			api, err := connect(c)
			if err != nil {
				return err
			}
			p, err := api.Self(c.Context)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(c, dialect.NewPeer(p.Peer, p.Sees))
			}
			out := c.App.Writer
			fmt.Fprintf(out, "%s  %s  in cluster %q (%s)\n", p.Name, p.ID, p.ClusterName, p.ClusterID)
			for _, a := range p.Addresses {
				fmt.Fprintf(out, "  cluster %s\n", a)
			}
			fmt.Fprintf(out, "  IPFS    %s  %s\n", p.IPFS.Peer, p.IPFS.Agent)
			for _, a := range p.IPFS.Addresses {
				fmt.Fprintf(out, "  IPFS    %s\n", a)
			}
			return nil
		},
	})
}
