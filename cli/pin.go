package cli

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/urfave/cli/v2"

	"github.com/pinfold/pinfold/httpapi/client"
	"github.com/pinfold/pinfold/httpapi/dialect"
	"github.com/pinfold/pinfold/pinset"
)

func pinCommand() *cli.Command {
	return command(&cli.Command{
		Name:  "pin",
		Usage: "say what is to be kept",
		Subcommands: []*cli.Command{
			command(&cli.Command{
				Name: "add", Usage: "keep CIDs", ArgsUsage: "CID [CID …]",
				Description: "Returns when the pin is safe on this peer's disk; copies are made from then on (see `pinfold status CID`).\n" +
					"What is pinned already is kept as the flags say now: without --name it has no name, without --replication the cluster's.",
				Flags: append(pinFlags(), &cli.BoolFlag{Name: "direct", Usage: "keep the one block only, not what it links to"},
					&cli.BoolFlag{Name: "adopt", Usage: "hand your own pin of it at this machine's IPFS node over to the cluster, which then lets it go as it lets go of its own"},
					&cli.StringFlag{Name: "wait", Usage: "return when `HOW` many members know it (seen:2) or hold it (pinned:3; pinned: as many as it must have)"},
					&cli.DurationFlag{Name: "wait-timeout", Value: 2 * time.Minute, Usage: "wait at most this `TIME`"}),
				Action: pinAdd,
			}),
			pinUpdateCommand(),
			command(&cli.Command{
				Name: "rm", Usage: "let CIDs go", ArgsUsage: "CID [CID …]",
				Description: "Refused, before anything goes, when much of the pinset would be removed within ten minutes (the share is mass_removal in\n" +
					"`pinfold policy show`). What was removed can be brought back for a while: `pinfold pin restore`.",
				Flags:  []cli.Flag{ownerFlag(), &cli.BoolFlag{Name: "force", Usage: "also when it is much of the pinset"}},
				Action: pinRemove,
			}),
			restoreCommand(),
			command(&cli.Command{
				Name: "ls", Usage: "list what is to be kept", ArgsUsage: "[CID …]",
				Flags: append(removedFlags(), &cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "CIDs only"},
					&cli.BoolFlag{Name: "removed", Usage: "what was removed and can be restored, by whom and when, the latest first"}),
				Action: pinList,
			}),
		},
		Action: noSubcommand,
	})
}

func noSubcommand(c *cli.Context) error {
	if c.Args().Len() == 0 {
		return cli.ShowSubcommandHelp(c)
	}
	given := c.Args().First()
	e := pinset.Invalid("unknown command %q", strings.TrimPrefix(fullName(c)+" "+given, "pinfold "))
	for _, s := range suggestions(c.Command.Subcommands, given) {
		return e.WithHint("%s %s", fullName(c), s)
	}
	return e.WithHint("%s --help", fullName(c))
}

func ownerFlag() cli.Flag {
	return &cli.StringFlag{Name: "owner", Usage: "whose pin: `OWNER`s keep a CID independently of each other"}
}

// pinFlags are the wishes a pin can carry.
func pinFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "name", Usage: "`NAME` for people"},
		&cli.IntFlag{Name: "replication", Aliases: []string{"r-factor"}, Usage: "copies: `N`, or -1 for every member", DefaultText: "the cluster's"},
		&cli.IntFlag{Name: "replication-min", Usage: "fewer copies than `N` are reported as short", DefaultText: "the cluster's"},
		&cli.IntFlag{Name: "replication-max", Usage: "this many copies are made, `N`", DefaultText: "the cluster's"},
		&cli.StringFlag{Name: "tags", Usage: "only at members with all these `WORDS`"},
		&cli.StringFlag{Name: "on", Usage: "at these `PEERS` in any case (names or ids, comma-separated)"},
		&cli.StringSliceFlag{Name: "meta", Usage: "`KEY=VALUE` for people"},
		&cli.StringFlag{Name: "priority", Usage: "what is fetched first: `high`, normal or bulk", DefaultText: "normal"},
		&cli.DurationFlag{Name: "expire-in", Usage: "let go after this `TIME` (48h)", DefaultText: "never"},
		ownerFlag(),
	}
}

// pinWish reads pinFlags.
func pinWish(c *cli.Context) (pinset.Pin, error) {
	p := pinset.Pin{Name: c.String("name"), Owner: c.String("owner"), Metadata: map[string]string{}}
	switch {
	case c.IsSet("replication") && (c.IsSet("replication-min") || c.IsSet("replication-max")):
		return p, pinset.Invalid("--replication and --replication-min/-max: give one or the other")
	case c.IsSet("replication"):
		p.Replication = pinset.Replication{Min: c.Int("replication"), Max: c.Int("replication")}
		if p.Replication.IsDefault() {
			return p, pinset.Invalid("--replication 0: want at least 1, or -1 for every member")
		}
	case c.IsSet("replication-min") || c.IsSet("replication-max"):
		p.Replication = pinset.Replication{Min: c.Int("replication-min"), Max: c.Int("replication-max")}
	}
	for w := range strings.SplitSeq(c.String("tags"), ",") {
		if w != "" {
			p.Tags = append(p.Tags, w)
		}
	}
	var err error
	if p.Priority, err = pinset.ParsePriority(c.String("priority")); err != nil {
		return p, err
	}
	if p.Include, err = membersNamed(c, c.String("on")); err != nil {
		return p, err
	}
	for _, kv := range c.StringSlice("meta") {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			return p, pinset.Invalid("--meta %q: want KEY=VALUE", kv)
		}
		p.Metadata[k] = v
	}
	if d := c.Duration("expire-in"); c.IsSet("expire-in") {
		if d <= 0 {
			return p, pinset.Invalid("--expire-in %s: want a time ahead", d)
		}
		p.ExpireAt = time.Now().Add(d)
	}
	p.Normalise()
	return p, p.Replication.Validate()
}

// peersNamed reads a list of peers, by id or by the name that a member has alone.
func parseCIDs(args []string) ([]cid.Cid, error) {
	out := make([]cid.Cid, len(args))
	for i, a := range args {
		c, err := cid.Decode(strings.TrimPrefix(a, "/ipfs/"))
		if err != nil {
			return nil, pinset.Invalid("%q: not a CID: %v", a, err).WithHint("a CID looks like bafy… or Qm…; `pinfold add FILE` prints one")
		}
		out[i] = c
	}
	return out, nil
}

func pinAdd(c *cli.Context) error {
	args, err := arguments(c, 1, -1)
	if err != nil {
		return err
	}
	cids, err := parseCIDs(args) // all of them, before anything changes
	if err != nil {
		return err
	}
	wish, err := pinWish(c)
	if err != nil {
		return err
	}
	if c.Bool("direct") {
		wish.Mode = pinset.Direct
	}
	wait, err := waitFor(c)
	if err != nil {
		return err
	}
	api, err := connect(c)
	if err != nil {
		return err
	}
	for _, id := range cids {
		p := wish
		p.CID = id
		pin := api.Pin
		if c.Bool("adopt") {
			pin = api.Adopt
		}
		done, receipt, err := pin(c.Context, p, wait)
		if err != nil {
			return err
		}
		if c.Bool("json") {
			if err := printPin(c, dialect.PinReply{Pin: done, Receipt: receipt}); err != nil {
				return err
			}
			continue
		}
		// Not "pinned": that is only true once an IPFS node holds the data.
		fmt.Fprintf(c.App.Writer, "accepted %s (see: pinfold status %s)\n", id, id)
	}
	return nil
}

func pinRemove(c *cli.Context) error {
	args, err := arguments(c, 1, -1)
	if err != nil {
		return err
	}
	cids, err := parseCIDs(args)
	if err != nil {
		return err
	}
	api, err := connect(c)
	if err != nil {
		return err
	}
	for i, id := range cids {
		r := pinset.Removal{CID: id, Owner: c.String("owner"), Force: c.Bool("force")}
		if i == 0 {
			r.Together = uint64(len(cids)) // all of them are judged before the first goes
		}
		gone, receipt, err := api.Unpin(c.Context, r)
		if err != nil {
			return err
		}
		if c.Bool("json") {
			err = printPin(c, dialect.PinReply{Pin: gone, Receipt: receipt})
		} else {
			_, err = fmt.Fprintf(c.App.Writer, "let go %s\n", id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func pinList(c *cli.Context) error {
	cids, err := parseCIDs(c.Args().Slice())
	if err != nil {
		return err
	}
	api, err := connect(c)
	if err != nil {
		return err
	}
	if c.Bool("removed") {
		return listRemoved(c, api, cids)
	}
	if c.IsSet("name") || c.IsSet("since") {
		return pinset.Invalid("--name and --since pick among removed pins").WithHint("pinfold pin ls --removed --since 2h")
	}
	out := c.App.Writer
	for p, err := range pinsOf(c, api, cids) {
		if err != nil {
			return err
		}
		switch {
		case c.Bool("json"):
			err = printPin(c, dialect.PinReply{Pin: p})
		case c.Bool("quiet"):
			_, err = fmt.Fprintln(out, p.CID)
		default:
			_, err = fmt.Fprintf(out, "%s  %-9s  %-7s  %-10s  %s%s\n", p.CID, p.Mode, copies(p.Replication), sizeOf(p.Size), p.Name, owned(p.Owner))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pinsOf lists the pins of the CIDs named, or all.
func pinsOf(c *cli.Context, api *client.Client, cids []cid.Cid) iter.Seq2[pinset.Pin, error] {
	if len(cids) == 0 {
		return api.Pins(c.Context)
	}
	return func(yield func(pinset.Pin, error) bool) {
		for _, id := range cids {
			p, _, err := api.PinOf(c.Context, id, c.String("owner"))
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

// printPin writes a pin as the API spells it.
func printPin(c *cli.Context, p dialect.PinReply) error {
	_, err := c.App.Writer.Write(append(new(dialect.Encoder).Pin(nil, p), '\n'))
	return err
}

// waitFor reads --wait: seen:N, pinned:N or pinned.
func waitFor(c *cli.Context) (client.Wait, error) {
	text := c.String("wait")
	if text == "" {
		return client.Wait{}, nil
	}
	what, count, counted := strings.Cut(text, ":")
	n, err := strconv.Atoi(count)
	w := client.Wait{Timeout: c.Duration("wait-timeout")}
	switch {
	case what == "pinned" && !counted:
		w.Enough = true
	case what == "pinned" && err == nil && n > 0:
		w.Pinned = n
	case what == "seen" && err == nil && n > 0:
		w.Seen = n
	default:
		return w, pinset.Invalid("--wait %q: want seen:N, pinned:N or pinned", text)
	}
	return w, nil
}

func copies(r pinset.Replication) string {
	switch {
	case r.IsDefault():
		return "default"
	case r.Max == pinset.Everywhere:
		return "all"
	case r.Min == r.Max:
		return fmt.Sprint(r.Max)
	}
	return fmt.Sprintf("%d..%d", r.Min, r.Max)
}

func sizeOf(n uint64) string {
	if n == 0 {
		return "-"
	}
	return pinset.FormatSize(n)
}

func owned(owner string) string {
	if owner == "" {
		return ""
	}
	return " (" + owner + ")"
}
