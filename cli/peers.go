package cli

import (
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
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
			names := map[peer.ID]string{}
			var all []pinset.Peer
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
				all, names[p.ID] = append(all, p), p.Name
			}
			if c.Bool("json") {
				return nil
			}
			sum, err := api.Capacity(c.Context)
			if err != nil {
				return err
			}
			return printPeers(c, all, names, sum)
		},
	})
}

// printPeers prints a row for each member, and what they are together.
func printPeers(c *cli.Context, all []pinset.Peer, names map[peer.ID]string, sum pinset.Capacity) error {
	t := newTable(c.App.Writer, "NAME", "PEER", "ROLE", "LENDS", "A DAY", "SHARE", "USED", "QUEUE", "PHI", "SITE", "HEARD", "BEHIND", "IPFS NODE", "NOTE")
	for _, p := range all {
		t.row(p.Name, p.ID.String(), p.Role, pinset.FormatSize(p.Lent), perDay(p.InPerDay), shareOf(p), pinset.FormatSize(p.Used), count(p.Queued), phi(p.Phi),
			strings.Join(p.Domains, "/"), heard(p), lacks(p), p.IPFS.Agent, peerNote(p, names))
	}
	if err := t.flush(); err != nil {
		return err
	}
	out := c.App.Writer
	members := "members lend"
	if sum.Members == 1 {
		members = "member lends"
	}
	fmt.Fprintf(out, "\n%d %s %s, %s used\n", sum.Members, members, pinset.FormatSize(sum.Lent), pinset.FormatSize(sum.Used))
	for _, u := range sum.Usable {
		if u.Replication > 3 {
			break // enough for a table; --json of the API has more
		}
		fmt.Fprintf(out, "usable at replication %d: %s\n", u.Replication, pinset.FormatSize(u.Bytes))
	}
	return nil
}

// shareOf is the part of what all lend that a member does.
func shareOf(p pinset.Peer) string {
	if p.Share == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f %%", float64(p.Share)/100)
}

// perDay is what a member takes in, where that is limited.
func perDay(n uint64) string {
	if n == 0 {
		return ""
	}
	return pinset.FormatSize(n)
}

func count(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// phi writes the fill factor, where it is not the whole.
func phi(n uint32) string {
	if n == 65536 {
		return ""
	}
	return fmt.Sprintf("%.2f", float64(n)/65536)
}

// lacks says what a member does not know yet.
func lacks(p pinset.Peer) string {
	switch {
	case p.Self || p.Agrees:
		return ""
	case p.Behind == 1:
		return "1 change"
	case p.Behind > 1:
		return fmt.Sprintf("%d changes", p.Behind)
	}
	return "differs"
}

func heard(p pinset.Peer) string {
	if p.Self {
		return "this peer"
	}
	return ago(p.LastHeard)
}

func peerNote(p pinset.Peer, names map[peer.ID]string) string {
	switch {
	case len(p.Twins) > 0:
		var others []string
		for _, id := range p.Twins {
			others = append(others, names[id])
		}
		return "on one IPFS node with " + strings.Join(others, ", ") + ": counted once"
	case p.Error != "":
		return p.Error
	case p.IPFSError != "":
		return p.IPFSError
	case p.JoinedSync != "":
		return p.JoinedSync
	case p.State != "active":
		return p.State
	case p.Traffic != "":
		return p.Traffic
	}
	return ""
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
			if x := p.Exchange; x != nil && x.FromMembers+x.FromOthers > 0 {
				fmt.Fprintf(out, "  blocks  %s from members, %s from others, since the start\n", pinset.FormatSize(x.FromMembers), pinset.FormatSize(x.FromOthers))
			}
			return nil
		},
	})
}
