package cli

import (
	"fmt"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

// removedFlags pick among removed pins.
func removedFlags() []cli.Flag {
	return []cli.Flag{
		ownerFlag(),
		&cli.StringFlag{Name: "name", Usage: "only pins of this `NAME`; with a * at its end, whose name begins so"},
		&cli.StringFlag{Name: "since", Usage: "only what was removed since `TIME`: how long ago (2h), or as in 2027-01-31T12:00:00Z"},
	}
}

func removedFilter(c *cli.Context, cids []cid.Cid) (pinset.RemovedFilter, error) {
	f := pinset.RemovedFilter{CIDs: cids, Name: c.String("name"), Owner: c.String("owner"), Owned: c.IsSet("owner")}
	text := c.String("since")
	if text == "" {
		return f, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		f.Since = time.Now().Add(-d)
		return f, nil
	}
	var err error
	if f.Since, err = time.Parse(time.RFC3339, text); err != nil {
		return f, pinset.Invalid("--since %q: want how long ago, as in 2h, or a time as in 2027-01-31T12:00:00Z", text)
	}
	return f, nil
}

func restoreCommand() *cli.Command {
	return command(&cli.Command{
		Name: "restore", Usage: "bring removed pins back, as they were", ArgsUsage: "[CID …]",
		Description: "By CID, by name, by when they were removed, or all. A peer knows what was removed since it became a member, within\n" +
			"the retention time (`pinfold policy show`). The data is fetched again where it is gone: see `pinfold status CID`.",
		Flags:  append(removedFlags(), &cli.BoolFlag{Name: "all", Usage: "everything that can be restored"}),
		Action: restore,
	})
}

func restore(c *cli.Context) error {
	cids, err := parseCIDs(c.Args().Slice())
	if err != nil {
		return err
	}
	f, err := removedFilter(c, cids)
	if err != nil {
		return err
	}
	if named := len(cids) > 0 || f.Name != "" || !f.Since.IsZero(); named == c.Bool("all") {
		return pinset.Invalid("pin restore: name CIDs, --name or --since, or give --all").WithHint("pinfold pin ls --removed shows what there is")
	}
	api, err := connect(c)
	if err != nil {
		return err
	}
	n := 0
	for p, err := range api.Restore(c.Context, f) {
		if err != nil {
			return err
		}
		n++
		if c.Bool("json") {
			err = printPin(c, dialect.PinReply{Pin: p})
		} else {
			_, err = fmt.Fprintf(c.App.Writer, "restored %s  %s%s\n", p.CID, p.Name, owned(p.Owner))
		}
		if err != nil {
			return err
		}
	}
	if n == 0 {
		return pinset.NotFound("no removed pin that this peer can restore is meant by that").WithHint("pinfold pin ls --removed; another member may know more")
	}
	return nil
}

func listRemoved(c *cli.Context, api *client.Client, cids []cid.Cid) error {
	f, err := removedFilter(c, cids)
	if err != nil {
		return err
	}
	names := namesOf(c, api)
	for r, err := range api.Removed(c.Context, f) {
		if err != nil {
			return err
		}
		out := c.App.Writer
		switch {
		case c.Bool("json"):
			_, err = out.Write(append(new(dialect.Encoder).Removed(nil, r), '\n'))
		case c.Bool("quiet"):
			_, err = fmt.Fprintln(out, r.Pin.CID)
		default:
			_, err = fmt.Fprintf(out, "%s  %-19s  by %s  until %s  %s%s\n", r.Pin.CID, r.At.Local().Format(time.DateTime), names(r.By),
				r.Until.Local().Format(time.DateOnly), r.Pin.Name, owned(r.Pin.Owner))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// namesOf returns what members are called, as far as that is known.
func namesOf(c *cli.Context, api *client.Client) func(peer.ID) string {
	known := map[peer.ID]string{}
	if !c.Bool("json") {
		for p, err := range api.Peers(c.Context) {
			if err != nil {
				break // ids will do
			}
			known[p.ID] = p.Name
		}
	}
	return func(id peer.ID) string {
		if name := known[id]; name != "" {
			return name
		}
		return id.String() // whole: one who left has no name here, and is looked for by it
	}
}
